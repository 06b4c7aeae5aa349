// kube-proxy's nftables table of one address family, as data.
import { hash32 } from './hash32.ts';
import { type Endpoint, portLabel, type ServicePort, type ServiceView } from './services.ts';

export type NftChain =
  | { kind: 'service'; protocol: string; endpoints: readonly Endpoint[] }
  | { kind: 'external'; target: string }
  /** externalTrafficPolicy Local: pods and the node itself reach all endpoints, others those in `local`. */
  | { kind: 'external-local'; target: string; local?: string };

export interface NftTable {
  readonly family: 'ip' | 'ip6';
  readonly clusterCIDR: string;
  readonly clusterIPs: ReadonlySet<string>;
  /** Addresses that accept NodePorts; undefined for every local one. */
  readonly nodePortIPs: readonly string[] | undefined;
  /** `10.96.0.1/tcp/443` -> chain. */
  readonly services: ReadonlyMap<string, string>;
  /** `tcp/30080` -> chain. */
  readonly nodePorts: ReadonlyMap<string, string>;
  /** `10.96.0.1/tcp/443` -> Service port label. */
  readonly noEndpointServices: ReadonlyMap<string, string>;
  /** `tcp/30080` -> Service port label, and what becomes of the packet. */
  readonly noEndpointNodePorts: ReadonlyMap<string, { label: string; drop: boolean }>;
  readonly chains: ReadonlyMap<string, NftChain>;
  /** Own endpoints of this node, for the hairpin set. */
  readonly hairpins: readonly { protocol: string; endpoint: Endpoint }[];
}

export interface NftNode {
  readonly name: string;
  readonly clusterCIDR: string;
  readonly nodePortIPs: readonly string[] | undefined;
}

/** The table that kube-proxy writes in one transaction. */
export function programNft(family: 'ip' | 'ip6', view: ServiceView, node: NftNode): NftTable {
  const services = new Map<string, string>();
  const nodePorts = new Map<string, string>();
  const noEndpointServices = new Map<string, string>();
  const noEndpointNodePorts = new Map<string, { label: string; drop: boolean }>();
  const chains = new Map<string, NftChain>();
  const hairpins: { protocol: string; endpoint: Endpoint }[] = [];
  for (const port of view.ports) {
    const { protocol, endpoints } = port;
    const base = baseOf(port);
    const addresses = [port.clusterIP, ...port.externalIPs].map(ip => `${ip}/${protocol}/${port.port}`);
    if (endpoints.length === 0) {
      for (const address of addresses) noEndpointServices.set(address, portLabel(port));
      if (port.nodePort)
        noEndpointNodePorts.set(`${protocol}/${port.nodePort}`, { label: portLabel(port), drop: false });
      continue;
    }
    chains.set(`service-${base}`, { kind: 'service', protocol, endpoints });
    const own = endpoints.filter(endpoint => endpoint.node === node.name);
    for (const endpoint of own) hairpins.push({ protocol, endpoint });
    const [cluster = '', ...outside] = addresses;
    services.set(cluster, `service-${base}`);
    if (!port.nodePort && outside.length === 0) continue;
    for (const address of outside) services.set(address, `external-${base}`);
    if (port.nodePort) nodePorts.set(`${protocol}/${port.nodePort}`, `external-${base}`);
    if (port.localOnly) {
      const target = `service-${base}`;
      chains.set(`external-${base}`, {
        kind: 'external-local',
        target,
        ...(own.length > 0 ? { local: `local-${base}` } : {}),
      });
      if (own.length > 0) chains.set(`local-${base}`, { kind: 'service', protocol, endpoints: own });
      else if (port.nodePort)
        noEndpointNodePorts.set(`${protocol}/${port.nodePort}`, { label: portLabel(port), drop: true });
    } else chains.set(`external-${base}`, { kind: 'external', target: `service-${base}` });
  }
  const { clusterCIDR, nodePortIPs } = node;
  const clusterIPs = new Set(view.ports.map(port => port.clusterIP));
  return {
    family,
    clusterCIDR,
    clusterIPs,
    nodePortIPs,
    services,
    nodePorts,
    noEndpointServices,
    noEndpointNodePorts,
    chains,
    hairpins,
  };
}

const bases = new WeakMap<ServicePort, string>();

function baseOf(port: ServicePort): string {
  let base = bases.get(port);
  if (base === undefined) {
    const path = `${port.service}/${port.protocol}/${port.portName}`;
    base = `${hash32(path, 8)}-${path}`;
    bases.set(port, base);
  }
  return base;
}

/** The table without a Service's entries, as if somebody had deleted them. */
export function withoutService(table: NftTable, service: string): NftTable {
  const stays = ([, chain]: [string, string]) => !chain.includes(`-${service}/`);
  const other = (label: string) => label !== service && !label.startsWith(`${service}:`);
  return {
    ...table,
    services: new Map([...table.services].filter(stays)),
    nodePorts: new Map([...table.nodePorts].filter(stays)),
    noEndpointServices: new Map([...table.noEndpointServices].filter(([, label]) => other(label))),
    noEndpointNodePorts: new Map([...table.noEndpointNodePorts].filter(([, { label }]) => other(label))),
  };
}

/** `ip:port` of the endpoints behind a chain. */
export function nftBackends(table: NftTable, chain: string): string[] {
  const found = table.chains.get(chain);
  if (!found) return [];
  if (found.kind !== 'service') return nftBackends(table, found.target);
  return found.endpoints.map(endpoint => `${endpoint.ip}:${endpoint.port}`);
}
