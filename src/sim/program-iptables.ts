// The rules that kube-proxy writes in iptables mode. Source: kube-proxy 1.36 pkg/proxy/iptables/proxier.go; forms as in a real dump.
import { hash32 } from './hash32.ts';
import type { Iptables, TableName } from './iptables.ts';
import { type Endpoint, portLabel, type ServicePort, type ServiceView } from './services.ts';

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
const NODE_PORTS_JUMP =
  '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS';

export const CANARY = 'KUBE-PROXY-CANARY';
/** Chains of Services: one that no Service needs is stale. */
const SERVICE_CHAIN = /^KUBE-(SVC|SVL|SEP|EXT|FW)-/;

interface Fragment {
  readonly services: string[];
  readonly nodePorts: string[];
  readonly chains: [string, string[]][];
  readonly rejects: string[];
  readonly externalRejects: string[];
}

export interface ProgramNode {
  readonly name: string;
  readonly clusterCIDR: string;
}

/** Writes the whole state of iptables mode; Service chains that nothing needs any more go. */
export function programIptables(iptables: Iptables, view: ServiceView, node: ProgramNode): void {
  const services: string[] = [];
  const nodePorts: string[] = [];
  const rejects: string[] = [];
  const externalRejects: string[] = [];
  const chains = new Map<string, readonly string[]>();
  for (const port of view.ports) {
    const fragment = fragmentOf(port, node);
    services.push(...fragment.services);
    nodePorts.push(...fragment.nodePorts);
    rejects.push(...fragment.rejects);
    externalRejects.push(...fragment.externalRejects);
    for (const [name, rules] of fragment.chains) chains.set(name, rules);
  }
  for (const name of [...iptables.chains('nat').keys()])
    if (SERVICE_CHAIN.test(name) && !chains.has(name)) iptables.dropChain('nat', name);
  for (const [name, rules] of chains) iptables.setChain('nat', name, rules);
  iptables.setChain('nat', 'KUBE-SERVICES', [...services, NODE_PORTS_JUMP]);
  iptables.setChain('nat', 'KUBE-NODEPORTS', nodePorts);
  iptables.setChain('nat', 'KUBE-POSTROUTING', POSTROUTING_RULES);
  iptables.setChain('nat', 'KUBE-MARK-MASQ', MARK_RULES);
  iptables.setChain('filter', 'KUBE-SERVICES', rejects);
  iptables.setChain('filter', 'KUBE-EXTERNAL-SERVICES', externalRejects);
  iptables.setChain('filter', 'KUBE-NODEPORTS', []);
  iptables.setChain('filter', 'KUBE-PROXY-FIREWALL', []);
  iptables.setChain('filter', 'KUBE-FORWARD', [
    '-m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP',
    ...FORWARD_RULES,
  ]);
  for (const table of ['mangle', 'nat', 'filter'] as const)
    if (!iptables.chain(table, CANARY)) iptables.setChain(table, CANARY, []);
  for (const [table, chain, rule] of IPTABLES_JUMPS) iptables.ensureRule(table, chain, rule);
}

const fragments = new WeakMap<ServicePort, Fragment>();

/** The rules of one Service port; the same on every node unless its policy is Local. */
function fragmentOf(port: ServicePort, node: ProgramNode): Fragment {
  const known = port.localOnly ? undefined : fragments.get(port);
  if (known) return known;
  const fragment = makeFragment(port, node);
  if (!port.localOnly) fragments.set(port, fragment);
  return fragment;
}

function makeFragment(port: ServicePort, node: ProgramNode): Fragment {
  const { protocol, clusterIP, endpoints } = port;
  const label = portLabel(port);
  const hash = hash32(`${label}${protocol}`, 16);
  const fragment: Fragment = { services: [], nodePorts: [], chains: [], rejects: [], externalRejects: [] };
  const to = (ip: string, comment: string) =>
    `-d ${ip}/32 -p ${protocol} -m comment --comment "${comment}" -m ${protocol} --dport ${port.port}`;
  const outside = port.externalIPs.map(ip => to(ip, `${label} external IP`));
  const nodePort = `-m ${protocol} --dport ${port.nodePort}`;
  if (endpoints.length === 0) {
    const reject = '-j REJECT --reject-with icmp-port-unreachable';
    fragment.rejects.push(`${to(clusterIP, `${label} has no endpoints`)} ${reject}`);
    for (const ip of port.externalIPs)
      fragment.externalRejects.push(`${to(ip, `${label} has no endpoints`)} ${reject}`);
    if (port.nodePort) {
      fragment.externalRejects.push(
        `-p ${protocol} -m comment --comment "${label} has no endpoints" -m addrtype --dst-type LOCAL ${nodePort} ${reject}`,
      );
    }
    return fragment;
  }
  fragment.services.push(`${to(clusterIP, `${label} cluster IP`)} -j KUBE-SVC-${hash}`);
  const masquerade = `! -s ${node.clusterCIDR} ${to(clusterIP, `${label} cluster IP`)} -j KUBE-MARK-MASQ`;
  fragment.chains.push([`KUBE-SVC-${hash}`, [masquerade, ...spread(port, label, endpoints)]]);
  for (const endpoint of endpoints) fragment.chains.push(endpointChain(port, label, endpoint));
  if (!port.nodePort && outside.length === 0) return fragment;
  for (const match of outside) fragment.services.push(`${match} -j KUBE-EXT-${hash}`);
  if (port.nodePort) {
    const comment = `-m comment --comment "${label}"`;
    const counted = '-m nfacct --nfacct-name  localhost_nps_accepted_pkts';
    fragment.nodePorts.push(`-d 127.0.0.0/8 -p ${protocol} ${comment} ${nodePort} ${counted} -j KUBE-EXT-${hash}`);
    fragment.nodePorts.push(`-p ${protocol} ${comment} ${nodePort} -j KUBE-EXT-${hash}`);
  }
  addExternal(fragment, port, node, hash);
  return fragment;
}

function addExternal(fragment: Fragment, port: ServicePort, node: ProgramNode, hash: string): void {
  const label = portLabel(port);
  if (!port.localOnly) {
    const masquerade = `-m comment --comment "masquerade traffic for ${label} external destinations" -j KUBE-MARK-MASQ`;
    fragment.chains.push([`KUBE-EXT-${hash}`, [masquerade, `-j KUBE-SVC-${hash}`]]);
    return;
  }
  const own = port.endpoints.filter(endpoint => endpoint.node === node.name);
  const rules = [
    `-s ${node.clusterCIDR} -m comment --comment "pod traffic for ${label} external destinations" -j KUBE-SVC-${hash}`,
    `-m comment --comment "masquerade LOCAL traffic for ${label} external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
    `-m comment --comment "route LOCAL traffic for ${label} external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-${hash}`,
  ];
  if (own.length > 0) {
    rules.push(`-j KUBE-SVL-${hash}`);
    fragment.chains.push([`KUBE-SVL-${hash}`, spread(port, label, own)]);
  } else if (port.nodePort) {
    fragment.externalRejects.push(
      `-p ${port.protocol} -m comment --comment "${label} has no local endpoints" -m addrtype --dst-type LOCAL -m ${port.protocol} --dport ${port.nodePort} -j DROP`,
    );
  }
  fragment.chains.push([`KUBE-EXT-${hash}`, rules]);
}

function endpointName(port: ServicePort, label: string, { ip, port: number }: Endpoint): string {
  return `KUBE-SEP-${hash32(`${label}${port.protocol}${ip}:${number}`, 16)}`;
}

/** Each endpoint with the same chance. */
function spread(port: ServicePort, label: string, endpoints: readonly Endpoint[]): string[] {
  return endpoints.map((endpoint, index) => {
    const rest = endpoints.length - index;
    const chance = rest > 1 ? ` -m statistic --mode random --probability ${(1 / rest).toFixed(11)}` : '';
    const comment = `-m comment --comment "${label} -> ${endpoint.ip}:${endpoint.port}"`;
    return `${comment}${chance} -j ${endpointName(port, label, endpoint)}`;
  });
}

function endpointChain(port: ServicePort, label: string, endpoint: Endpoint): [string, string[]] {
  const comment = `-m comment --comment "${label}"`;
  return [
    endpointName(port, label, endpoint),
    [
      `-s ${endpoint.ip}/32 ${comment} -j KUBE-MARK-MASQ`,
      `-p ${port.protocol} ${comment} -m ${port.protocol} -j DNAT --to-destination ${endpoint.ip}:${endpoint.port}`,
    ],
  ];
}
