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
