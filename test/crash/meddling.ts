// Somebody else writes to kube-proxy's own objects in the middle of a run.
import type { KubeObject } from '../../src/core/cluster.ts';
import type { Bed } from './bed.ts';

/** kube-proxy's shared configuration. */
export function configText({ sim }: Bed): string {
  return sim.registry.read({ kind: 'ConfigMap', namespace: 'kube-system', name: 'kube-proxy' }).data['config.conf'];
}

export function writeConfig({ sim }: Bed, config: string): void {
  sim.store.mutate('ConfigMap', 'kube-system', 'kube-proxy', copy => {
    copy.data['config.conf'] = config;
  });
}

/** kube-proxy's own DaemonSet. */
export function daemonSet({ sim }: Bed): KubeObject {
  return sim.registry.read({ kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy' });
}

/** As `kubectl edit`: a new generation. */
export function editDaemonSet({ sim }: Bed, change: (spec: KubeObject['spec']) => void): void {
  sim.store.mutate('DaemonSet', 'kube-system', 'kube-proxy', copy => {
    change(copy.spec);
    copy.metadata.generation = (copy.metadata.generation ?? 0) + 1;
  });
}

const DAEMON_SET = { kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy' } as const;

/** As `kubectl delete`, or with `orphan` as `kubectl delete --cascade=orphan`: its pods stay, and nobody's. */
export function deleteDaemonSet({ sim, checker }: Bed, orphan = false): void {
  checker.usurped = true;
  checker.disturbed = true;
  const uid = sim.store.get(DAEMON_SET.kind, DAEMON_SET.namespace, DAEMON_SET.name)?.metadata.uid;
  if (uid === undefined) return;
  sim.registry.delete(DAEMON_SET, {});
  if (!orphan) return;
  for (const kind of ['Pod', 'ControllerRevision'] as const)
    for (const { metadata } of sim.store.list(kind, DAEMON_SET.namespace))
      sim.store.mutate(kind, metadata.namespace, metadata.name, copy => {
        const others = copy.metadata.ownerReferences?.filter(owner => owner.uid !== uid);
        if (others) copy.metadata.ownerReferences = others;
      });
}

/** As it was shipped, with what is changed in it, unless somebody has made it meanwhile. */
export function makeDaemonSet({ sim, shipped }: Bed, change: (spec: KubeObject['spec']) => void = () => {}): void {
  if (sim.store.get(DAEMON_SET.kind, DAEMON_SET.namespace, DAEMON_SET.name)) return;
  const { name, labels } = shipped.metadata;
  const spec = structuredClone(shipped.spec);
  change(spec);
  const metadata = { name, namespace: DAEMON_SET.namespace, ...(labels ? { labels } : {}) };
  sim.registry.create({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec }, 'DaemonSet', DAEMON_SET.namespace);
}
