// What other shells ask of a run, and what they are told.
import assert from 'node:assert/strict';
import { abortCommand, adjustCommand } from '../../src/commands/steer.ts';
import { type Bed, withBed } from './bed.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 53, nodes: 3 } as const;

async function adjusted(bed: Bed): Promise<{ code: number | 'killed'; said: string }> {
  const process = bed.process('adjust');
  const code = await bed.call(process, io => adjustCommand(io, { batchNodes: '1', yes: true }));
  return { code, said: process.output.replaceAll(/\s+/g, ' ') };
}

/** A rollback has no batches: it is refused while that is under way, and where it was left it is `migrate` that heeds it. */
export const adjustInRollback = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    let refused: ReturnType<typeof adjusted> | undefined;
    let aborting: Promise<unknown> | undefined;
    when(bed, 'warm', () => {
      refused = adjusted(bed);
      aborting = refused.then(() => bed.call(bed.process('abort'), io => abortCommand(io, {})));
    });
    await ends(bed, 'rollback', 23);
    await aborting;
    const { code, said } = (await refused) ?? assert.fail('it was not asked');
    assert.equal(code, 64, said);
    assert.match(said, /runs a rollback of run r-\S+, which has no batches to come; adjust it when that has ended/);
    const left = await adjusted(bed);
    assert.equal(left.code, 0, left.said);
    assert.match(left.said, /is planned so when it goes on: 'proxyctl migrate'/);
    await ends(bed, 'migrate', 0, /planned anew, at most 1 nodes a batch/);
    expectMode(bed, 'nftables');
  });
