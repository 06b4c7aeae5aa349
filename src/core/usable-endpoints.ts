// Which endpoints of a Service port a node sends connections to: pkg/proxy/topology.go CategorizeEndpoints.

import type { ApiEndpoint, ApiPort, ApiSlice, Family } from './api-services.ts';
import { hostPort } from './service-port.ts';
import type { HintUse } from './topology-hints.ts';

/** Where a node stands, as far as endpoints are chosen by it. */
export interface NodePlace {
  readonly node: string;
  /** `topology.kubernetes.io/zone`, `''` without one. */
  readonly zone: string;
  /** What its kube-proxy heeds of hints. */
  readonly hints: HintUse;
}

/** Each list holds `address:port`, sorted. */
export interface Usable {
  /** Under traffic policy Cluster; empty where `needs.cluster` is false. */
  readonly cluster: readonly string[];
  /** Under traffic policy Local; empty where `needs.local` is false. */
  readonly local: readonly string[];
  /** Some endpoint on some node could be used: without it connections are refused, with it dropped. */
  readonly any: boolean;
}

export interface Needs {
  readonly cluster: boolean;
  readonly local: boolean;
  /** The Service asks for hints to be heeded. */
  readonly hints?: true | undefined;
}

export function usableEndpoints(endpoints: ReadonlyMap<string, ApiEndpoint>, needs: Needs, place: NodePlace): Usable {
  const all = [...endpoints];
  const ready = all.filter(([, e]) => e.ready);
  const ending = all.filter(([, e]) => e.ending);
  const cluster = needs.cluster ? (ready.length > 0 ? preferred(ready, needs, place) : ending) : [];
  const here = (list: readonly Entry[]) => list.filter(([, e]) => e.node === place.node && e.node !== '');
  const readyHere = needs.local ? here(ready) : [];
  const local = needs.local && readyHere.length === 0 ? here(ending) : readyHere;
  const any = cluster.length > 0 || (needs.local && ready.length + ending.length > 0);
  return { cluster: names(cluster), local: names(local), any };
}

type Entry = [hostPort: string, endpoint: ApiEndpoint];

function names(entries: readonly Entry[]): string[] {
  return entries.map(([name]) => name).sort();
}

/** Hints count only when every ready endpoint has one and one of them is for this node, or else for its zone. */
function preferred(ready: readonly Entry[], needs: Needs, { node, zone, hints: use }: NodePlace): readonly Entry[] {
  const byNode = (e: ApiEndpoint) => e.nodes?.includes(node);
  const byZone = (e: ApiEndpoint) => e.zones?.includes(zone);
  const zones = use.zones === 'all' || (use.zones === 'annotated' && needs.hints === true);
  for (const isMine of [...(use.nodes ? [byNode] : []), ...(zones ? [byZone] : [])]) {
    const hints = ready.map(([, e]) => isMine(e));
    if (!hints.includes(undefined) && hints.includes(true)) return ready.filter((_, i) => hints[i]);
  }
  return ready;
}

/**
 * Endpoints of a Service port by `address:port`. One that stands in several slices, as while it moves from one to another, is
 * the one that does not end; of several of those kube-proxy takes any, here a ready one.
 */
export function endpointsOfPort(
  slices: readonly ApiSlice[],
  family: Family,
  { name, protocol }: Pick<ApiPort, 'name' | 'protocol'>,
): Map<string, ApiEndpoint> {
  const found = new Map<string, ApiEndpoint>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const { port } of slice.ports.filter(p => p.name === name && p.protocol === protocol)) {
      for (const endpoint of slice.endpoints) {
        const key = hostPort(endpoint.address, port);
        const before = found.get(key);
        if (!before || rank(endpoint) > rank(before)) found.set(key, endpoint);
      }
    }
  }
  return found;
}

function rank({ terminating, ready }: ApiEndpoint): number {
  return (terminating ? 0 : 2) + (ready ? 1 : 0);
}
