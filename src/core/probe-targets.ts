import { type Inventory, serviceKey } from './inventory.ts';
import type { ProbeTarget, ProbeTargets } from './observation.ts';

/** A ConfigMap holds 1 MiB; the rest is for its metadata. */
const MAX_BYTES = 900_000;

/**
 * What watchers probe: every TCP and UDP port of the cluster IPs that kube-proxy serves, Services in `first` before others,
 * at most `limit` Services. `left` names the Services that did not fit.
 */
export function probeTargets(
  inventory: Inventory,
  first: ReadonlySet<string>,
  limit: number,
): { targets: ProbeTargets; left: string[] } {
  const services = inventory.services.filter(s => s.proxied).map(s => ({ key: serviceKey(s), service: s }));
  services.sort((a, b) => Number(first.has(b.key)) - Number(first.has(a.key)) || (a.key < b.key ? -1 : 1));
  const targets: ProbeTarget[] = [];
  const left: string[] = [];
  let bytes = 0;
  for (const [index, { key, service }] of services.entries()) {
    const own = service.clusterIPs.flatMap((address, family) =>
      service.ports.flatMap((port): ProbeTarget[] =>
        port.protocol === 'SCTP'
          ? []
          : [
              {
                id: `${key}:${port.port}/${port.protocol}${family > 0 ? `@${address}` : ''}`,
                address,
                port: port.port,
                protocol: port.protocol,
                endpoints: Object.values(service.readyByNode).some(n => n > 0),
              },
            ],
      ),
    );
    bytes += JSON.stringify(own).length;
    if (index >= limit || bytes > MAX_BYTES) left.push(key);
    else targets.push(...own);
  }
  return { targets: { version: 1, targets }, left };
}

/** `namespace/name` of a probe target's id. */
export function serviceOfTarget(id: string): string {
  return id.slice(0, id.lastIndexOf(':', id.lastIndexOf('/')));
}
