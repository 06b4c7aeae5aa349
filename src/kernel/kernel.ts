// A node's kernel as its dumps tell it.
import type { Mode } from '../core/mode.ts';
import { parseIptablesSave, readIptables, type Tables } from './iptables.ts';
import { parseAddresses, parseIpVs, readIpvs, type VirtualServer } from './ipvs.ts';
import { parseNftTable, readNftables } from './nftables.ts';
import type { ModeReading } from './reading.ts';

/** The programs that hold iptables rules: backend and family. */
export const IPTABLES_VARIANTS = ['iptables-nft', 'iptables-legacy', 'ip6tables-nft', 'ip6tables-legacy'] as const;
export type IptablesVariant = (typeof IPTABLES_VARIANTS)[number];

export interface KernelDumps {
  /** `nft -j list table ip|ip6 kube-proxy`; absent where there is no such table. */
  readonly nft: Readonly<Partial<Record<'ip' | 'ip6', string>>>;
  /** `<variant>-save`; absent where the node does not have the program. */
  readonly iptables: Readonly<Partial<Record<IptablesVariant, string>>>;
  /** `ipset list -n`. */
  readonly ipsets: string;
  /** /proc/net/ip_vs; absent where ip_vs is not loaded. */
  readonly ipVs?: string;
  /** `ip -o addr show dev kube-ipvs0`; absent where there is no such device. */
  readonly device?: string;
}

export interface Kernel {
  readonly readings: Readonly<Record<Mode, ModeReading>>;
  readonly nftFamilies: readonly ('ip' | 'ip6')[];
  readonly iptables: ReadonlyMap<IptablesVariant, Tables>;
  readonly ipsets: readonly string[];
  readonly virtualServers: readonly VirtualServer[];
  /** Addresses of kube-ipvs0; undefined without the device. */
  readonly addresses: ReadonlySet<string> | undefined;
}

/** Throws on a dump that cannot be read: half a dump must not look like a kernel with half the rules. */
export function parseKernel(dumps: KernelDumps): Kernel {
  const iptables = new Map<IptablesVariant, Tables>();
  for (const variant of IPTABLES_VARIANTS) {
    const dump = dumps.iptables[variant];
    if (dump !== undefined) iptables.set(variant, parseIptablesSave(dump));
  }
  const nft = [dumps.nft.ip, dumps.nft.ip6].filter(dump => dump !== undefined).map(parseNftTable);
  const virtualServers = parseIpVs(dumps.ipVs ?? '');
  const addresses = dumps.device === undefined ? undefined : parseAddresses(dumps.device);
  return {
    readings: {
      iptables: readIptables([...iptables.values()]),
      ipvs: readIpvs(virtualServers, addresses),
      nftables: readNftables(nft),
    },
    nftFamilies: (['ip', 'ip6'] as const).filter(family => dumps.nft[family] !== undefined),
    iptables,
    ipsets: dumps.ipsets.split('\n').filter(name => name !== ''),
    virtualServers,
    addresses,
  };
}
