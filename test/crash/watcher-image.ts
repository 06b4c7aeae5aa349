// The watchers run an image of the operator's own registry; whoever goes on, from whatever machine, has not to name it again.
import assert from 'node:assert/strict';
import { migrateCommand } from '../../src/commands/migrate.ts';
import { resumeCommand } from '../../src/commands/resume.ts';
import { rollbackCommand } from '../../src/commands/undo.ts';
import { NAMESPACE } from '../../src/core/names.ts';
import { type Bed, withBed } from './bed.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const [FIRST, SECOND] = ['registry.invalid/proxyctl/watcher:one', 'registry.invalid/proxyctl/watcher:two'] as const;

/** Images that ran in our namespace since this was asked last. */
function imagesOf({ sim }: Bed): () => string[] {
  let images = new Set<string>();
  sim.store.subscribe(({ type, kind, object }) => {
    if (kind !== 'Pod' || type !== 'ADDED' || object.metadata.namespace !== NAMESPACE) return;
    for (const { image } of object.spec.containers) images.add(image);
  });
  return () => {
    const seen = [...images];
    images = new Set();
    return seen;
  };
}

export const kept = () =>
  withBed({ mode: 'iptables', to: 'nftables', seed: 71 }, async bed => {
    const seen = imagesOf(bed);
    const first = bed.process('migrate');
    when(bed, 'sweep', () => first.die());
    const wishes = { yes: true, to: 'nftables', watcherImage: FIRST };
    assert.equal(await bed.call(first, io => migrateCommand(io, undefined, wishes)), 'killed');
    assert.deepEqual(seen(), [FIRST]);
    const resumed = bed.process('resume');
    assert.equal(await bed.call(resumed, io => resumeCommand(io, { yes: true })), 0, resumed.output);
    assert.match(resumed.output, new RegExp(`watchers run ${FIRST}, as the run's record says`));
    assert.deepEqual(seen(), [FIRST]);
    // Another one holds from then on.
    const killed = bed.process('rollback');
    when(bed, 'sweep', () => killed.die());
    const other = { yes: true, watcherImage: SECOND };
    assert.equal(await bed.call(killed, io => rollbackCommand(io, other)), 'killed');
    assert.deepEqual(seen(), [SECOND]);
    await ends(bed, 'rollback', 0);
    assert.deepEqual(seen(), [SECOND]);
    expectMode(bed, 'iptables');
  });
