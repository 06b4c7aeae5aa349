// What a starting kube-proxy removes of the other kind before anything else. Source: kube-proxy 1.36 `platformCleanup`.
import type { Mode } from '../core/mode.ts';
import type { Iptables, TableName } from './iptables.ts';
import { IPSETS, IPVS_CHAINS, IPVS_JUMPS } from './ipvs.ts';
import type { Kernel } from './kernel.ts';
import { CANARY, IPTABLES_JUMPS } from './program-iptables.ts';

/** Whether a program can be run by its name, PATH considered. */
export type Toolbox = (tool: string) => boolean;

export function hasIptables(has: Toolbox): boolean {
  return ['iptables', 'iptables-save', 'iptables-restore'].every(has);
}

/** Errors are ignored, as the real one ignores them: what cannot be cleaned stays. */
export function platformCleanup(kernel: Kernel, mode: Mode, has: Toolbox): void {
  if (mode !== 'nftables') {
    if (!has('nft')) return;
    kernel.deleteNft('ip');
    kernel.deleteNft('ip6');
    return;
  }
  if (hasIptables(has)) for (const iptables of Object.values(kernel.iptables)) cleanIptables(iptables);
  // Without modprobe it takes ip_vs for not there and says nothing.
  if (has('modprobe')) cleanIpvs(kernel, has);
}

const IPTABLES_CHAINS: Record<TableName, RegExp> = {
  nat: /^KUBE-(SERVICES|NODEPORTS|POSTROUTING|MARK-MASQ|PROXY-CANARY|SVC-.*|SVL-.*|SEP-.*|EXT-.*|FW-.*)$/,
  filter: /^KUBE-(SERVICES|EXTERNAL-SERVICES|NODEPORTS|FORWARD|PROXY-FIREWALL|PROXY-CANARY)$/,
  mangle: /^KUBE-PROXY-CANARY$/,
};

function cleanIptables(iptables: Iptables): void {
  for (const [table, chain, rule] of IPTABLES_JUMPS) iptables.removeRule(table, chain, rule);
  for (const table of ['nat', 'filter'] as const) {
    const names = [...iptables.chains(table).keys()].filter(name => IPTABLES_CHAINS[table].test(name));
    // One restore a table: it fails as a whole while a chain of ipvs mode jumps to one of these.
    iptables.removeChains(table, new Set(names));
  }
  iptables.removeChains('mangle', new Set([CANARY]));
}

function cleanIpvs(kernel: Kernel, has: Toolbox): void {
  const { ipvs } = kernel;
  ipvs.loaded = true;
  if (hasIptables(has)) {
    for (const iptables of Object.values(kernel.iptables)) {
      for (const [table, chain, rule] of IPVS_JUMPS) iptables.removeRule(table, chain, rule);
      for (const table of ['nat', 'filter'] as const) {
        const names = IPVS_CHAINS.filter(([t, name]) => t === table && iptables.chain(table, name)).map(
          ([, name]) => name,
        );
        iptables.removeChains(table, new Set(names));
      }
    }
  }
  ipvs.servers.clear();
  ipvs.device = undefined;
  // The IPv6 names are built elsewhere, so those sets stay.
  if (has('ipset')) for (const set of IPSETS) if (!kernel.iptables.IPv4.usesSet(set)) ipvs.sets.delete(set);
}
