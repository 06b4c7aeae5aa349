// The connection table through a flip, on the embedded cluster: looked at by the shipped watcher.
import { describe, expect, it } from 'vitest';
import { LABEL_MODE } from '../../src/core/names.ts';
import { embeddedTestbed } from './embedded-testbed.ts';
import { migrated } from './migration.ts';

const TIMEOUT = 120_000;

describe.concurrent('the connection table', () => {
  it('that the next start of kube-proxy would shrink stops the run before the node is touched', {
    timeout: TIMEOUT,
  }, async ({ onTestFinished }) => {
    const bed = await embeddedTestbed('iptables', 31);
    onTestFinished(() => bed.close());
    for (const node of bed.sim.nodes) node.kernel.conntrack.max = 262_144;
    const halted = await bed.proxyctl('migrate', '--to', 'nftables', '--yes');
    expect(halted.code, halted.stderr).toBe(21);
    expect(halted.stderr.replace(/\s+/g, ' ')).toContain('makes the table smaller, 131072 instead of 262144');
    expect(bed.sim.nodes.map(node => node.kernel.conntrack.max)).toEqual([262_144, 262_144, 262_144]);
    await migrated(bed, 'iptables');
  });

  it('that fills once the node has flipped sends the node back', { timeout: TIMEOUT }, async ({ onTestFinished }) => {
    const bed = await embeddedTestbed('iptables', 32);
    onTestFinished(() => bed.close());
    const run = bed.proxyctl('migrate', '--to', 'nftables', '--yes');
    const released = () => bed.sim.store.list('Node').find(n => n.metadata.labels?.[LABEL_MODE] !== undefined);
    await expect.poll(released, { timeout: 60_000, interval: 20 }).toBeDefined();
    const name = released()?.metadata.name ?? '';
    bed.sim.fault.conntrackFill(name, 0.8);
    const { code, stderr } = await run;
    expect(code, stderr).toBe(21);
    expect(stderr).toContain('connections are tracked (8');
    expect(stderr.replace(/\s+/g, ' ')).toContain('conntrack.min: 262144');
    expect(bed.sim.node(name).proxyMode).toBe('iptables');
  });
});
