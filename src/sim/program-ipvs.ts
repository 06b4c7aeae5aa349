// What kube-proxy writes in ipvs mode. Source: kube-proxy 1.36 pkg/proxy/ipvs/proxier.go.
import type { Chains, Iptables } from './iptables.ts';
import { IPSETS, IPVS_JUMPS, type Ipvs, ipsetName, type VirtualServer } from './ipvs.ts';
import { filterChains, natChains } from './ipvs-chains.ts';
import { inCIDR } from './proxy-config.ts';
import { outsideIPs, reachedOn, type ServicePort, type ServiceView } from './services.ts';

export interface IpvsNode {
  readonly ip: string;
  readonly name: string;
  /** Addresses that accept NodePorts. */
  readonly nodePortIPs: readonly string[];
  readonly clusterCIDR: string;
  readonly scheduler: string;
  /** Whether an address is in excludeCIDRs and so left alone. */
  readonly excluded: (ip: string) => boolean;
}

/** Writes virtual servers, device and sets first, the shared chains last, as the real one does. */
export function programIpvs(
  ipvs: Ipvs,
  iptables: Iptables,
  family: 'IPv4' | 'IPv6',
  view: ServiceView,
  node: IpvsNode,
): void {
  ipvs.loaded = true;
  if (family === 'IPv4') programServers(ipvs, view, node);
  const entries = setEntries(view, node, ipvs.device ?? new Set());
  for (const set of IPSETS) ipvs.sets.set(ipsetName(family, set), entries.get(set) ?? new Set());
  const filled = new Set(entries.keys());
  const chains: Record<'filter' | 'nat', Chains> = {
    nat: natChains(family, filled, node.clusterCIDR),
    filter: filterChains(family, filled),
  };
  for (const table of ['nat', 'filter'] as const)
    for (const [name, rules] of chains[table]) iptables.setChain(table, name, rules);
  for (const [table, chain, rule] of IPVS_JUMPS) iptables.prependRule(table, chain, rule);
}

function programServers(ipvs: Ipvs, view: ServiceView, node: IpvsNode): void {
  const servers = new Map<string, VirtualServer>();
  const device = new Set<string>();
  for (const server of ipvs.servers.values())
    if (node.excluded(server.ip)) servers.set(`${server.protocol}/${server.ip}/${server.port}`, server);
  for (const port of view.ports) {
    const { internal, external } = behind(port, node.name);
    const foreign = port.localOnly && !port.endpoints.some(endpoint => endpoint.node === node.name);
    const take = (ip: string, number: number, real: VirtualServer['real'], more: Partial<VirtualServer> = {}) => {
      const seconds = port.affinitySeconds;
      const { protocol } = port;
      const persistence = seconds === undefined ? {} : { seconds };
      const server = { protocol, ip, port: number, scheduler: node.scheduler, ...persistence, real, ...more };
      servers.set(`${protocol}/${ip}/${number}`, server);
    };
    for (const ip of [port.clusterIP, ...outsideIPs(port)]) {
      // An address that the node has itself is not given to the device too.
      if (ip !== node.ip) device.add(ip);
      if (ip === port.clusterIP) take(ip, port.port, internal);
      else take(ip, port.port, external, foreign ? { foreign } : {});
    }
    if (port.nodePort) for (const ip of node.nodePortIPs) take(ip, port.nodePort, external);
  }
  ipvs.servers = servers;
  ipvs.device = device;
}

/** With policy Local, any endpoint is better than none: ipvs knows no drop. */
function behind(port: ServicePort, node: string): Record<'internal' | 'external', VirtualServer['real']> {
  const { internal, external, usesCluster } = reachedOn(port, node);
  const other = usesCluster ? port.endpoints : [];
  const real = (found: readonly { ip: string; port: number }[]) =>
    (found.length > 0 ? found : other).map(end => ({ ip: end.ip, port: end.port }));
  return { internal: real(internal), external: real(external) };
}

/** What is in each set; kube-proxy writes no rule for an empty one, and those are left out. */
function setEntries(
  { ports }: ServiceView,
  node: IpvsNode,
  device: ReadonlySet<string>,
): Map<(typeof IPSETS)[number], Set<string>> {
  const found = new Map<(typeof IPSETS)[number], Set<string>>();
  const add = (set: (typeof IPSETS)[number], entry: string) => {
    const entries = found.get(set) ?? new Set();
    found.set(set, entries.add(entry));
  };
  for (const { clusterIP, nodePort, port, protocol, externalIPs, localOnly, endpoints, ...rest } of ports) {
    add('KUBE-CLUSTER-IP', `${clusterIP},${protocol}:${port}`);
    for (const ip of externalIPs)
      add(localOnly ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP', `${ip},${protocol}:${port}`);
    for (const ip of rest.balancerIPs) {
      const entry = `${ip},${protocol}:${port}`;
      add('KUBE-LOAD-BALANCER', entry);
      if (localOnly) add('KUBE-LOAD-BALANCER-LOCAL', entry);
      if (rest.sourceRanges.length > 0) add('KUBE-LOAD-BALANCER-FW', entry);
      for (const range of rest.sourceRanges)
        add('KUBE-LOAD-BALANCER-SOURCE-CIDR', `${entry},${range.replace(/\/32$/, '')}`);
      if (rest.sourceRanges.some(range => inCIDR(node.ip, range)))
        add('KUBE-LOAD-BALANCER-SOURCE-IP', `${entry},${ip}`);
    }
    if (nodePort) {
      const upper = protocol === 'tcp' ? 'TCP' : 'UDP';
      const [all, local, numbers] =
        protocol === 'sctp'
          ? (['KUBE-NODE-PORT-SCTP-HASH', 'KUBE-NODE-PORT-LOCAL-SCTP-HASH', node.nodePortIPs] as const)
          : ([`KUBE-NODE-PORT-${upper}`, `KUBE-NODE-PORT-LOCAL-${upper}`, ['']] as const);
      for (const ip of numbers) {
        const entry = ip === '' ? String(nodePort) : `${ip},sctp:${nodePort}`;
        add(all, entry);
        if (localOnly) add(local, entry);
      }
    }
    for (const { ip, port: target } of endpoints.filter(endpoint => endpoint.node === node.name))
      add('KUBE-LOOP-BACK', `${ip},${protocol}:${target},${ip}`);
  }
  for (const address of ports.length > 0 ? device : []) add('KUBE-IPVS-IPS', address);
  return found;
}
