// The way back where it is needed most: the Service network and cluster DNS are dead on the node, no pod gets a network, and no
// image can be pulled.
import { describe, expect, it, type TestContext } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { unserved } from '../crash/kernel-truth.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated } from './migration.ts';
import { differences } from './testbed.ts';

const TIMEOUT = 400_000;

async function fresh({ onTestFinished }: TestContext, from: Mode): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed(from, 47, 2);
  onTestFinished(() => bed.close());
  return bed;
}

/** Every Service, `kubernetes` and DNS among them, in that mode. */
function killServices({ sim }: EmbeddedTestbed, node: string, mode: Mode): void {
  for (const { metadata } of sim.store.list('Service'))
    sim.fault.silentService(node, `${metadata.namespace}/${metadata.name}`, [mode]);
}

function deadOn({ sim }: EmbeddedTestbed, node: string): string[] {
  return unserved(sim, sim.node(node));
}

describe.concurrent('on nodes without a Service network', () => {
  it.for([
    { from: 'iptables', to: 'nftables' },
    { from: 'ipvs', to: 'nftables' },
    { from: 'nftables', to: 'ipvs' },
    { from: 'nftables', to: 'iptables' },
  ] as const)('$from -> $to is rolled back', { timeout: TIMEOUT }, async ({ from, to }, context) => {
    const bed = await fresh(context, from);
    const before = await bed.objects();
    expect((await bed.proxyctl('migrate', '--to', to, '--batch', '10', '--yes')).code).toBe(0);
    const plugins = new Map<string, () => void>();
    for (const { name } of bed.sim.nodes) {
      killServices(bed, name, to);
      expect(deadOn(bed, name).some(key => key.startsWith('default/kubernetes'))).toBe(true);
      expect(deadOn(bed, name).some(key => key.startsWith('kube-system/kube-dns'))).toBe(true);
      // A network plugin that needs the API by its Service gives no pod an address then.
      plugins.set(name, bed.sim.fault.noPodNetwork(name));
    }
    bed.sim.fault.registryAway = true;
    const heal = bed.sim.store.subscribe(({ kind, object }) => {
      const name = object.metadata.name;
      if (kind === 'Node' && modeLabel(object) === undefined && deadOn(bed, name).length === 0) plugins.get(name)?.();
    });
    const back = await bed.proxyctl('rollback', '--yes');
    heal();
    expect(back.code, back.stderr).toBe(0);
    await migrated(bed, from);
    for (const { name } of bed.sim.nodes) expect(deadOn(bed, name)).toEqual([]);
    expect(differences(before, await bed.objects())).toEqual([]);
  });

  it('that dies in the middle of a flip the node goes back by itself', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 'iptables');
    let struck = '';
    bed.sim.store.subscribe(({ kind, object }) => {
      if (kind !== 'Node' || modeLabel(object) !== 'nftables' || struck !== '') return;
      struck = object.metadata.name;
      killServices(bed, struck, 'nftables');
      bed.sim.fault.registryAway = true;
    });
    const run = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    expect(run.code, run.stderr).toBe(21);
    expect(struck).not.toBe('');
    await migrated(bed, 'iptables', [struck]);
    expect(deadOn(bed, struck)).toEqual([]);
  });
});
