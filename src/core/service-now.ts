// What became of a Service since the run began: the targets of the watchers are as old as the run.
import type { ApiService } from './api-services.ts';
import type { Look } from './gate.ts';
import { serviceIn } from './inventory.ts';
import { kindOfTarget, serviceOfTarget } from './probe-kind.ts';

/**
 * Of these probe targets, those whose failure is not kube-proxy's fault, and why: their Service was deleted, has other addresses
 * or ports than the inventory says, or lost its endpoints. Empty where nobody watches the API; throws when what it says is in
 * doubt.
 */
export function outdatedTargets(look: Look, ids: Iterable<string>): Map<string, string> {
  const outdated = new Map<string, string>();
  const byService = Map.groupBy(new Set(ids), serviceOfTarget);
  const { truth, node } = look;
  if (!truth || byService.size === 0) return outdated;
  const trouble = truth.trouble(node?.now ?? 0);
  if (trouble !== undefined) throw new Error(trouble);
  for (const [key, targets] of byService) {
    const now = truth.history.service(key);
    const then = serviceIn(look.inventory, key);
    for (const id of targets) {
      const closed = kindOfTarget(id) === 'health-check' && now?.externalLocal === false;
      if (!now || closed || (then && changed(now, id, then.clusterIPs)))
        outdated.set(id, 'the Service was deleted or changed meanwhile');
      else if (!truth.history.hasEndpoints(key)) outdated.set(id, 'the Service lost its endpoints meanwhile');
    }
  }
  return outdated;
}

function changed({ addresses, ports }: ApiService, id: string, clusterIPs: readonly string[]): boolean {
  const same = clusterIPs.every(ip => addresses.some(a => a.clusterIP === ip));
  const [, port, protocol] = /:(\d+)\/(\w+)(?:@.*)?$/.exec(id) ?? [];
  return !same || !ports.some(p => String(p.port) === port && p.protocol === protocol);
}
