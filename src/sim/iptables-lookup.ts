// What iptables rules do with a connection, read from the rules themselves.
import { type Iptables, targetOf } from './iptables.ts';

export interface Translation {
  /** `ip:port`. */
  readonly backends: readonly string[];
  /** The chain that chooses among them; clients stay with their choice where it remembers them. */
  readonly chain: string;
  readonly remembers: boolean;
}

interface Index {
  readonly version: number;
  /** `tcp/10.96.0.1/443` -> chain. */
  readonly services: ReadonlyMap<string, string>;
  /** `tcp/30080` -> chain. */
  readonly nodePorts: ReadonlyMap<string, string>;
  /** Where those are answered; undefined for every local address. */
  readonly nodePortIPs: ReadonlySet<string> | undefined;
}

const indexes = new WeakMap<Iptables, Index>();
const SERVICE = /^-d (\S+)\/32 -p (\w+) .*--dport (\d+) -j (KUBE-\S+)$/;
const NODE_PORT = /^-p (\w+) .*--dport (\d+) -j (KUBE-\S+)$/;

function indexOf(iptables: Iptables): Index {
  const known = indexes.get(iptables);
  if (known?.version === iptables.version) return known;
  const services = new Map<string, string>();
  const nodePorts = new Map<string, string>();
  const jumped = (iptables.chain('nat', 'PREROUTING') ?? []).some(rule => targetOf(rule) === 'KUBE-SERVICES');
  const rules = jumped ? (iptables.chain('nat', 'KUBE-SERVICES') ?? []) : [];
  for (const rule of rules) {
    const [, ip, protocol, port, chain] = SERVICE.exec(rule) ?? [];
    if (chain !== undefined) services.set(`${protocol}/${ip}/${port}`, chain);
  }
  const jumps = rules.filter(rule => targetOf(rule) === 'KUBE-NODEPORTS');
  const nodePortIPs = jumps.some(rule => rule.includes('--dst-type LOCAL'))
    ? undefined
    : new Set(jumps.map(rule => /^-d (\S+)\/32 /.exec(rule)?.[1] ?? ''));
  if (jumps.length > 0) {
    for (const rule of iptables.chain('nat', 'KUBE-NODEPORTS') ?? []) {
      const [, protocol, port, chain] = NODE_PORT.exec(rule) ?? [];
      if (chain !== undefined) nodePorts.set(`${protocol}/${port}`, chain);
    }
  }
  const index = { version: iptables.version, services, nodePorts, nodePortIPs };
  indexes.set(iptables, index);
  return index;
}

/** The nat table has rules for Services that packets reach. */
export function hasServices(iptables: Iptables): boolean {
  const index = indexOf(iptables);
  return index.services.size > 0;
}

/** What nat does with a new connection; undefined when it leaves it as it is. */
export function translate(
  iptables: Iptables,
  protocol: string,
  ip: string,
  port: number,
  local: boolean,
): Translation | undefined {
  const index = indexOf(iptables);
  const onNode = local && (index.nodePortIPs?.has(ip) ?? true);
  const chain =
    index.services.get(`${protocol}/${ip}/${port}`) ??
    (onNode ? index.nodePorts.get(`${protocol}/${port}`) : undefined);
  if (chain === undefined) return undefined;
  const translation = translationOf(iptables, chain);
  // Nothing behind a known entry: the packet goes on untranslated.
  return translation.backends.length > 0 ? translation : undefined;
}

/** Whether a client that is sent to itself is masqueraded, so that the answer comes back this way. */
export function masqueradesHairpin(iptables: Iptables, backend: string): boolean {
  const ip = backend.slice(0, backend.lastIndexOf(':'));
  const marked = (rules: readonly string[]) =>
    rules.some(rule => rule.endsWith(`--to-destination ${backend}`)) &&
    rules.some(rule => rule.startsWith(`-s ${ip}/32 `) && targetOf(rule) === 'KUBE-MARK-MASQ');
  const masquerades = (iptables.chain('nat', 'KUBE-POSTROUTING') ?? []).some(rule => targetOf(rule) === 'MASQUERADE');
  return masquerades && [...iptables.chains('nat').values()].some(marked);
}

/** Follows EXT and FW to SVC or SVL, and from there to the endpoints. */
function translationOf(iptables: Iptables, chain: string, depth = 0): Translation {
  const rules = iptables.chain('nat', chain);
  if (!rules || depth > 4) return { backends: [], chain, remembers: false };
  if (/^KUBE-(EXT|FW)-/.test(chain)) {
    const last = rules.findLast(
      rule => /^(-m comment --comment "[^"]*" )?-j KUBE-(SVC|SVL|EXT)-/.test(rule) || /-j KUBE-EXT-/.test(rule),
    );
    // Traffic from pods and from the node itself is short-circuited to all endpoints.
    const short = rules.find(rule => /-j KUBE-SVC-/.test(rule));
    return translationOf(iptables, targetOf(short ?? last ?? '') ?? '', depth + 1);
  }
  const found = new Set<string>();
  for (const rule of rules) {
    const target = targetOf(rule) ?? '';
    if (!target.startsWith('KUBE-SEP-')) continue;
    for (const end of iptables.chain('nat', target) ?? []) {
      const to = /--to-destination (\S+)/.exec(end)?.[1];
      if (to !== undefined) found.add(to);
    }
  }
  return { backends: [...found], chain, remembers: rules.some(rule => rule.includes('-m recent --rcheck')) };
}

const HOOK_CHAINS = { input: 'INPUT', forward: 'FORWARD', output: 'OUTPUT' } as const;
export type Hook = keyof typeof HOOK_CHAINS;

/** What filter does with a new connection that keeps its destination; undefined for accept. */
export function filterVerdict(
  iptables: Iptables,
  hook: Hook,
  { protocol, ip, port, local }: { protocol: string; ip: string; port: number; local: boolean },
): 'reject' | 'drop' | undefined {
  const entry = iptables.chain('filter', HOOK_CHAINS[hook]) ?? [];
  for (const jump of entry) {
    const target = targetOf(jump) ?? '';
    if (target !== 'KUBE-SERVICES' && target !== 'KUBE-EXTERNAL-SERVICES') continue;
    for (const rule of iptables.chain('filter', target) ?? []) {
      const [, address, toLocal, verdict] =
        new RegExp(
          `^(?:-d (\\S+)/32 )?-p ${protocol} .*?(--dst-type LOCAL )?-m ${protocol} --dport ${port} -j (REJECT|DROP)`,
        ).exec(rule) ?? [];
      if (verdict === undefined || (address !== undefined ? address !== ip : !(toLocal && local))) continue;
      return verdict === 'REJECT' ? 'reject' : 'drop';
    }
  }
  return undefined;
}
