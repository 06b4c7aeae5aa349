// Who writes what in the kernel. Source: kube-proxy 1.36 `iptablesJumpChains` (iptables), `iptablesJumpChain`,
// `iptablesChains` and `ipsetInfo` (ipvs). Exact names where there is no hash in them: kube-router's chains and sets begin
// with KUBE- too, and so do kubelet's KUBE-FIREWALL, KUBE-KUBELET-CANARY and KUBE-IPTABLES-HINT.

/** `shared` is written by both modes: it goes only when neither is in use. */
export type ChainOwner = 'iptables' | 'ipvs' | 'shared';

const OWNERS: ReadonlyMap<string, ChainOwner> = new Map([
  ['nat/KUBE-SERVICES', 'shared'],
  ['nat/KUBE-POSTROUTING', 'shared'],
  ['nat/KUBE-MARK-MASQ', 'shared'],
  ['filter/KUBE-FORWARD', 'shared'],
  ['filter/KUBE-PROXY-FIREWALL', 'shared'],
  ['nat/KUBE-NODEPORTS', 'iptables'],
  ['filter/KUBE-NODEPORTS', 'iptables'],
  ['filter/KUBE-SERVICES', 'iptables'],
  ['filter/KUBE-EXTERNAL-SERVICES', 'iptables'],
  ['mangle/KUBE-PROXY-CANARY', 'iptables'],
  ['nat/KUBE-PROXY-CANARY', 'iptables'],
  ['filter/KUBE-PROXY-CANARY', 'iptables'],
  ['nat/KUBE-NODE-PORT', 'ipvs'],
  ['nat/KUBE-LOAD-BALANCER', 'ipvs'],
  ['filter/KUBE-NODE-PORT', 'ipvs'],
  ['filter/KUBE-SOURCE-RANGES-FIREWALL', 'ipvs'],
  ['filter/KUBE-IPVS-FILTER', 'ipvs'],
  ['filter/KUBE-IPVS-OUT-FILTER', 'ipvs'],
]);

// XLB: before Kubernetes 1.24.
const SERVICE_CHAIN = /^KUBE-(SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}$/;

/** Undefined for a chain that is not kube-proxy's. */
export function chainOwner(table: string, chain: string): ChainOwner | undefined {
  return OWNERS.get(`${table}/${chain}`) ?? (table === 'nat' && SERVICE_CHAIN.test(chain) ? 'iptables' : undefined);
}

/** Chains that kube-proxy itself hangs into built-in ones; a built-in's jump to another of its chains is somebody else's. */
const HOOKED = new Set([
  'KUBE-SERVICES',
  'KUBE-POSTROUTING',
  'KUBE-FORWARD',
  'KUBE-PROXY-FIREWALL',
  'KUBE-NODEPORTS',
  'KUBE-EXTERNAL-SERVICES',
  'KUBE-NODE-PORT',
  'KUBE-IPVS-FILTER',
  'KUBE-IPVS-OUT-FILTER',
]);

export function isHooked(chain: string): boolean {
  return HOOKED.has(chain);
}

/** Jumps to KUBE-PROXY-FIREWALL differ by mode and stand side by side; their comments tell them apart. */
export const FIREWALL_JUMPS: ReadonlyMap<string, ChainOwner> = new Map([
  ['kubernetes load balancer firewall', 'iptables'],
  ['kube-proxy firewall rules', 'ipvs'],
]);

const SETS = [
  'LOOP-BACK',
  'CLUSTER-IP',
  'EXTERNAL-IP',
  'EXTERNAL-IP-LOCAL',
  'LOAD-BALANCER',
  'LOAD-BALANCER-LOCAL',
  'LOAD-BALANCER-FW',
  'LOAD-BALANCER-SOURCE-IP',
  'LOAD-BALANCER-SOURCE-CIDR',
  'NODE-PORT-TCP',
  'NODE-PORT-LOCAL-TCP',
  'NODE-PORT-UDP',
  'NODE-PORT-LOCAL-UDP',
  'NODE-PORT-SCTP-HASH',
  'NODE-PORT-LOCAL-SCTP-HASH',
  'NODE-PORT-SCTP',
  'NODE-PORT-LOCAL-SCTP',
  'HEALTH-CHECK-NODE-PORT',
  'IPVS-IPS',
];

// IPv6 names are cut to what ipset can hold.
const SET_NAMES = new Set(SETS.flatMap(name => [`KUBE-${name}`, `KUBE-6-${name}`.slice(0, 31)]));

export function isIpvsSet(name: string): boolean {
  return SET_NAMES.has(name);
}
