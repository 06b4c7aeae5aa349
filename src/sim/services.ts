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
  /** External and load balancer addresses. */
  readonly externalIPs: readonly string[];
  /** externalTrafficPolicy Local. */
  readonly localOnly: boolean;
  /** Ready ones. */
  readonly endpoints: readonly Endpoint[];
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
  return ports.map(port => ({
    service: `${metadata.namespace}/${metadata.name}`,
    portName: port.name ?? '',
    protocol: port.protocol.toLowerCase() as ServicePort['protocol'],
    clusterIP: spec.clusterIP,
    port: port.port,
    ...(port.nodePort ? { nodePort: port.nodePort } : {}),
    externalIPs: [...(spec.externalIPs ?? []), ...balancers],
    localOnly: spec.externalTrafficPolicy === 'Local',
    endpoints: slices.flatMap(slice => endpointsOf(slice, port.name ?? '')),
  }));
}

function endpointsOf(slice: KubeObject, portName: string): Endpoint[] {
  if (slice.addressType !== 'IPv4') return [];
  const ports: { name?: string; port: number }[] = slice.ports ?? [];
  const port = ports.find(p => (p.name ?? '') === portName)?.port;
  if (port === undefined) return [];
  const endpoints: { addresses: string[]; nodeName?: string; conditions?: { ready?: boolean } }[] =
    slice.endpoints ?? [];
  return endpoints
    .filter(e => e.conditions?.ready !== false)
    .flatMap(e => e.addresses.slice(0, 1).map(ip => ({ ip, port, node: e.nodeName ?? '' })));
}
