// How many endpoints a Service has, from its EndpointSlices.
import type { KubeObject } from './cluster.ts';
import { type ServiceFacts, serviceKey } from './inventory.ts';

interface EndpointSlice extends KubeObject {
  addressType?: string;
  endpoints?: { addresses?: string[]; conditions?: { ready?: boolean }; nodeName?: string }[] | null;
}

/** What is kept of an endpoint: `ready` when any slice says so. */
interface Endpoint {
  node: string;
  ready: boolean;
}

/** Endpoints of one Service by address family, then by address: the same pod may stand in several slices. */
type Families = Map<string, Map<string, Endpoint>>;

/** Slices reduced while they stream in. */
export class EndpointCounts {
  private readonly byService = new Map<string, Families>();

  add(slice: EndpointSlice): void {
    const labels = slice.metadata.labels ?? {};
    const name = labels['kubernetes.io/service-name'];
    // kube-proxy does not watch slices of headless Services.
    if (name === undefined || 'service.kubernetes.io/headless' in labels) return;
    const key = serviceKey({ namespace: slice.metadata.namespace ?? '', name });
    const families = getOrMake(this.byService, key, () => new Map());
    const endpoints = getOrMake(families, slice.addressType ?? '', () => new Map<string, Endpoint>());
    for (const { addresses, conditions, nodeName } of slice.endpoints ?? []) {
      const address = addresses?.[0];
      if (address === undefined) continue;
      const ready = conditions?.ready !== false || endpoints.get(address)?.ready === true;
      endpoints.set(address, { node: nodeName ?? '', ready });
    }
  }

  /** A dual-stack Service has each pod in both families: they are counted in the Service's first one that has any. */
  of(service: string, families: readonly string[]): Pick<ServiceFacts, 'readyByNode' | 'endpoints'> {
    const found = this.byService.get(service) ?? new Map<string, Map<string, Endpoint>>();
    const order = [...families, ...found.keys()];
    const endpoints = [
      ...(order
        .map(f => found.get(f))
        .find(e => e && e.size > 0)
        ?.values() ?? []),
    ];
    const ready = new Map<string, number>();
    for (const { node, ready: isReady } of endpoints) if (isReady) ready.set(node, (ready.get(node) ?? 0) + 1);
    return { readyByNode: Object.fromEntries(ready), endpoints: endpoints.length };
  }
}

export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key) ?? make();
  map.set(key, found);
  return found;
}
