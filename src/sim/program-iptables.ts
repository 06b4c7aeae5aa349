// The rules that kube-proxy writes in iptables mode. Source: kube-proxy 1.36 pkg/proxy/iptables/proxier.go; forms as in a real dump.
import { hash32 } from './hash32.ts';
import type { Iptables, TableName } from './iptables.ts';
import { inCIDR } from './proxy-config.ts';
import {
  type Endpoint,
  outsideIPs,
  portLabel,
  type Reached,
  reachedOn,
  type ServicePort,
  type ServiceView,
} from './services.ts';

/** Jumps from built-in chains, in their order. Shared with ipvs mode where the text is the same. */
export const IPTABLES_JUMPS: readonly [TableName, string, string][] = [
  [
    'filter',
    'INPUT',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
  ],
  ['filter', 'INPUT', '-m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS'],
  [
    'filter',
    'INPUT',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
  ],
  [
    'filter',
    'FORWARD',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
  ],
  ['filter', 'FORWARD', '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD'],
  [
    'filter',
    'FORWARD',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  ],
  [
    'filter',
    'FORWARD',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
  ],
  [
    'filter',
    'OUTPUT',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
  ],
  ['filter', 'OUTPUT', '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'PREROUTING', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'OUTPUT', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'POSTROUTING', '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'],
];

export const FORWARD_RULES = [
  '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
  '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
];
export const POSTROUTING_RULES = [
  '-m mark ! --mark 0x4000/0x4000 -j RETURN',
  '-j MARK --set-xmark 0x4000/0x0',
  '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
];
export const MARK_RULES = ['-j MARK --set-xmark 0x4000/0x4000'];
const NODE_PORTS_COMMENT =
  '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';

/** To NodePorts on every local address, or on those that nodePortAddresses names. */
function nodePortJumps(addresses: readonly string[] | undefined): string[] {
  if (!addresses) return [`${NODE_PORTS_COMMENT} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`];
  return addresses.map(ip => `-d ${ip}/32 ${NODE_PORTS_COMMENT} -j KUBE-NODEPORTS`);
}

export const CANARY = 'KUBE-PROXY-CANARY';
/** Chains of Services: one that no Service needs is stale. */
const SERVICE_CHAIN = /^KUBE-(SVC|SVL|SEP|EXT|FW)-/;

interface Fragment {
  readonly services: string[];
  readonly nodePorts: string[];
  readonly chains: [string, string[]][];
  readonly rejects: string[];
  readonly externalRejects: string[];
  readonly firewall: string[];
}

export interface ProgramNode {
  readonly name: string;
  readonly ip: string;
  readonly clusterCIDR: string;
  /** Addresses that accept NodePorts; undefined for every local one. */
  readonly nodePortIPs: readonly string[] | undefined;
}

/** Writes the whole state of iptables mode; Service chains that nothing needs any more go. */
export function programIptables(iptables: Iptables, view: ServiceView, node: ProgramNode): void {
  const services: string[] = [];
  const nodePorts: string[] = [];
  const rejects: string[] = [];
  const externalRejects: string[] = [];
  const firewall: string[] = [];
  const chains = new Map<string, readonly string[]>();
  const endpoints = view.ports.reduce((sum, port) => sum + port.endpoints.length, 0);
  const place = { ...node, large: endpoints > LARGE_CLUSTER };
  for (const port of view.ports) {
    const fragment = fragmentOf(port, place);
    services.push(...fragment.services);
    nodePorts.push(...fragment.nodePorts);
    rejects.push(...fragment.rejects);
    externalRejects.push(...fragment.externalRejects);
    firewall.push(...fragment.firewall);
    for (const [name, rules] of fragment.chains) chains.set(name, rules);
  }
  for (const name of [...iptables.chains('nat').keys()])
    if (SERVICE_CHAIN.test(name) && !chains.has(name)) iptables.dropChain('nat', name);
  for (const [name, rules] of chains) iptables.setChain('nat', name, rules);
  iptables.setChain('nat', 'KUBE-SERVICES', [...services, ...nodePortJumps(node.nodePortIPs)]);
  iptables.setChain('nat', 'KUBE-NODEPORTS', nodePorts);
  iptables.setChain('nat', 'KUBE-POSTROUTING', POSTROUTING_RULES);
  iptables.setChain('nat', 'KUBE-MARK-MASQ', MARK_RULES);
  iptables.setChain('filter', 'KUBE-SERVICES', rejects);
  iptables.setChain('filter', 'KUBE-EXTERNAL-SERVICES', externalRejects);
  iptables.setChain('filter', 'KUBE-NODEPORTS', []);
  iptables.setChain('filter', 'KUBE-PROXY-FIREWALL', firewall);
  iptables.setChain('filter', 'KUBE-FORWARD', [
    '-m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP',
    ...FORWARD_RULES,
  ]);
  for (const table of ['mangle', 'nat', 'filter'] as const)
    if (!iptables.chain(table, CANARY)) iptables.setChain(table, CANARY, []);
  for (const [table, chain, rule] of IPTABLES_JUMPS) iptables.ensureRule(table, chain, rule);
}

/** Beyond so many endpoints the rules of Service and endpoint chains have no comments. */
const LARGE_CLUSTER = 1000;

interface Place extends ProgramNode {
  readonly large: boolean;
}

const fragments = {
  large: new WeakMap<ServicePort, Fragment>(),
  small: new WeakMap<ServicePort, Fragment>(),
};

/** The rules of one Service port; the same on every node unless the node matters to it. */
function fragmentOf(port: ServicePort, place: Place): Fragment {
  const own = port.localOnly || port.internalLocal || port.sourceRanges.length > 0;
  const shared = place.large ? fragments.large : fragments.small;
  const known = own ? undefined : shared.get(port);
  if (known) return known;
  const fragment = new FragmentWriter(port, place).write();
  if (!own) shared.set(port, fragment);
  return fragment;
}

const REJECT = 'REJECT --reject-with icmp-port-unreachable';

class FragmentWriter {
  private readonly port: ServicePort;
  private readonly node: Place;
  private readonly label: string;
  private readonly hash: string;
  private readonly reached: Reached;
  private readonly fragment: Fragment = {
    services: [],
    nodePorts: [],
    chains: [],
    rejects: [],
    externalRejects: [],
    firewall: [],
  };

  constructor(port: ServicePort, node: Place) {
    this.port = port;
    this.node = node;
    this.label = portLabel(port);
    this.hash = hash32(`${this.label}${port.protocol}`, 16);
    this.reached = reachedOn(port, node.name);
  }

  write(): Fragment {
    const { port, reached, hash, label } = this;
    const { endpoints, clusterIP, internalLocal } = port;
    const internalChain = `KUBE-${internalLocal ? 'SVL' : 'SVC'}-${hash}`;
    if (reached.internal.length > 0)
      this.fragment.services.push(`${this.to(clusterIP, `${label} cluster IP`)} -j ${internalChain}`);
    else this.fragment.rejects.push(`${this.to(clusterIP, this.why())} -j ${this.refusal()}`);
    if (reached.exposed) this.writeExternal();
    const masquerade = `! -s ${this.node.clusterCIDR} ${this.to(clusterIP, `${label} cluster IP`)} -j KUBE-MARK-MASQ`;
    const marked = (chain: string) => (chain === internalChain ? [masquerade] : []);
    const svc = `KUBE-SVC-${hash}`;
    const svl = `KUBE-SVL-${hash}`;
    const cluster = reached.usesCluster ? endpoints : [];
    if (cluster.length > 0) this.fragment.chains.push([svc, [...marked(svc), ...this.spread(cluster)]]);
    if (reached.local.length > 0) this.fragment.chains.push([svl, [...marked(svl), ...this.spread(reached.local)]]);
    for (const endpoint of new Set([...cluster, ...reached.local]))
      this.fragment.chains.push(this.endpointChain(endpoint));
    return this.fragment;
  }

  /** Everywhere none: rejected. None on this node where the policy is Local: dropped. */
  private refusal(): string {
    return this.port.endpoints.length === 0 ? REJECT : 'DROP';
  }

  private why(): string {
    return `${this.label} has no ${this.port.endpoints.length === 0 ? '' : 'local '}endpoints`;
  }

  private to(ip: string, comment: string): string {
    const { protocol, port } = this.port;
    return `-d ${ip}/32 -p ${protocol} -m comment --comment "${comment}" -m ${protocol} --dport ${port}`;
  }

  private writeExternal(): void {
    const { port, fragment, label, hash, reached } = this;
    const { protocol, nodePort, endpoints, externalIPs, balancerIPs, sourceRanges } = port;
    if (reached.external.length === 0) {
      for (const ip of outsideIPs(port))
        fragment.externalRejects.push(`${this.to(ip, this.why())} -j ${this.refusal()}`);
      const local = `-p ${protocol} -m comment --comment "${this.why()}" -m addrtype --dst-type LOCAL`;
      if (nodePort) fragment.externalRejects.push(`${local} -m ${protocol} --dport ${nodePort} -j ${this.refusal()}`);
    }
    if (endpoints.length === 0) return;
    const balanced = `KUBE-${sourceRanges.length > 0 ? 'FW' : 'EXT'}-${hash}`;
    for (const ip of externalIPs) fragment.services.push(`${this.to(ip, `${label} external IP`)} -j KUBE-EXT-${hash}`);
    for (const ip of balancerIPs) fragment.services.push(`${this.to(ip, `${label} loadbalancer IP`)} -j ${balanced}`);
    if (balancerIPs.length > 0 && sourceRanges.length > 0) this.writeFirewall();
    if (nodePort) {
      const match = `-p ${protocol} -m comment --comment "${label}" -m ${protocol} --dport ${nodePort}`;
      const counted = '-m nfacct --nfacct-name  localhost_nps_accepted_pkts';
      fragment.nodePorts.push(`-d 127.0.0.0/8 ${match} ${counted} -j KUBE-EXT-${hash}`, `${match} -j KUBE-EXT-${hash}`);
    }
    fragment.chains.push([`KUBE-EXT-${hash}`, this.externalRules()]);
  }

  private writeFirewall(): void {
    const { fragment, label, hash, node } = this;
    const { sourceRanges, balancerIPs } = this.port;
    const ownWay = sourceRanges.some(range => inCIDR(node.ip, range)) ? balancerIPs.map(ip => `${ip}/32`) : [];
    const comment = `-m comment --comment "${label} loadbalancer IP"`;
    fragment.chains.push([
      `KUBE-FW-${hash}`,
      [
        ...[...sourceRanges, ...ownWay].map(source => `-s ${source} ${comment} -j KUBE-EXT-${hash}`),
        `-m comment --comment "other traffic to ${label} will be dropped by KUBE-PROXY-FIREWALL"`,
      ],
    ]);
    const why = `${label} traffic not accepted by KUBE-FW-${hash}`;
    for (const ip of balancerIPs) fragment.firewall.push(`${this.to(ip, why)} -j DROP`);
  }

  private externalRules(): string[] {
    const { label, hash, port, node, reached } = this;
    const about = (text: string) => `-m comment --comment "${text} ${label} external destinations"`;
    if (!port.localOnly) return [`${about('masquerade traffic for')} -j KUBE-MARK-MASQ`, `-j KUBE-SVC-${hash}`];
    return [
      `-s ${node.clusterCIDR} ${about('pod traffic for')} -j KUBE-SVC-${hash}`,
      `${about('masquerade LOCAL traffic for')} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
      `${about('route LOCAL traffic for')} -m addrtype --src-type LOCAL -j KUBE-SVC-${hash}`,
      ...(reached.external.length > 0 ? [`-j KUBE-SVL-${hash}`] : []),
    ];
  }

  private endpointName({ ip, port }: Endpoint): string {
    return `KUBE-SEP-${hash32(`${this.label}${this.port.protocol}${ip}:${port}`, 16)}`;
  }

  /** Each endpoint with the same chance; with affinity those first that know the client. */
  private spread(endpoints: readonly Endpoint[]): string[] {
    const { affinitySeconds } = this.port;
    const comment = ({ ip, port }: Endpoint) => this.comment(`${this.label} -> ${ip}:${port}`);
    const recent = (name: string) =>
      `-m recent --rcheck --seconds ${affinitySeconds} --reap --name ${name} --mask 255.255.255.255 --rsource -j ${name}`;
    const known = affinitySeconds === undefined ? [] : endpoints;
    return [
      ...known.map(endpoint => `${comment(endpoint)}${recent(this.endpointName(endpoint))}`),
      ...endpoints.map((endpoint, index) => {
        const rest = endpoints.length - index;
        const chance = rest > 1 ? `-m statistic --mode random --probability ${(1 / rest).toFixed(11)} ` : '';
        return `${comment(endpoint)}${chance}-j ${this.endpointName(endpoint)}`;
      }),
    ];
  }

  private comment(text: string): string {
    return this.node.large ? '' : `-m comment --comment "${text}" `;
  }

  private endpointChain(endpoint: Endpoint): [string, string[]] {
    const { protocol, affinitySeconds } = this.port;
    const comment = this.comment(this.label);
    const name = this.endpointName(endpoint);
    const set = affinitySeconds === undefined ? '' : `-m recent --set --name ${name} --mask 255.255.255.255 --rsource `;
    const { ip, port } = endpoint;
    return [
      name,
      [
        `-s ${ip}/32 ${comment}-j KUBE-MARK-MASQ`,
        `-p ${protocol} ${comment}${set}-m ${protocol} -j DNAT --to-destination ${ip}:${port}`,
      ],
    ];
  }
}
