// What became of a Service since the run began: the targets of the watchers are as old as the run.
import type { KubeObject } from './cluster.ts';
import type { Look } from './gate.ts';
import { serviceKey } from './inventory.ts';
import { serviceOfTarget } from './probe-targets.ts';

/** More broken Services than that are not a matter of single Services that changed. */
const MOST_READS = 10;

/**
 * Of these probe targets, those whose Service was deleted or has other addresses or ports than the inventory says: not
 * kube-proxy's fault. Empty without a cluster to ask, or when too many are broken to ask for each. Throws what the API throws.
 */
export async function outdatedTargets(look: Look, ids: Iterable<string>): Promise<Set<string>> {
  const outdated = new Set<string>();
  const byService = Map.groupBy(new Set(ids), serviceOfTarget);
  if (!look.cluster || byService.size > MOST_READS) return outdated;
  for (const [key, targets] of byService) {
    const [namespace = '', name = ''] = key.split('/');
    const now = await look.cluster.get({ kind: 'Service', namespace, name });
    const then = look.inventory.services.find(s => serviceKey(s) === key);
    for (const id of targets) {
      if (!now || (then && changed(now, id, then.clusterIPs))) outdated.add(id);
    }
  }
  return outdated;
}

function changed(now: KubeObject, id: string, clusterIPs: readonly string[]): boolean {
  const spec: { clusterIPs?: string[]; ports?: { port: number; protocol?: string }[] } = now.spec ?? {};
  const same = clusterIPs.every(ip => spec.clusterIPs?.includes(ip));
  const [, port, protocol] = /:(\d+)\/(\w+)(?:@.*)?$/.exec(id) ?? [];
  return !same || !spec.ports?.some(p => String(p.port) === port && (p.protocol ?? 'TCP') === protocol);
}
