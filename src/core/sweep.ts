import type { Mode } from './mode.ts';

/**
 * Whether a flip leaves something of the old mode behind that kube-proxy itself does not remove. Between iptables and ipvs it
 * removes nothing; leaving ipvs for nftables our DaemonSet is kept from cutting ipvs connections, and IPv6 ipsets stay.
 * Source: kube-proxy 1.36 `platformCleanup`.
 */
export function needsSweep(from: Mode, to: Mode): boolean {
  return from === 'ipvs' || (from === 'iptables' && to === 'ipvs');
}
