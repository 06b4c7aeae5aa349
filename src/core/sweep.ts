import type { Mode } from './mode.ts';

/**
 * Whether what a mode leaves behind is not kube-proxy's own to remove, or not well: between iptables and ipvs it removes nothing;
 * leaving ipvs for nftables it cuts ipvs connections at its start, and IPv6 ipsets stay; leaving iptables for nftables all chains
 * stay where a rule of somebody else needs one of them, as a CNI's jump to KUBE-MARK-MASQ does: they go in one transaction or
 * not at all. Source: kube-proxy 1.36 `platformCleanup`.
 */
export function needsSweep(from: Mode): boolean {
  return from !== 'nftables';
}

/**
 * Whether the two modes write the same chains: ipvs writes nat/KUBE-SERVICES anew every 30 s, and iptables at every change, so
 * that of two kube-proxies the last writer's rules stand there. Source: kube-proxy 1.36 `syncProxyRules` of both.
 */
export function sharesChains(one: Mode, other: Mode): boolean {
  return one !== other && one !== 'nftables' && other !== 'nftables';
}
