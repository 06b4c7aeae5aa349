// What a node's kernel must hold for a Service, as the proxiers of kube-proxy 1.36 decide it (pkg/proxy/iptables, ipvs and
// nftables, syncProxyRules).
import {
  type ApiPort,
  type ApiService,
  type ApiSlice,
  type Family,
  type FamilyAddresses,
  portName,
} from './api-services.ts';
import { inRange } from './ip-ranges.ts';
import type { Mode } from './mode.ts';
import type { RuleOptions } from './rule-options.ts';
import { nodePort, servicePort } from './service-port.ts';
import { type ServiceRule, serviceRule } from './service-rules.ts';
import { endpointsOfPort, type NodePlace, type Usable, usableEndpoints } from './usable-endpoints.ts';

/** A Service and its slices at one moment. Never changed in place: what is derived from it is kept with it. */
export interface ServiceVersion {
  /** Absent for a Service that kube-proxy does not serve, or that is not there (yet). */
  readonly service?: ApiService;
  readonly slices: readonly ApiSlice[];
}

export interface ExpectedRule {
  /** `namespace/name:port/PROTO`. */
  readonly port: string;
  readonly rule: ServiceRule;
  /** Addresses that kube-proxy may let in besides the source ranges: the load balancer's own, on nodes within the ranges. */
  readonly own: readonly string[];
  /** It may as well lead nowhere: `nodePortAddresses` names ranges in which no known address of the node lies. */
  readonly optional?: true;
}

/** The node, and how its kube-proxy writes rules. */
export interface RulePlace extends NodePlace {
  readonly mode: Mode;
  /** Its addresses that the API knows. */
  readonly addresses: readonly string[];
  readonly options: RuleOptions;
  /** Address families that its kube-proxy serves. */
  readonly families: readonly Family[];
}

/**
 * Gives, for a version of a Service, one entry for each address and port that the mode must answer for on this node; none for
 * what kube-proxy does not serve.
 */
export function expectedRules(place: RulePlace): (version: ServiceVersion) => readonly ExpectedRule[] {
  const { mode, families, options } = place;
  const nodePorts = families.map(family => optionalIn(place, family).optional);
  // All that the rules of most Services depend on, so nodes share them.
  const shared = JSON.stringify([mode, families, options.externalIPs, nodePorts]);
  return version => {
    const { service, slices } = version;
    if (!service) return [];
    if (dependsOnNode(version, service)) return derive(service, slices, place);
    const known = derived.get(version);
    if (known?.shared === shared) return known.rules;
    const rules = derive(service, slices, place);
    derived.set(version, { shared, rules });
    return rules;
  };
}

const derived = new WeakMap<ServiceVersion, { shared: string; rules: readonly ExpectedRule[] }>();

function dependsOnNode({ slices }: ServiceVersion, service: ApiService): boolean {
  if (service.internalLocal || service.externalLocal) return true;
  return slices.some(slice => slice.hinted);
}

function derive(service: ApiService, slices: readonly ApiSlice[], place: RulePlace): ExpectedRule[] {
  return service.addresses
    .filter(addresses => place.families.includes(addresses.family))
    .flatMap(addresses => service.ports.flatMap(port => rulesOfPort({ service, addresses, port, slices, place })));
}

interface PortInPlace {
  readonly service: ApiService;
  readonly addresses: FamilyAddresses;
  readonly port: ApiPort;
  readonly slices: readonly ApiSlice[];
  readonly place: RulePlace;
}

function rulesOfPort(at: PortInPlace): ExpectedRule[] {
  const { service, addresses, port, slices, place } = at;
  const { family, balancerIPs } = addresses;
  const externalIPs = place.options.externalIPs ? addresses.externalIPs : [];
  const external = port.nodePort !== undefined || externalIPs.length > 0 || balancerIPs.length > 0;
  const needs = {
    cluster: !service.internalLocal || external,
    local: service.internalLocal || (service.externalLocal && external),
    hints: service.asksForHints,
  };
  const usable = usableEndpoints(endpointsOfPort(slices, family, port), needs, place);
  const outside = externalRule(at, usable);
  const { sourceRanges } = addresses;
  const named = (key: string, rule: Reached): ExpectedRule => ({
    port: portName(service.key, port),
    rule: serviceRule({ key, ...rule }),
    own: rule.sourceRanges ? balancerIPs : [],
  });
  const onNode = (number: number) => nodePort(family === 'IPv4' ? 'ip' : 'ip6', number, port.protocol);
  const key = (address: string) => servicePort(address, port.port, port.protocol);
  const balanced = sourceRanges.length > 0 ? { ...outside, sourceRanges } : outside;
  return [
    named(key(addresses.clusterIP), internalRule(at, usable)),
    ...externalIPs.map(address => named(key(address), outside)),
    ...balancerIPs.map(address => named(key(address), balanced)),
    ...(port.nodePort === undefined
      ? []
      : [{ ...named(onNode(port.nodePort), outside), ...optionalIn(place, family) }]),
  ];
}

type Reached = Omit<ServiceRule, 'key'>;

/** What clients of the cluster IP reach. */
function internalRule({ service, place }: PortInPlace, usable: Usable): Reached {
  if (!service.internalLocal) return reached(service, usable.cluster, 'reject');
  // ipvs has no drop: without local endpoints it goes to any that external clients could use.
  if (place.mode === 'ipvs') return reached(service, orElse(usable.local, usable.cluster), 'reject');
  return reached(service, usable.local, usable.any ? 'drop' : 'reject');
}

/** What clients of the other addresses reach. */
function externalRule({ service, place }: PortInPlace, usable: Usable): Reached {
  if (!service.externalLocal) return reached(service, usable.cluster, 'reject');
  // Neither does it tell clients within the cluster from others.
  if (place.mode === 'ipvs') return reached(service, orElse(usable.local, usable.cluster), 'reject');
  const rule = reached(service, usable.local, usable.any ? 'drop' : 'reject');
  return usable.cluster.length > 0 ? { ...rule, fromCluster: usable.cluster } : rule;
}

function reached({ affinitySeconds }: ApiService, endpoints: readonly string[], empty: 'reject' | 'drop'): Reached {
  return { endpoints, empty, ...(affinitySeconds === undefined ? {} : { affinitySeconds }) };
}

function orElse(first: readonly string[], second: readonly string[]): readonly string[] {
  return first.length > 0 ? first : second;
}

/**
 * With ranges of the family given, NodePorts answer on the addresses in them; all that we know of the node are the API's. Ranges
 * of the other family alone leave this one as it is without any.
 */
function optionalIn({ options, addresses }: RulePlace, family: Family): { optional?: true } {
  const ranges = options.nodePortAddresses.filter(range => range.includes(':') === (family === 'IPv6'));
  if (options.nodePortAddresses.includes('primary') || ranges.length === 0) return {};
  return ranges.some(range => range.endsWith('/0') || addresses.some(a => inRange(a, range))) ? {} : { optional: true };
}
