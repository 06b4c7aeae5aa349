// A CNI plugin that jumps to KUBE-MARK-MASQ (portmap with externalSetMarkChain): kube-proxy's own cleaning fails as a whole on it.
import { expect, it } from 'vitest';
import type { SimNode } from '../../src/sim/node.ts';
import { withBed } from '../crash/bed.ts';
import { expectMode } from '../crash/sweep.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated, withoutLoss } from './migration.ts';
import { differences } from './testbed.ts';

const PORTMAP: readonly [chain: string, rule: string][] = [
  ['CNI-HOSTPORT-DNAT', '-p tcp -m tcp --dport 8443 -j CNI-DN-0123456789abcdef01234'],
  ['CNI-DN-0123456789abcdef01234', '-s 10.244.0.0/16 -p tcp -m tcp --dport 8443 -j KUBE-MARK-MASQ'],
  ['CNI-DN-0123456789abcdef01234', '-p tcp -m tcp --dport 8443 -j DNAT --to-destination 10.244.1.200:443'],
  ['PREROUTING', '-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT'],
];
const KUBELETS = 'KUBE-KUBELET-CANARY';

/** Chains of Services and what the plugin has, by table and chain. */
function nat({ kernel }: SimNode): { kube: string[]; mark: readonly string[]; plugin: string[] } {
  const chains = kernel.iptables.IPv4.chains('nat');
  const names = [...chains.keys()];
  return {
    kube: names.filter(name => name.startsWith('KUBE-') && name !== KUBELETS),
    mark: chains.get('KUBE-MARK-MASQ') ?? [],
    plugin: PORTMAP.filter(([chain, rule]) => chains.get(chain)?.includes(rule)).map(([, rule]) => rule),
  };
}

function withPortmap(bed: EmbeddedTestbed): void {
  for (const { kernel } of bed.sim.nodes)
    for (const [chain, rule] of PORTMAP) kernel.iptables.IPv4.ensureRule('nat', chain, rule);
}

it('is left with its mark, and the nodes go to nftables and back', { timeout: 120_000 }, async ({ onTestFinished }) => {
  const bed = await embeddedTestbed('iptables', 17);
  onTestFinished(() => bed.close());
  withPortmap(bed);
  const before = await bed.objects();
  await withoutLoss(bed, 'iptables -> nftables', 0, 'migrate', '--to', 'nftables', '--batch', '10');
  for (const node of bed.sim.nodes) {
    expect(node.proxyMode).toBe('nftables');
    const { kube, mark, plugin } = nat(node);
    expect(kube).toEqual(['KUBE-MARK-MASQ']);
    expect(mark).not.toEqual([]);
    expect(plugin).toHaveLength(PORTMAP.length);
  }
  await withoutLoss(bed, 'rollback', 0, 'rollback');
  await migrated(bed, 'iptables');
  for (const node of bed.sim.nodes) expect(nat(node).plugin).toHaveLength(PORTMAP.length);
  expect(differences(before, await bed.objects())).toEqual([]);
});

it('costs nodes without one no sweeper', () =>
  withBed({ mode: 'iptables', to: 'nftables', seed: 45 }, async bed => {
    const sweepers: string[] = [];
    bed.sim.store.subscribe(({ type, kind, object: { metadata } }) => {
      if (kind === 'Pod' && type === 'ADDED' && metadata.name.startsWith('sweep-')) sweepers.push(metadata.name);
    });
    const process = bed.process('migrate');
    expect(await bed.run(process, 'migrate'), process.output).toBe(0);
    expectMode(bed, 'nftables');
    expect(sweepers).toEqual([]);
  }));
