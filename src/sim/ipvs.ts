// ip_vs of a node: virtual servers, the dummy device that bears their addresses, and the sets that kube-proxy's rules match.
import type { TableName } from './iptables.ts';

export interface VirtualServer {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly ip: string;
  readonly port: number;
  readonly scheduler: string;
  /** Of persistence. */
  readonly seconds?: number;
  readonly real: readonly { ip: string; port: number }[];
  /** Only endpoints of other nodes, reached without masquerade: they answer past this node to what asked from it. */
  readonly foreign?: boolean;
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
