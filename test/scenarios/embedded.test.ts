// The scenarios of test/real on the embedded cluster, and those that want a fault only it can make at will.
import { describe, expect, it, type TestContext } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { MODES } from '../../src/core/mode.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated, thereAndBack, thereToStay, withoutLoss } from './migration.ts';
import { differences } from './testbed.ts';

const DIRECTIONS: [Mode, Mode][] = MODES.flatMap(from =>
  MODES.filter(to => to !== from).map((to): [Mode, Mode] => [from, to]),
);
const TIMEOUT = 120_000;

/** A cluster of its own for the test in hand; they wait more than they work, so they run beside one another. */
async function fresh({ onTestFinished }: TestContext, mode: Mode, seed: number): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed(mode, seed);
  onTestFinished(() => bed.close());
  return bed;
}

describe.concurrent.each(DIRECTIONS)('%s -> %s', (from, to) => {
  it('and back loses nothing and leaves nothing', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, from, 11);
    await thereAndBack(bed, from, to);
  });

  it('to stay loses nothing and leaves nothing', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, from, 12);
    await thereToStay(bed, from, to);
  });
});

describe.concurrent('a Service that breaks silently after the flip', () => {
  it('is named, its node goes back, the run halts; then everything goes back', {
    timeout: TIMEOUT,
  }, async context => {
    const bed = await fresh(context, 'iptables', 13);
    const before = await bed.objects();
    const node = bed.sim.nodes[1]?.name ?? '';
    const service = bed.sim.store
      .list('Service', undefined)
      .find(s => s.metadata.namespace !== 'kube-system' && s.spec.selector);
    const key = `${service?.metadata.namespace}/${service?.metadata.name}`;
    bed.sim.fault.silentService(node, key, ['nftables']);
    const halted = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    expect(halted.code, halted.stderr).toBe(21);
    expect(halted.stderr).toContain(key);
    expect(halted.stderr).toContain(`${node}`);
    expect((await bed.truth()).find(t => t.name === node)?.mode).toBe('iptables');
    await withoutLoss(bed, 'rollback', 0, 'rollback');
    await migrated(bed, 'iptables');
    expect(differences(before, await bed.objects())).toEqual([]);
  });
});

describe.concurrent('a run that was halted', () => {
  it('goes on when it is called again, and one node alone can go back', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 'iptables', 14);
    const clear = bed.sim.fault.noNft(bed.sim.nodes[2]?.name ?? '');
    const halted = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    expect(halted.code, halted.stderr).toBe(21);
    clear();
    await withoutLoss(bed, 'going on', 0, 'migrate');
    await migrated(bed, 'nftables');
    const name = bed.sim.nodes[0]?.name ?? '';
    await withoutLoss(bed, 'one back', 0, 'rollback', '--node', name);
    const modes = (await bed.truth()).map(t => [t.name, t.mode]);
    expect(modes.filter(([n]) => n === name)).toEqual([[name, 'iptables']]);
    expect(modes.filter(([n, mode]) => n !== name && mode === 'nftables')).toHaveLength(2);
    expect((await bed.proxyctl('status')).stdout).toContain('nftables');
    // That rollback has ended: what is there to go on with is the migration.
    await withoutLoss(bed, 'there again', 0, 'resume');
    await migrated(bed, 'nftables');
  });
});

describe.concurrent('two runs', () => {
  it('the second is refused while the first holds the Lease', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 'iptables', 15);
    const first = bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    await context.expect.poll(() => bed.sim.store.list('Lease', 'proxyctl').length, { timeout: 10_000 }).toBe(1);
    const second = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    expect(second.code, second.stderr).toBe(25);
    expect(second.stderr).toMatch(/run is under way|stands in this cluster/);
    expect((await first).code).toBe(0);
  });
});
