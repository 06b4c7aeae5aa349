// Services and EndpointSlices reduced to what decides a node's rules, as kube-proxy 1.36 reads them
// (pkg/proxy/serviceport.go, endpointslicecache.go).
import type { KubeObject } from './cluster.ts';
import { joinedRanges } from './ip-ranges.ts';
import { shortAddress } from './service-port.ts';
import { asksForHints } from './topology-hints.ts';

export type Family = 'IPv4' | 'IPv6';
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** A Service's addresses of one family. */
export interface FamilyAddresses {
  readonly family: Family;
  readonly clusterIP: string;
  readonly externalIPs: readonly string[];
  /** Ingress addresses with ipMode VIP or unset. */
  readonly balancerIPs: readonly string[];
  /** Empty when everybody may come. */
  readonly sourceRanges: readonly string[];
}

export interface ApiPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly nodePort?: number;
}

/** A Service that kube-proxy serves. */
export interface ApiService {
  /** `namespace/name`. */
  readonly key: string;
  readonly addresses: readonly FamilyAddresses[];
  readonly ports: readonly ApiPort[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** Present with ClientIP affinity. */
  readonly affinitySeconds?: number;
  /** An annotation asks for hints to be heeded. */
  readonly asksForHints?: true;
}

export interface ApiEndpoint {
  readonly address: string;
  /** `''` where the slice names none. */
  readonly node: string;
  readonly ready: boolean;
  /** Serves its last connections: not ready, still serving. */
  readonly ending: boolean;
  readonly terminating: boolean;
  /** Zones and nodes that are to prefer it. */
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

export interface ApiSlice {
  /** `namespace/name` of the slice, and of its Service. */
  readonly key: string;
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: Protocol }[];
  readonly endpoints: readonly ApiEndpoint[];
  /** Some endpoint is to be preferred somewhere. */
  readonly hinted: boolean;
}

/** What kube-proxy does not see at all: its own label selectors. */
export const SERVICE_SELECTOR = '!service.kubernetes.io/service-proxy-name';
export const SLICE_SELECTOR = '!service.kubernetes.io/headless';

/** Undefined for what kube-proxy programs nothing for: headless, ExternalName, another proxy's. */
export function apiService({ metadata, spec = {}, status }: KubeObject): ApiService | undefined {
  const { clusterIP, type = 'ClusterIP' } = spec;
  const ignored = 'service.kubernetes.io/service-proxy-name' in (metadata.labels ?? {});
  if (ignored || !clusterIP || clusterIP === 'None' || type === 'ExternalName') return undefined;
  const externalIPs: string[] = spec.externalIPs ?? [];
  const external = type === 'LoadBalancer' || type === 'NodePort' || externalIPs.length > 0;
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  return {
    key: `${metadata.namespace}/${metadata.name}`,
    addresses: familiesOf(spec).map(([family, clusterIP]) => ({
      family,
      clusterIP: shortAddress(clusterIP),
      externalIPs: ofFamily(externalIPs, family),
      balancerIPs: ofFamily(balancerIPs(status), family),
      sourceRanges: sourceRanges(spec.loadBalancerSourceRanges ?? [], family),
    })),
    ports: (spec.ports ?? []).map(portOf),
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: external && spec.externalTrafficPolicy === 'Local',
    ...(spec.sessionAffinity === 'ClientIP' ? { affinitySeconds: seconds } : {}),
    ...(asksForHints(metadata.annotations) ? { asksForHints: true } : {}),
  };
}

function familiesOf(spec: KubeObject['spec']): [Family, string][] {
  const families: Family[] = spec.ipFamilies ?? [];
  if (families.length === 0) return [[familyOf(spec.clusterIP), spec.clusterIP]];
  const ips: string[] = spec.clusterIPs ?? [spec.clusterIP];
  return families.flatMap((family, i): [Family, string][] => (ips[i] ? [[family, ips[i]]] : []));
}

function portOf(port: { name?: string; port: number; protocol?: Protocol; nodePort?: number }): ApiPort {
  const { name = '', protocol = 'TCP', nodePort } = port;
  return { name, port: port.port, protocol, ...(nodePort ? { nodePort } : {}) };
}

function balancerIPs(status: KubeObject['status']): string[] {
  const ingress: { ip?: string; ipMode?: string }[] = status?.loadBalancer?.ingress ?? [];
  return ingress.flatMap(({ ip, ipMode = 'VIP' }) => (ip && ipMode === 'VIP' ? [ip] : []));
}

function ofFamily(addresses: readonly string[], family: Family): string[] {
  return addresses.filter(a => a.trim() !== '' && familyOf(a) === family).map(shortAddress);
}

/** In their shortest form. One that holds every address is as none; what cannot be read is passed over, as kube-proxy does. */
function sourceRanges(given: readonly string[], family: Family): string[] {
  const ranges = given.filter(range => familyOf(range) === family).flatMap(readRange);
  return ranges.some(range => range.endsWith('/0')) ? [] : joinedRanges(ranges);
}

function readRange(text: string): string[] {
  try {
    return joinedRanges([text]);
  } catch {
    return [];
  }
}

function familyOf(address: string): Family {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

interface RawEndpoint {
  addresses?: string[];
  conditions?: { ready?: boolean | null; serving?: boolean | null; terminating?: boolean | null };
  nodeName?: string;
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] };
}

/** Undefined for slices that belong to no Service, are of a headless one, or hold names instead of addresses. */
export function apiSlice(slice: KubeObject): ApiSlice | undefined {
  const { metadata, addressType } = slice;
  const service = metadata.labels?.['kubernetes.io/service-name'];
  const headless = 'service.kubernetes.io/headless' in (metadata.labels ?? {});
  if (!service || headless || (addressType !== 'IPv4' && addressType !== 'IPv6')) return undefined;
  const ports: { name?: string; port?: number | null; protocol?: Protocol }[] = slice.ports ?? [];
  const raw: RawEndpoint[] = slice.endpoints ?? [];
  const endpoints = raw.flatMap(endpointOf);
  return {
    key: `${metadata.namespace}/${metadata.name}`,
    service: `${metadata.namespace}/${service}`,
    family: addressType,
    ports: ports.flatMap(({ name = '', port, protocol = 'TCP' }) => (port ? [{ name, port, protocol }] : [])),
    endpoints,
    hinted: endpoints.some(e => e.zones !== undefined || e.nodes !== undefined),
  };
}

function endpointOf({ addresses, conditions, nodeName = '', hints }: RawEndpoint): ApiEndpoint[] {
  const [address] = addresses ?? [];
  if (address === undefined) return [];
  const ready = conditions?.ready ?? true;
  const terminating = conditions?.terminating ?? false;
  const zones = hints?.forZones?.map(zone => zone.name) ?? [];
  const nodes = hints?.forNodes?.map(node => node.name) ?? [];
  return [
    {
      address: shortAddress(address),
      node: nodeName,
      ready,
      ending: !ready && terminating && (conditions?.serving ?? true),
      terminating,
      ...(zones.length > 0 ? { zones } : {}),
      ...(nodes.length > 0 ? { nodes } : {}),
    },
  ];
}

/** `namespace/name:port/PROTO`, as people and probe targets name a Service port. */
export function portName(service: string, { port, protocol }: Pick<ApiPort, 'port' | 'protocol'>): string {
  return `${service}:${port}/${protocol}`;
}
