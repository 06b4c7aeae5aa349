// A node's kernel as its dumps tell it.
import type { Mode } from '../core/mode.ts';
import type { Client, ServicePath } from '../core/service-path.ts';
import type { IpSets } from './ipset.ts';
import type { Tables } from './iptables.ts';
import { type Backend, iptablesPath } from './iptables-path.ts';
import { readIptables } from './iptables-rules.ts';
import { parseAddresses, parseFirewallMarks, parseIpVs, type VirtualServer } from './ipvs.ts';
import { ipvsPath } from './ipvs-path.ts';
import { type IpvsParts, readIpvs } from './ipvs-rules.ts';
import type { NftTable } from './nftables.ts';
import { nftablesPath } from './nftables-path.ts';
import { readNftables } from './nftables-rules.ts';
import type { Parser } from './parser.ts';
import type { ModeReading } from './reading.ts';

/** The programs that hold iptables rules: backend and family. */
export const IPTABLES_VARIANTS = ['iptables-nft', 'iptables-legacy', 'ip6tables-nft', 'ip6tables-legacy'] as const;
export type IptablesVariant = (typeof IPTABLES_VARIANTS)[number];

/** Large ones as parsers that programs have filled. */
export interface KernelDumps {
  /** `nft -j list table ip|ip6 kube-proxy`; absent where there is no such table. */
  readonly nft: Readonly<Partial<Record<'ip' | 'ip6', Parser<NftTable>>>>;
  /** `<variant>-save`; absent where the node does not have the program. */
  readonly iptables: Readonly<Partial<Record<IptablesVariant, Parser<Tables>>>>;
  /** `ipset list -n`. */
  readonly ipsets: string;
  /** /proc/net/ip_vs; absent where ip_vs is not loaded. */
  readonly ipVs?: string;
  /** `ip -o addr show dev kube-ipvs0`; absent where there is no such device. */
  readonly device?: string;
  /** `ipset save`; only where there is that device. */
  readonly ipsetMembers?: Parser<IpSets>;
  /** Of the kernel's clock; only where a virtual server is persistent. */
  readonly ticksPerSecond?: number;
}

export interface Kernel {
  readonly readings: Readonly<Record<Mode, ModeReading>>;
  readonly nftFamilies: readonly ('ip' | 'ip6')[];
  readonly iptables: ReadonlyMap<IptablesVariant, Tables>;
  readonly ipsets: readonly string[];
  readonly virtualServers: readonly VirtualServer[];
  /** Firewall marks with virtual servers, which are never kube-proxy's. */
  readonly firewallMarks: readonly string[];
  /** Addresses of kube-ipvs0; undefined without the device. */
  readonly addresses: ReadonlySet<string> | undefined;
  /** What ways are followed through. */
  readonly nft: readonly NftTable[];
  readonly ipvs: IpvsParts;
}

/** Throws on a dump that cannot be read: half a dump must not look like a kernel with half the rules. */
export function parseKernel(dumps: KernelDumps): Kernel {
  const tables = new Map<IptablesVariant, Tables>();
  for (const variant of IPTABLES_VARIANTS) {
    const dump = dumps.iptables[variant];
    if (dump !== undefined) tables.set(variant, dump.end());
  }
  const iptables = [...tables].map(([variant, own]) => ({ family: familyOf(variant), tables: own }));
  const nft = (['ip', 'ip6'] as const).flatMap(family => {
    const dump = dumps.nft[family];
    return dump === undefined ? [] : [dump.end()];
  });
  const servers = parseIpVs(dumps.ipVs ?? '');
  const addresses = dumps.device === undefined ? undefined : parseAddresses(dumps.device);
  const sets: IpSets = dumps.ipsetMembers?.end() ?? new Map();
  const ipvs = { servers, addresses, sets, ticksPerSecond: dumps.ticksPerSecond, iptables };
  return {
    readings: {
      iptables: readIptables(iptables),
      ipvs: readIpvs(ipvs),
      nftables: readNftables(nft),
    },
    nftFamilies: nft.map(table => table.family),
    iptables: tables,
    ipsets: dumps.ipsets.split('\n').filter(name => name !== ''),
    virtualServers: servers,
    firewallMarks: parseFirewallMarks(dumps.ipVs ?? ''),
    addresses,
    nft,
    ipvs,
  };
}

/** The way of a new connection from `client` to the address and port of `key`, by the rules of `mode` alone. */
export function pathOf(kernel: Kernel, mode: Mode, key: string, client: Client): ServicePath {
  switch (mode) {
    case 'nftables':
      return nftablesPath(kernel.nft, key, client);
    case 'ipvs':
      return ipvsPath(kernel.ipvs, key, client);
    case 'iptables':
      return iptablesPath([...kernel.iptables].map(backendOf), key, client);
  }
}

function backendOf([variant, tables]: [IptablesVariant, Tables]): Backend {
  return { family: familyOf(variant), legacy: variant.endsWith('-legacy'), tables };
}

function familyOf(variant: IptablesVariant): 'ip' | 'ip6' {
  return variant.startsWith('ip6') ? 'ip6' : 'ip';
}
