// ip_vs of a node: virtual servers, the dummy device that bears their addresses, and the sets that kube-proxy's rules match.
import type { Chains, Iptables, TableName } from './iptables.ts';
import { FORWARD_RULES, MARK_RULES, POSTROUTING_RULES } from './program-iptables.ts';
import type { ServiceView } from './services.ts';

export interface VirtualServer {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly ip: string;
  readonly port: number;
  readonly scheduler: string;
  readonly real: readonly { ip: string; port: number }[];
}

export class Ipvs {
  /** The module is loaded, so /proc/net/ip_vs is there. */
  loaded = false;
  /** By `tcp/10.96.0.1/443`. */
  servers = new Map<string, VirtualServer>();
  /** Addresses of kube-ipvs0, undefined without the device. */
  device: Set<string> | undefined;
  /** Entries by name of the set. */
  sets = new Map<string, ReadonlySet<string>>();

  reset(): void {
    this.loaded = false;
    this.servers.clear();
    this.device = undefined;
    this.sets.clear();
  }
}

/** Sets of kube-proxy in their order. Source: kube-proxy 1.36 pkg/proxy/ipvs/proxier.go `ipsetInfo`. */
export const IPSETS = [
  'KUBE-LOOP-BACK',
  'KUBE-CLUSTER-IP',
  'KUBE-EXTERNAL-IP',
  'KUBE-EXTERNAL-IP-LOCAL',
  'KUBE-LOAD-BALANCER',
  'KUBE-LOAD-BALANCER-LOCAL',
  'KUBE-LOAD-BALANCER-FW',
  'KUBE-LOAD-BALANCER-SOURCE-IP',
  'KUBE-LOAD-BALANCER-SOURCE-CIDR',
  'KUBE-NODE-PORT-TCP',
  'KUBE-NODE-PORT-LOCAL-TCP',
  'KUBE-NODE-PORT-UDP',
  'KUBE-NODE-PORT-LOCAL-UDP',
  'KUBE-NODE-PORT-SCTP-HASH',
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH',
  'KUBE-HEALTH-CHECK-NODE-PORT',
  'KUBE-IPVS-IPS',
] as const;

/** Names of sets are cut to 31 characters. */
export function ipsetName(family: 'IPv4' | 'IPv6', name: string): string {
  return family === 'IPv4' ? name : name.replace('KUBE-', 'KUBE-6-').slice(0, 31);
}

export const IPVS_JUMPS: readonly [TableName, string, string][] = [
  ['nat', 'OUTPUT', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'PREROUTING', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'POSTROUTING', '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'],
  ['filter', 'FORWARD', '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD'],
  ['filter', 'INPUT', '-m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT'],
  ['filter', 'INPUT', '-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'],
  ['filter', 'FORWARD', '-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'],
  ['filter', 'INPUT', '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER'],
  ['filter', 'OUTPUT', '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER'],
];

export const IPVS_CHAINS: readonly [TableName, string][] = [
  ['nat', 'KUBE-SERVICES'],
  ['nat', 'KUBE-POSTROUTING'],
  ['nat', 'KUBE-NODE-PORT'],
  ['nat', 'KUBE-LOAD-BALANCER'],
  ['nat', 'KUBE-MARK-MASQ'],
  ['filter', 'KUBE-FORWARD'],
  ['filter', 'KUBE-NODE-PORT'],
  ['filter', 'KUBE-PROXY-FIREWALL'],
  ['filter', 'KUBE-SOURCE-RANGES-FIREWALL'],
  ['filter', 'KUBE-IPVS-FILTER'],
  ['filter', 'KUBE-IPVS-OUT-FILTER'],
];

export interface IpvsNode {
  readonly ip: string;
  readonly name: string;
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
    filter: filterChains(family),
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
  const { scheduler } = node;
  for (const { protocol, clusterIP, port, nodePort, externalIPs, localOnly, endpoints } of view.ports) {
    const all = endpoints.map(e => ({ ip: e.ip, port: e.port }));
    const own = localOnly ? endpoints.filter(e => e.node === node.name).map(e => ({ ip: e.ip, port: e.port })) : all;
    for (const ip of [clusterIP, ...externalIPs]) {
      device.add(ip);
      servers.set(`${protocol}/${ip}/${port}`, { protocol, ip, port, scheduler, real: ip === clusterIP ? all : own });
    }
    if (nodePort)
      servers.set(`${protocol}/${node.ip}/${nodePort}`, {
        protocol,
        ip: node.ip,
        port: nodePort,
        scheduler,
        real: own,
      });
  }
  ipvs.servers = servers;
  ipvs.device = device;
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
  for (const { clusterIP, nodePort, port, protocol, externalIPs, localOnly, endpoints } of ports) {
    add('KUBE-CLUSTER-IP', `${clusterIP},${protocol}:${port}`);
    for (const ip of externalIPs)
      add(localOnly ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP', `${ip},${protocol}:${port}`);
    if (nodePort) {
      if (protocol === 'sctp') add('KUBE-NODE-PORT-SCTP-HASH', `${node.ip},sctp:${nodePort}`);
      else add(`KUBE-NODE-PORT-${protocol === 'tcp' ? 'TCP' : 'UDP'}`, String(nodePort));
    }
    for (const { ip, port: target } of endpoints.filter(endpoint => endpoint.node === node.name))
      add('KUBE-LOOP-BACK', `${ip},${protocol}:${target},${ip}`);
  }
  for (const address of ports.length > 0 ? device : []) add('KUBE-IPVS-IPS', address);
  return found;
}

function natChains(family: 'IPv4' | 'IPv6', filled: ReadonlySet<string>, clusterCIDR: string): Chains {
  const match = (name: string, flags: string) => `-m set --match-set ${ipsetName(family, name)} ${flags}`;
  const comment = (text: string) => `-m comment --comment "${text}"`;
  const where = (name: string, ...rules: string[]) => (filled.has(name) ? rules : []);
  const external = `${comment('Kubernetes service external ip + port for masquerade and filter purpose')} ${match('KUBE-EXTERNAL-IP', 'dst,dst')}`;
  const nodePort = (protocol: 'tcp' | 'udp') => {
    const upper = protocol.toUpperCase();
    const text = comment(`Kubernetes nodeport ${upper} port for masquerade purpose`);
    return where(
      `KUBE-NODE-PORT-${upper}`,
      `-p ${protocol} ${text} ${match(`KUBE-NODE-PORT-${upper}`, 'dst')} -j KUBE-MARK-MASQ`,
    );
  };
  const hairpin = comment('Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose');
  return new Map([
    [
      'KUBE-SERVICES',
      [
        `-s ${family === 'IPv4' ? '127.0.0.0/8' : '::1/128'} -j RETURN`,
        ...where(
          'KUBE-CLUSTER-IP',
          `! -s ${clusterCIDR} ${comment('Kubernetes service cluster ip + port for masquerade purpose')} ${match('KUBE-CLUSTER-IP', 'dst,dst')} -j KUBE-MARK-MASQ`,
        ),
        ...where(
          'KUBE-EXTERNAL-IP',
          `${external} -j KUBE-MARK-MASQ`,
          `${external} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`,
          `${external} -m addrtype --dst-type LOCAL -j ACCEPT`,
        ),
        '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
        ...where('KUBE-CLUSTER-IP', `${match('KUBE-CLUSTER-IP', 'dst,dst')} -j ACCEPT`),
      ],
    ],
    ['KUBE-NODE-PORT', [...nodePort('tcp'), ...nodePort('udp')]],
    ['KUBE-LOAD-BALANCER', ['-j KUBE-MARK-MASQ']],
    [
      'KUBE-POSTROUTING',
      [
        ...where('KUBE-LOOP-BACK', `${hairpin} ${match('KUBE-LOOP-BACK', 'dst,dst,src')} -j MASQUERADE`),
        ...POSTROUTING_RULES,
      ],
    ],
    ['KUBE-MARK-MASQ', MARK_RULES],
  ]);
}

function filterChains(family: 'IPv4' | 'IPv6'): Chains {
  const match = (name: string, flags: string) => `-m set --match-set ${ipsetName(family, name)} ${flags}`;
  return new Map<string, readonly string[]>([
    ['KUBE-FORWARD', FORWARD_RULES],
    [
      'KUBE-NODE-PORT',
      [
        `-m comment --comment "Kubernetes health check node port" ${match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j ACCEPT`,
      ],
    ],
    ['KUBE-PROXY-FIREWALL', []],
    ['KUBE-SOURCE-RANGES-FIREWALL', ['-j DROP']],
    [
      'KUBE-IPVS-FILTER',
      [
        `${match('KUBE-LOAD-BALANCER', 'dst,dst')} -j RETURN`,
        `${match('KUBE-CLUSTER-IP', 'dst,dst')} -j RETURN`,
        `${match('KUBE-EXTERNAL-IP', 'dst,dst')} -j RETURN`,
        `${match('KUBE-EXTERNAL-IP-LOCAL', 'dst,dst')} -j RETURN`,
        `${match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j RETURN`,
        `-m conntrack --ctstate NEW ${match('KUBE-IPVS-IPS', 'dst')} -j REJECT --reject-with ${family === 'IPv4' ? 'icmp-port-unreachable' : 'icmp6-port-unreachable'}`,
      ],
    ],
    ['KUBE-IPVS-OUT-FILTER', []],
  ]);
}
