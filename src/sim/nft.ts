// kube-proxy's nftables table of one address family, as data.
import { hash32 } from './hash32.ts';
import { inCIDR } from './proxy-config.ts';
import { type Endpoint, outsideIPs, portLabel, reachedOn, type ServicePort, type ServiceView } from './services.ts';

export type NftChain =
  | { kind: 'service'; protocol: string; endpoints: readonly Endpoint[] }
  /** With affinity: each endpoint has a chain, which remembers its clients in a set. */
  | { kind: 'sticky'; endpoints: readonly (Endpoint & { readonly chain: string; readonly set: string })[] }
  | { kind: 'endpoint'; protocol: string; endpoint: Endpoint; set: string }
  | { kind: 'firewall'; sources: readonly string[] }
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
  /** `10.96.0.1/tcp/443` -> Service port label, and what becomes of the packet. */
  readonly noEndpointServices: ReadonlyMap<string, Refusal>;
  /** `tcp/30080` -> the same. */
  readonly noEndpointNodePorts: ReadonlyMap<string, Refusal>;
  /** Load balancer address, `203.0.113.9/tcp/443` -> chain. */
  readonly firewalls: ReadonlyMap<string, string>;
  /** Sets of clients with the seconds they stay there. */
  readonly affinitySets: ReadonlyMap<string, number>;
  readonly chains: ReadonlyMap<string, NftChain>;
  /** Own endpoints of this node, for the hairpin set. */
  readonly hairpins: readonly { protocol: string; endpoint: Endpoint }[];
}

interface Refusal {
  readonly label: string;
  readonly drop: boolean;
}

export interface NftNode {
  readonly name: string;
  readonly ip: string;
  readonly clusterCIDR: string;
  readonly nodePortIPs: readonly string[] | undefined;
}

/** The table that kube-proxy writes in one transaction. */
export function programNft(family: 'ip' | 'ip6', view: ServiceView, node: NftNode): NftTable {
  const table = new TableWriter(family, node);
  for (const port of view.ports) table.write(port);
  return table;
}

class TableWriter implements NftTable {
  readonly family: 'ip' | 'ip6';
  readonly clusterCIDR: string;
  readonly nodePortIPs: readonly string[] | undefined;
  readonly clusterIPs = new Set<string>();
  readonly services = new Map<string, string>();
  readonly nodePorts = new Map<string, string>();
  readonly noEndpointServices = new Map<string, Refusal>();
  readonly noEndpointNodePorts = new Map<string, Refusal>();
  readonly firewalls = new Map<string, string>();
  readonly affinitySets = new Map<string, number>();
  readonly chains = new Map<string, NftChain>();
  readonly hairpins: { protocol: string; endpoint: Endpoint }[] = [];
  private readonly node: NftNode;

  constructor(family: 'ip' | 'ip6', node: NftNode) {
    this.family = family;
    this.node = node;
    this.clusterCIDR = node.clusterCIDR;
    this.nodePortIPs = node.nodePortIPs;
  }

  write(port: ServicePort): void {
    const { protocol, endpoints, clusterIP, internalLocal } = port;
    const base = baseOf(port);
    const { internal, external, local, usesCluster, exposed } = reachedOn(port, this.node.name);
    const refusal = { label: portLabel(port), drop: endpoints.length > 0 };
    const key = (ip: string) => `${ip}/${protocol}/${port.port}`;
    this.clusterIPs.add(clusterIP);
    if (internal.length > 0) this.services.set(key(clusterIP), `${internalLocal ? 'local' : 'service'}-${base}`);
    else this.noEndpointServices.set(key(clusterIP), refusal);
    const cluster = usesCluster ? endpoints : [];
    if (cluster.length > 0) this.spread(`service-${base}`, port, cluster);
    if (local.length > 0) this.spread(`local-${base}`, port, local);
    for (const endpoint of new Set([...cluster, ...local]))
      if (endpoint.node === this.node.name) this.hairpins.push({ protocol, endpoint });
    if (!exposed) return;
    const outside = outsideIPs(port).map(key);
    if (external.length === 0) {
      for (const address of outside) this.noEndpointServices.set(address, refusal);
      if (port.nodePort) this.noEndpointNodePorts.set(`${protocol}/${port.nodePort}`, refusal);
    }
    this.writeFirewall(port, base);
    if (endpoints.length === 0) return;
    for (const address of outside) this.services.set(address, `external-${base}`);
    if (port.nodePort) this.nodePorts.set(`${protocol}/${port.nodePort}`, `external-${base}`);
    const target = `service-${base}`;
    const own = external.length > 0 ? { local: `local-${base}` } : {};
    this.chains.set(
      `external-${base}`,
      port.localOnly ? { kind: 'external-local', target, ...own } : { kind: 'external', target },
    );
  }

  private spread(name: string, port: ServicePort, endpoints: readonly Endpoint[]): void {
    const { protocol, affinitySeconds } = port;
    if (affinitySeconds === undefined) {
      this.chains.set(name, { kind: 'service', protocol, endpoints });
      return;
    }
    const sticky = endpoints.map(endpoint => {
      const path = `${port.service}/${protocol}/${port.portName}__${endpoint.ip.replaceAll(':', '.')}/${endpoint.port}`;
      const base = `${hash32(path, 8)}-${path}`;
      return { ...endpoint, chain: `endpoint-${base}`, set: `affinity-${base}` };
    });
    for (const endpoint of sticky) {
      const { chain, set } = endpoint;
      this.affinitySets.set(set, affinitySeconds);
      this.chains.set(chain, { kind: 'endpoint', protocol, endpoint, set });
    }
    this.chains.set(name, { kind: 'sticky', endpoints: sticky });
  }

  private writeFirewall({ balancerIPs, sourceRanges, protocol, port }: ServicePort, base: string): void {
    if (balancerIPs.length === 0 || sourceRanges.length === 0) return;
    const ownWay = sourceRanges.some(range => inCIDR(this.node.ip, range)) ? balancerIPs : [];
    this.chains.set(`firewall-${base}`, { kind: 'firewall', sources: [...sourceRanges, ...ownWay] });
    for (const ip of balancerIPs) this.firewalls.set(`${ip}/${protocol}/${port}`, `firewall-${base}`);
  }
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
    noEndpointServices: new Map([...table.noEndpointServices].filter(([, { label }]) => other(label))),
    noEndpointNodePorts: new Map([...table.noEndpointNodePorts].filter(([, { label }]) => other(label))),
  };
}

/** What a chain does with a connection from a pod or the node itself: `backends` are `ip:port`. */
export function nftTranslation(
  table: NftTable,
  chain: string,
): { backends: string[]; chain: string; remembers: boolean } {
  const found = table.chains.get(chain);
  if (!found || found.kind === 'endpoint' || found.kind === 'firewall')
    return { backends: [], chain, remembers: false };
  if (found.kind !== 'service' && found.kind !== 'sticky') return nftTranslation(table, found.target);
  const backends = found.endpoints.map(endpoint => `${endpoint.ip}:${endpoint.port}`);
  return { backends, chain, remembers: found.kind === 'sticky' };
}
