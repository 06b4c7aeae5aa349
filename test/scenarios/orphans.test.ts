// Somebody deletes namespace proxyctl in a run: what to put back stood only there. Nothing is called done, and nothing is begun on
// top of it; what docs/way-back.md says to do by hand brings the cluster back.
import { expect, it } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import { ANNOTATION_EPOCH, ANNOTATION_STATE, LABEL_MODE, LABEL_RUN, NAMESPACE } from '../../src/core/names.ts';
import { embeddedTestbed } from './embedded-testbed.ts';
import { migrated } from './migration.ts';

const TIMEOUT = 400_000;
const PATIENT = { timeout: 120_000 };

function without(metadata: KubeObject['metadata']): void {
  delete metadata.labels?.[LABEL_MODE];
  for (const key of [ANNOTATION_STATE, ANNOTATION_EPOCH]) delete metadata.annotations?.[key];
}

function isRolledOut(set: KubeObject | undefined): boolean {
  const { observedGeneration, updatedNumberScheduled, desiredNumberScheduled, numberReady } = set?.status ?? {};
  const isSeen = observedGeneration === set?.metadata.generation;
  return isSeen && updatedNumberScheduled === desiredNumberScheduled && numberReady === desiredNumberScheduled;
}

it('a run whose record was deleted is named, not called done, and can be undone by hand', { timeout: TIMEOUT }, async ({
  onTestFinished,
}) => {
  const bed = await embeddedTestbed('iptables', 47);
  onTestFinished(() => bed.close());
  const { store, registry } = bed.sim;
  expect((await bed.proxyctl('migrate', '--to', 'nftables', '--yes')).code).toBe(0);
  registry.delete({ kind: 'Namespace', name: NAMESPACE }, {});
  await expect.poll(() => store.get('Namespace', undefined, NAMESPACE), { timeout: 30_000 }).toBeUndefined();
  const nodes = store.list('Node').map(node => node.metadata.name);
  for (const command of ['rollback', 'finalize', 'migrate']) {
    const { code, stderr } = await bed.proxyctl(command, '--yes');
    expect([code, stderr]).toEqual([
      20,
      expect.stringMatching(new RegExp(`the record of a run is gone, and 3 nodes .*${nodes[0]}.* docs/way-back.md`)),
    ]);
  }
  await migrated(bed, 'nftables');

  for (const name of nodes) {
    store.mutate('Node', undefined, name, node => without(node.metadata));
    await expect.poll(() => bed.sim.node(name).proxyMode, { timeout: 60_000 }).toBe('iptables');
  }
  store.mutate('DaemonSet', 'kube-system', 'kube-proxy', set => {
    without(set.metadata);
    delete set.spec.template.spec.affinity;
    set.spec.updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } };
  });
  for (const kind of ['DaemonSet', 'ConfigMap'] as const)
    for (const { metadata } of store.list(kind, 'kube-system'))
      if (metadata.labels?.[LABEL_RUN]) registry.delete({ kind, namespace: 'kube-system', name: metadata.name }, {});
  await expect.poll(async () => (await bed.proxyctl('status')).code, { ...PATIENT, interval: 2000 }).toBe(0);
  const done = await bed.proxyctl('rollback', '--yes');
  expect([done.code, done.stderr]).toEqual([0, expect.stringContaining('nothing to do: no run')]);
  // The template without our rule is another one: its controller restarts every kube-proxy, one after the other.
  await expect.poll(() => isRolledOut(store.get('DaemonSet', 'kube-system', 'kube-proxy')), PATIENT).toBe(true);
  await expect
    .poll(() => new Set(nodes.map(name => bed.sim.node(name).proxyMode)), PATIENT)
    .toEqual(new Set(['iptables']));
  await migrated(bed, 'iptables');
});
