// How long things take, crudely: good enough to choose a maintenance window, not to hold anybody to.
import type { Mode } from './mode.ts';

/** Pods that stop, start, are watched and swept: what a flip takes with hardly any Services. */
const BASE_SECONDS = 45;

/** First sync of kube-proxy 1.36.3 into an empty nftables table, measured: [Services with two endpoints each, seconds]. */
const NFTABLES: readonly (readonly [number, number])[] = [
  [300, 0.24],
  [1000, 0.7],
  [5000, 8],
  [10_000, 90],
];

/** iptables took about 40 s at 10,000 Services (kubernetes/kubernetes#130119); ipvs is taken to be alike. */
const LEGACY_SECONDS_PER_SERVICE = 0.004;

/**
 * Seconds that a kube-proxy needs to program everything from nothing. Between the measured points it follows a power law;
 * above them it grows linearly, which meets the 2 to 20 minutes reported at 250,000 endpoints (kubernetes/kubernetes#135639).
 */
export function firstSyncSeconds(to: Mode, services: number, endpoints: number): number {
  const size = Math.max(services, endpoints / 2);
  if (to !== 'nftables') return size * LEGACY_SECONDS_PER_SERVICE;
  let [fromSize, fromSeconds]: readonly [number, number] = [0, 0];
  for (const [toSize, toSeconds] of NFTABLES) {
    if (size <= toSize) {
      if (fromSize === 0) return (toSeconds * size) / toSize;
      const power = Math.log(toSeconds / fromSeconds) / Math.log(toSize / fromSize);
      return fromSeconds * (size / fromSize) ** power;
    }
    [fromSize, fromSeconds] = [toSize, toSeconds];
  }
  return (fromSeconds * size) / fromSize;
}

/** What the time of one node depends on. Times in seconds. */
export interface NodeLoad {
  from: Mode;
  to: Mode;
  /** Proxied Services of the cluster and their endpoints. */
  services: number;
  endpoints: number;
  /** `gates.soak` and `gates.drain` of the playbook. */
  soak: number;
  drain: number;
}

/** Seconds for one node: two syncs (the warm kube-proxy's, then the main one's on rules that stand: half of it), soak, drain. */
export function nodeSeconds(load: NodeLoad): number {
  const sync = 1.5 * firstSyncSeconds(load.to, load.services, load.endpoints);
  return BASE_SECONDS + sync + load.soak + (load.from === 'ipvs' ? load.drain : 0);
}
