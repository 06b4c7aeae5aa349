import type { Mode } from './mode.ts';

/**
 * Whether a flip leaves something behind that kube-proxy itself does not remove, or not well: between iptables and ipvs it
 * removes nothing; leaving ipvs for nftables it cuts ipvs connections at its start, and IPv6 ipsets stay. Source: kube-proxy
 * 1.36 `platformCleanup`.
 */
export function needsSweep(from: Mode, to: Mode): boolean {
  return from === 'ipvs' || (from === 'iptables' && to === 'ipvs');
}

/**
 * Whether the two modes write the same chains: ipvs writes nat/KUBE-SERVICES anew every 30 s, and iptables at every change, so
 * that of two kube-proxies the last writer's rules stand there. Source: kube-proxy 1.36 `syncProxyRules` of both.
 */
export function sharesChains(one: Mode, other: Mode): boolean {
  return one !== other && one !== 'nftables' && other !== 'nftables';
}
