// What a mode leaves behind in a node's kernel once another one serves.
import type { Mode } from '../core/mode.ts';
import { nodePort } from '../core/service-port.ts';
import { type Chain, parseOptions } from './iptables.ts';
import { type VirtualServer, virtualServerKey } from './ipvs.ts';
import type { IptablesVariant, Kernel } from './kernel.ts';
import { chainOwner, FIREWALL_JUMPS, isHooked, isIpvsSet } from './ownership.ts';

export interface ChainRef {
  readonly variant: IptablesVariant;
  readonly table: string;
  readonly chain: string;
}

/** What `left` has left in the kernel while `current` serves, as things that can be removed. */
export interface Leftovers {
  readonly nftFamilies: readonly ('ip' | 'ip6')[];
  readonly chains: readonly ChainRef[];
  /** Rules of built-in chains that lead to these chains, and those of `left` alone that lead to shared ones. */
  readonly jumps: readonly (ChainRef & { readonly text: string; readonly target: string })[];
  /** Chains that rules in use refer to: named, never touched. */
  readonly held: readonly ChainRef[];
  readonly virtualServers: readonly VirtualServer[];
  readonly device: boolean;
  readonly ipsets: readonly string[];
}

const NOTHING: Leftovers = {
  nftFamilies: [],
  chains: [],
  jumps: [],
  held: [],
  virtualServers: [],
  device: false,
  ipsets: [],
};

/**
 * `current` is the mode that serves, undefined when nobody said; then shared chains are nobody's leftovers. `isExcluded`
 * tells addresses that kube-proxy was told to leave alone (`ipvs.excludeCIDRs`).
 */
export function leftovers(
  left: Mode,
  current: Mode | undefined,
  kernel: Kernel,
  isExcluded: (address: string) => boolean = () => false,
): Leftovers {
  if (left === current) return NOTHING;
  if (left === 'nftables') return { ...NOTHING, nftFamilies: kernel.nftFamilies };
  const found = [...kernel.iptables].flatMap(([variant, tables]) =>
    [...tables].map(([table, chains]) => leftInTable(left, current, variant, table, chains)),
  );
  const inTables = {
    ...NOTHING,
    chains: found.flatMap(f => f.chains),
    jumps: found.flatMap(f => f.jumps),
    held: found.flatMap(f => f.held),
  };
  if (left === 'iptables') return inTables;
  return {
    ...inTables,
    virtualServers: kernel.virtualServers.filter(s => !isExcluded(s.address) && isProxys(s, current, kernel)),
    device: kernel.addresses !== undefined,
    ipsets: kernel.ipsets.filter(isIpvsSet),
  };
}

/**
 * Whether a virtual server is kube-proxy's. In ipvs mode it deletes every other one outside excludeCIDRs at each sync, so what
 * has a Service's address or NodePort is its own (`cleanLegacyService`); anything else came later and is not touched.
 */
function isProxys(server: VirtualServer, current: Mode | undefined, kernel: Kernel): boolean {
  if (kernel.addresses?.has(server.address)) return true;
  const { address, port, protocol } = server;
  const rules = current && kernel.readings[current].rules;
  const family = address.includes(':') ? 'ip6' : 'ip';
  return !!rules?.has(virtualServerKey(server)) || !!rules?.has(nodePort(family, port, protocol));
}

/** Keys of the virtual servers that no Service has while `current` serves, and firewall marks that have one; folded. */
export function foreignServers(current: Mode, kernel: Kernel): string[] {
  const servers = kernel.virtualServers.filter(server => !isProxys(server, current, kernel)).map(virtualServerKey);
  return foldNames([...servers, ...kernel.firewallMarks.map(mark => `firewall mark ${mark}`)]);
}

/**
 * Whether kube-proxy, when it starts in mode nftables, takes all its iptables chains away: no rule that stays needs one of them,
 * and those of a family stand in one backend, the one that its image uses. Source: kube-proxy 1.36 `iptables.CleanupLeftovers`.
 */
export function cleansItself(kernel: Kernel): boolean {
  const families = new Set<boolean>();
  for (const [variant, tables] of kernel.iptables) {
    const found = [...tables].map(([table, chains]) => leftInTable('iptables', 'nftables', variant, table, chains));
    if (found.some(({ held, foreign }) => held.length > 0 || foreign.size > 0)) return false;
    if (found.every(({ chains }) => chains.length === 0)) continue;
    const isIPv6 = variant.startsWith('ip6');
    if (families.has(isIPv6)) return false;
    families.add(isIPv6);
  }
  return true;
}

function leftInTable(
  left: 'iptables' | 'ipvs',
  current: Mode | undefined,
  variant: IptablesVariant,
  table: string,
  chains: ReadonlyMap<string, Chain>,
): Pick<Leftovers, 'chains' | 'jumps' | 'held'> & { readonly foreign: ReadonlySet<string> } {
  const ref = (chain: string): ChainRef => ({ variant, table, chain });
  const goes = new Set<string>();
  for (const name of chains.keys()) {
    const owner = chainOwner(table, name);
    if (owner === left || (owner === 'shared' && current === 'nftables')) goes.add(name);
  }
  // Chains that somebody else's rules need (a CNI's jump to KUBE-MARK-MASQ): kube-proxy's own cleaning leaves them as well.
  const foreign = new Set<string>();
  const held = new Set<string>();
  // Until nothing that stays leads to anything that goes, but for kube-proxy's own hooks.
  const leading = goes.size === 0 ? [] : [...edges(chains, goes)];
  for (let size = -1; size !== goes.size; ) {
    size = goes.size;
    for (const [name, target] of leading) {
      if (goes.has(name) || !goes.has(target) || (chains.get(name)?.builtin && isHooked(target))) continue;
      goes.delete(target);
      if (chainOwner(table, name) === undefined || foreign.has(name)) foreign.add(target);
      else held.add(target);
    }
  }
  const builtin = [...chains].filter(([, chain]) => chain.builtin);
  const jumps = builtin.flatMap(([name, { rules }]) =>
    rules.flatMap(({ target = '', text }) => {
      const only = target === 'KUBE-PROXY-FIREWALL' && FIREWALL_JUMPS.get(parseOptions(text).comment ?? '') === left;
      return goes.has(target) || only ? [{ ...ref(name), text, target }] : [];
    }),
  );
  return { chains: [...goes].map(ref), jumps, held: [...held].map(ref), foreign };
}

function* edges(chains: ReadonlyMap<string, Chain>, to: ReadonlySet<string>): Generator<[string, string]> {
  for (const [name, chain] of chains) {
    for (const { target } of chain.rules) if (target !== undefined && to.has(target)) yield [name, target];
  }
}

/** One name for each thing that is left, the same for both iptables backends. */
export function leftoverNames(left: Leftovers): string[] {
  const path = ({ variant, table, chain }: ChainRef) => `${variant.startsWith('ip6') ? 'ip6 ' : ''}${table}/${chain}`;
  const gone = new Set(left.chains.map(path));
  // A jump to a chain that goes is told by the chain.
  const jumps = left.jumps.filter(jump => !gone.has(path({ ...jump, chain: jump.target })));
  return [
    ...new Set([
      ...left.nftFamilies.map(family => `table ${family} kube-proxy`),
      ...left.chains.map(path),
      ...left.held.map(path),
      ...jumps.map(jump => `${path(jump)} -> ${jump.target}`),
      ...left.virtualServers.map(server => `virtual server ${virtualServerKey(server)}`),
      ...(left.device ? ['device kube-ipvs0'] : []),
      ...left.ipsets.map(name => `ipset ${name}`),
    ]),
  ];
}

const MAX_NAMES = 50;

/** At most 50 names, and how many more there are. */
export function foldNames(names: readonly string[]): string[] {
  return names.length <= MAX_NAMES
    ? [...names]
    : [...names.slice(0, MAX_NAMES), `and ${names.length - MAX_NAMES} more`];
}

/** Names of what `left` has left while `current` serves, folded; empty when `left` is the mode that serves. */
export function tracesOf(left: Mode, current: Mode | undefined, kernel: Kernel): string[] {
  return foldNames(leftoverNames(leftovers(left, current, kernel)));
}
