import { type Inventory, type ServiceFacts, serviceKey } from './inventory.ts';
import { NAMESPACE } from './names.ts';
import type { ProbeTarget, ProbeTargets } from './observation.ts';
import { NODE_ADDRESSES, type ProbeKind, targetId } from './probe-kind.ts';

/** A ConfigMap holds 1 MiB; the rest is for its metadata. */
const MAX_BYTES = 900_000;

/**
 * What watchers probe: TCP and UDP ports of the Services that kube-proxy serves, on every address that leads to them, Services
 * in `first` before others, at most `limit` Services. `left` names the Services that did not fit.
 */
export function probeTargets(
  inventory: Inventory,
  first: ReadonlySet<string>,
  limit: number,
): { targets: ProbeTargets; left: string[] } {
  // Those of proxyctl come and go with its watchers, which know them.
  const services = inventory.services
    .filter(s => s.proxied && s.namespace !== NAMESPACE)
    .map(s => ({ key: serviceKey(s), service: s }));
  services.sort((a, b) => Number(first.has(b.key)) - Number(first.has(a.key)) || (a.key < b.key ? -1 : 1));
  const targets: ProbeTarget[] = [];
  const left: string[] = [];
  let bytes = 0;
  for (const [index, { key, service }] of services.entries()) {
    const own = targetsOf(key, service);
    bytes += JSON.stringify(own).length;
    if (index >= limit || bytes > MAX_BYTES) left.push(key);
    else targets.push(...own);
  }
  return { targets: { version: 1, targets }, left };
}

type Port = ServiceFacts['ports'][number] & { protocol: ProbeTarget['protocol'] };

function targetsOf(key: string, service: ServiceFacts): ProbeTarget[] {
  const endpoints = Object.values(service.readyByNode).some(n => n > 0);
  const ports = service.ports.filter((port): port is Port => port.protocol !== 'SCTP');
  const all = ports.flatMap(port => {
    const { protocol } = port;
    const name = `${key}:${port.port}/${protocol}`;
    const at = (kind: ProbeKind, address: string, named = address): ProbeTarget => ({
      id: targetId(name, kind, named),
      address,
      port: port.port,
      protocol,
      endpoints,
    });
    const inside = service.clusterIPs.map((address, i) =>
      at(protocol === 'TCP' ? 'cluster-ip-tcp' : 'cluster-ip-udp', address, i === 0 ? '' : address),
    );
    // A refusal on one address says what it says on all.
    if (!endpoints) return inside;
    return [
      ...inside,
      ...(isDns(service, port) ? service.clusterIPs.slice(0, 1).map(address => at('dns', address, '')) : []),
      ...nodePortTargets(name, service, port),
      ...service.loadBalancerIPs.map(address => at('load-balancer', address)),
      ...service.externalIPs.map(address => at('external-ip', address)),
    ];
  });
  return endpoints ? [...all, ...healthCheckTargets(key, service)] : all;
}

/** One for each family, by the name of the Service's first port; the watcher knows the node's address. */
function healthCheckTargets(key: string, { clusterIPs, ports, healthCheckNodePort }: ServiceFacts): ProbeTarget[] {
  const [first] = ports;
  if (healthCheckNodePort === undefined || !first) return [];
  return familiesOf(clusterIPs).map(family => {
    const address = NODE_ADDRESSES[family];
    const id = targetId(`${key}:${first.port}/${first.protocol}`, 'health-check', address);
    return { id, address, port: healthCheckNodePort, protocol: 'TCP', endpoints: true };
  });
}

function familiesOf(clusterIPs: readonly string[]): (keyof typeof NODE_ADDRESSES)[] {
  return [...new Set(clusterIPs.map(ip => (ip.includes(':') ? 'IPv6' : 'IPv4')))];
}

/** One target for each family; the watcher makes one for each address of its node of it. */
function nodePortTargets(name: string, { clusterIPs }: ServiceFacts, port: Port): ProbeTarget[] {
  const { nodePort, protocol } = port;
  if (nodePort === undefined) return [];
  return familiesOf(clusterIPs).map(family => {
    const address = NODE_ADDRESSES[family];
    return { id: targetId(name, 'node-port', address), address, port: nodePort, protocol, endpoints: true };
  });
}

/** The Service that pods ask for names, whatever the installer calls it. */
function isDns({ namespace, ports }: ServiceFacts, { port }: Port): boolean {
  return namespace === 'kube-system' && port === 53 && ports.some(p => p.port === 53 && p.protocol === 'UDP');
}
