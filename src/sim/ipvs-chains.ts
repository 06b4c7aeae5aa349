// The chains of ipvs mode: they masquerade, and let packets reach virtual servers. Source: kube-proxy 1.36
// pkg/proxy/ipvs/proxier.go writeIptablesRules. A set that is empty has no rule, but for those of the filter chain.
import type { Chains } from './iptables.ts';
import { ipsetName } from './ipvs.ts';
import { FORWARD_RULES, MARK_RULES, POSTROUTING_RULES } from './program-iptables.ts';

const COMMENTS: Readonly<Record<string, string>> = {
  'KUBE-LOOP-BACK': 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose',
  'KUBE-CLUSTER-IP': 'Kubernetes service cluster ip + port for masquerade purpose',
  'KUBE-EXTERNAL-IP': 'Kubernetes service external ip + port for masquerade and filter purpose',
  'KUBE-EXTERNAL-IP-LOCAL': 'Kubernetes service external ip + port with externalTrafficPolicy=local',
  'KUBE-LOAD-BALANCER': 'Kubernetes service lb portal',
  'KUBE-LOAD-BALANCER-LOCAL': 'Kubernetes service load balancer ip + port with externalTrafficPolicy=local',
  'KUBE-LOAD-BALANCER-FW': 'Kubernetes service load balancer ip + port for load balancer with sourceRange',
  'KUBE-LOAD-BALANCER-SOURCE-IP': 'Kubernetes service load balancer ip + port + source IP for packet filter purpose',
  'KUBE-LOAD-BALANCER-SOURCE-CIDR':
    'Kubernetes service load balancer ip + port + source cidr for packet filter purpose',
  'KUBE-NODE-PORT-TCP': 'Kubernetes nodeport TCP port for masquerade purpose',
  'KUBE-NODE-PORT-LOCAL-TCP': 'Kubernetes nodeport TCP port with externalTrafficPolicy=local',
  'KUBE-NODE-PORT-UDP': 'Kubernetes nodeport UDP port for masquerade purpose',
  'KUBE-NODE-PORT-LOCAL-UDP': 'Kubernetes nodeport UDP port with externalTrafficPolicy=local',
  'KUBE-NODE-PORT-SCTP-HASH': "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH':
    "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
  'KUBE-HEALTH-CHECK-NODE-PORT': 'Kubernetes health check node port',
};

const BOTH = 'dst,dst';
const AND_SOURCE = 'dst,dst,src';

class Rules {
  private readonly family: 'IPv4' | 'IPv6';
  private readonly filled: ReadonlySet<string>;

  constructor(family: 'IPv4' | 'IPv6', filled: ReadonlySet<string>) {
    this.family = family;
    this.filled = filled;
  }

  match(set: string, flags: string): string {
    return `-m set --match-set ${ipsetName(this.family, set)} ${flags}`;
  }

  /** With the set's comment. */
  about(set: string, flags: string): string {
    return `-m comment --comment "${COMMENTS[set]}" ${this.match(set, flags)}`;
  }

  /** None where the set is empty. */
  where(set: string, ...rules: string[]): string[] {
    return this.filled.has(set) ? rules : [];
  }

  /** To the service, when it comes from another machine or the address is the node's own. */
  external(set: string): string[] {
    const match = this.about(set, BOTH);
    return [
      `${match} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`,
      `${match} -m addrtype --dst-type LOCAL -j ACCEPT`,
    ];
  }

  nodePort(protocol: 'tcp' | 'udp' | 'sctp'): string[] {
    const name = protocol === 'sctp' ? 'SCTP-HASH' : protocol.toUpperCase();
    const flags = protocol === 'sctp' ? BOTH : 'dst';
    const [local, all] = [`KUBE-NODE-PORT-LOCAL-${name}`, `KUBE-NODE-PORT-${name}`];
    return [
      ...this.where(local, `-p ${protocol} ${this.about(local, flags)} -j RETURN`),
      ...this.where(all, `-p ${protocol} ${this.about(all, flags)} -j KUBE-MARK-MASQ`),
    ];
  }
}

export function natChains(family: 'IPv4' | 'IPv6', filled: ReadonlySet<string>, clusterCIDR: string): Chains {
  const rules = new Rules(family, filled);
  const about = (set: string, flags: string) => rules.about(set, flags);
  const where = (set: string, ...found: string[]) => rules.where(set, ...found);
  const accept = (set: string) => where(set, `${rules.match(set, BOTH)} -j ACCEPT`);
  return new Map([
    [
      'KUBE-SERVICES',
      [
        `-s ${family === 'IPv4' ? '127.0.0.0/8' : '::1/128'} -j RETURN`,
        ...where('KUBE-LOAD-BALANCER', `${about('KUBE-LOAD-BALANCER', BOTH)} -j KUBE-LOAD-BALANCER`),
        ...where('KUBE-CLUSTER-IP', `! -s ${clusterCIDR} ${about('KUBE-CLUSTER-IP', BOTH)} -j KUBE-MARK-MASQ`),
        ...where(
          'KUBE-EXTERNAL-IP',
          `${about('KUBE-EXTERNAL-IP', BOTH)} -j KUBE-MARK-MASQ`,
          ...rules.external('KUBE-EXTERNAL-IP'),
        ),
        ...where('KUBE-EXTERNAL-IP-LOCAL', ...rules.external('KUBE-EXTERNAL-IP-LOCAL')),
        '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
        ...accept('KUBE-CLUSTER-IP'),
        ...accept('KUBE-LOAD-BALANCER'),
      ],
    ],
    ['KUBE-NODE-PORT', [...rules.nodePort('tcp'), ...rules.nodePort('udp'), ...rules.nodePort('sctp')]],
    [
      'KUBE-LOAD-BALANCER',
      [
        ...where('KUBE-LOAD-BALANCER-LOCAL', `${about('KUBE-LOAD-BALANCER-LOCAL', BOTH)} -j RETURN`),
        '-j KUBE-MARK-MASQ',
      ],
    ],
    [
      'KUBE-POSTROUTING',
      [...where('KUBE-LOOP-BACK', `${about('KUBE-LOOP-BACK', AND_SOURCE)} -j MASQUERADE`), ...POSTROUTING_RULES],
    ],
    ['KUBE-MARK-MASQ', MARK_RULES],
  ]);
}

export function filterChains(family: 'IPv4' | 'IPv6', filled: ReadonlySet<string>): Chains {
  const rules = new Rules(family, filled);
  const known = ['KUBE-LOAD-BALANCER', 'KUBE-CLUSTER-IP', 'KUBE-EXTERNAL-IP', 'KUBE-EXTERNAL-IP-LOCAL'];
  const unreachable = family === 'IPv4' ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
  const source = (set: string) => rules.where(set, `${rules.about(set, AND_SOURCE)} -j RETURN`);
  return new Map<string, readonly string[]>([
    ['KUBE-FORWARD', FORWARD_RULES],
    ['KUBE-NODE-PORT', [`${rules.about('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j ACCEPT`]],
    [
      'KUBE-PROXY-FIREWALL',
      rules.where(
        'KUBE-LOAD-BALANCER-FW',
        `${rules.about('KUBE-LOAD-BALANCER-FW', BOTH)} -j KUBE-SOURCE-RANGES-FIREWALL`,
      ),
    ],
    [
      'KUBE-SOURCE-RANGES-FIREWALL',
      [...source('KUBE-LOAD-BALANCER-SOURCE-CIDR'), ...source('KUBE-LOAD-BALANCER-SOURCE-IP'), '-j DROP'],
    ],
    [
      'KUBE-IPVS-FILTER',
      [
        ...known.map(set => `${rules.match(set, BOTH)} -j RETURN`),
        `${rules.match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j RETURN`,
        `-m conntrack --ctstate NEW ${rules.match('KUBE-IPVS-IPS', 'dst')} -j REJECT --reject-with ${unreachable}`,
      ],
    ],
    ['KUBE-IPVS-OUT-FILTER', []],
  ]);
}
