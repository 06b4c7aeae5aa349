// Services and EndpointSlices as kube-proxy understands them: one entry a Service port.
import type { KubeObject } from '../core/cluster.ts';
import type { Store } from './store.ts';

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  readonly node: string;
}

export interface ServicePort {
  /** `namespace/name`. */
  readonly service: string;
  readonly portName: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly clusterIP: string;
  readonly port: number;
  readonly nodePort?: number;
  readonly externalIPs: readonly string[];
  /** Load balancer addresses. */
  readonly balancerIPs: readonly string[];
  /** Who may come to the load balancer addresses; empty for everybody. */
  readonly sourceRanges: readonly string[];
  /** internalTrafficPolicy Local. */
  readonly internalLocal: boolean;
  /** externalTrafficPolicy Local. */
  readonly localOnly: boolean;
  /** Where kube-proxy says over HTTP whether endpoints are local. */
  readonly healthCheckNodePort?: number;
  /** Of ClientIP affinity. */
  readonly affinitySeconds?: number;
  /** Ready ones, or where none is, those that serve while they terminate. */
  readonly endpoints: readonly Endpoint[];
  /** Those that serve while they terminate. */
  readonly draining: readonly Endpoint[];
}

/** What clients of a Service port reach on a node. Source: kube-proxy 1.36 pkg/proxy/topology.go, without hints. */
export interface Reached {
  /** Behind the cluster IP. */
  readonly internal: readonly Endpoint[];
  /** Behind the other addresses, by clients outside the cluster; those within reach all `endpoints`. */
  readonly external: readonly Endpoint[];
  /** On the node; empty where no policy asks for them. */
  readonly local: readonly Endpoint[];
  /** Clients within the cluster, or all, reach endpoints anywhere. */
  readonly usesCluster: boolean;
  /** It has addresses besides the cluster IP. */
  readonly exposed: boolean;
}

export function reachedOn(port: ServicePort, node: string): Reached {
  const { internalLocal, localOnly, endpoints, draining } = port;
  const exposed = port.nodePort !== undefined || outsideIPs(port).length > 0;
  const on = (all: readonly Endpoint[]) => all.filter(endpoint => endpoint.node === node);
  const own = on(endpoints).length > 0 ? on(endpoints) : on(draining);
  const local = internalLocal || (localOnly && exposed) ? own : [];
  return {
    internal: internalLocal ? local : endpoints,
    external: localOnly ? local : endpoints,
    local,
    usesCluster: !internalLocal || exposed,
    exposed,
  };
}

/** External and load balancer addresses. */
export function outsideIPs({ externalIPs, balancerIPs }: ServicePort): string[] {
  return [...externalIPs, ...balancerIPs];
}

/** All Service ports at one moment. The same object as long as nothing changed. */
export interface ServiceView {
  readonly version: number;
  readonly ports: readonly ServicePort[];
}

/** `shop/web:http`, as kube-proxy names a Service port. */
export function portLabel({ service, portName }: ServicePort): string {
  return portName === '' ? service : `${service}:${portName}`;
}

export class Services {
  private readonly store: Store;
  private readonly listeners = new Set<() => void>();
  private view: ServiceView | undefined;
  private versions = 0;
  /** Kept, so that what is derived from an unchanged port is derived once. */
  private known = new Map<string, { text: string; port: ServicePort }>();

  constructor(store: Store) {
    this.store = store;
    store.subscribe(({ kind }) => {
      if (kind !== 'Service' && kind !== 'EndpointSlice') return;
      this.view = undefined;
      for (const listener of [...this.listeners]) listener();
    });
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  current(): ServiceView {
    this.view ??= this.read();
    return this.view;
  }

  private read(): ServiceView {
    const slices = Map.groupBy(this.store.list('EndpointSlice'), slice => {
      const name = slice.metadata.labels?.['kubernetes.io/service-name'] ?? '';
      return `${slice.metadata.namespace}/${name}`;
    });
    const known = new Map<string, { text: string; port: ServicePort }>();
    for (const service of this.store.list('Service')) {
      const key = `${service.metadata.namespace}/${service.metadata.name}`;
      for (const port of portsOf(service, slices.get(key) ?? [])) {
        const text = JSON.stringify(port);
        const id = `${key}:${port.portName}/${port.protocol}/${port.port}`;
        const before = this.known.get(id);
        known.set(id, before?.text === text ? before : { text, port });
      }
    }
    this.known = known;
    return { version: ++this.versions, ports: [...known.values()].map(entry => entry.port) };
  }
}

function portsOf(service: KubeObject, slices: readonly KubeObject[]): ServicePort[] {
  const { spec, metadata, status } = service;
  if (spec.type === 'ExternalName' || !spec.clusterIP || spec.clusterIP === 'None') return [];
  if (metadata.labels?.['service.kubernetes.io/service-proxy-name'] !== undefined) return [];
  const ingress: { ip?: string; ipMode?: string }[] = status?.loadBalancer?.ingress ?? [];
  const balancers = ingress.flatMap(i => (i.ip && i.ipMode !== 'Proxy' ? [i.ip] : []));
  const ports: { name?: string; port: number; protocol: string; nodePort?: number }[] = spec.ports ?? [];
  const sourceRanges: string[] = (spec.loadBalancerSourceRanges ?? []).map((range: string) => range.trim());
  const affinity = spec.sessionAffinity === 'ClientIP';
  const affinitySeconds: number = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  return ports.map(port => ({
    service: `${metadata.namespace}/${metadata.name}`,
    portName: port.name ?? '',
    protocol: port.protocol.toLowerCase() as ServicePort['protocol'],
    clusterIP: spec.clusterIP,
    port: port.port,
    ...(port.nodePort ? { nodePort: port.nodePort } : {}),
    externalIPs: spec.externalIPs ?? [],
    balancerIPs: balancers,
    // One that everybody is in is as good as none.
    sourceRanges: sourceRanges.some(range => range.endsWith('/0')) ? [] : sourceRanges,
    internalLocal: spec.internalTrafficPolicy === 'Local',
    localOnly: spec.externalTrafficPolicy === 'Local',
    ...(spec.healthCheckNodePort ? { healthCheckNodePort: spec.healthCheckNodePort } : {}),
    ...(affinity ? { affinitySeconds } : {}),
    ...endpointsOf(slices, port.name ?? ''),
  }));
}

interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly nodeName?: string;
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
}

function endpointsOf(slices: readonly KubeObject[], portName: string): Pick<ServicePort, 'endpoints' | 'draining'> {
  const ready: Endpoint[] = [];
  const draining: Endpoint[] = [];
  for (const slice of slices.filter(slice => slice.addressType === 'IPv4')) {
    const ports: { name?: string; port: number }[] = slice.ports ?? [];
    const port = ports.find(p => (p.name ?? '') === portName)?.port;
    if (port === undefined) continue;
    const endpoints: SliceEndpoint[] = slice.endpoints ?? [];
    for (const { addresses, nodeName: node = '', conditions = {} } of endpoints) {
      const [ip] = addresses;
      if (ip === undefined) continue;
      if (conditions.ready !== false) ready.push({ ip, port, node });
      else if (conditions.serving && conditions.terminating) draining.push({ ip, port, node });
    }
  }
  return { endpoints: ready.length > 0 ? ready : draining, draining };
}
