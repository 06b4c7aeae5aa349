// Which Services a node puts to the test when it flips. kube-proxy translates on the client's node, so what counts is where
// clients are and where outside traffic enters, not where endpoints are.
import { type Inventory, type NodeFacts, type ServiceFacts, serviceKey } from './inventory.ts';
import { NAMESPACE } from './names.ts';
import type { Playbook } from './playbook.ts';
import { count } from './words.ts';

/** Services that are reached from the same nodes for the same reason, so always exposed together. */
export interface ReachGroup {
  readonly namespaces: readonly string[];
  /** `namespace/name`, sorted. */
  readonly services: readonly string[];
}

/** Reach without repetition: 5,000 nodes that share namespaces share groups instead of holding a set of names each. */
export interface Reach {
  /** `namespace/name` of the Services that every flip exposes, whichever node is first. */
  readonly everywhere: readonly string[];
  /** Disjoint, and without the Services of `everywhere`. */
  readonly groups: readonly ReachGroup[];
  /** Indexes into `groups`, for every node of the inventory. */
  readonly byNode: ReadonlyMap<string, readonly number[]>;
  /** What "exposed" meant here, for people. */
  readonly description: string;
}

export interface Exposure {
  /** `kubernetes`, DNS, and Services whose outside traffic may enter through any node: exposed by the first flip. */
  readonly everywhere: ReadonlySet<string>;
  /** What else is reached from each node, as `namespace/name`. */
  readonly byNode: ReadonlyMap<string, ReadonlySet<string>>;
  readonly description: string;
}

/** Pure. The same reach as `reachOf`, with every node's Services spelled out. */
export function exposureOf(inventory: Inventory, playbook: Playbook): Exposure {
  const { everywhere, groups, byNode, description } = reachOf(inventory, playbook);
  const spelled = new Map<string, Set<string>>();
  for (const [node, indexes] of byNode) {
    const services = new Set<string>();
    for (const index of indexes) for (const service of groups[index]?.services ?? []) services.add(service);
    spelled.set(node, services);
  }
  return { everywhere: new Set(everywhere), byNode: spelled, description };
}

/** Pure. Only proxied Services count: kube-proxy programs nothing for the others. */
export function reachOf(inventory: Inventory, playbook: Playbook): Reach {
  const served = inventory.nodes.filter(servesServices);
  const anyNodeLetsIn = served.length > 0 && served.every(node => node.loadBalancerTarget);
  const everywhere: string[] = [];
  const { callers } = playbook.exposure;
  const grouping = new Grouping(inventory.nodes, callers);
  for (const service of inventory.services) {
    // Those of proxyctl come and go with its watchers, and nobody else calls them.
    if (!service.proxied || service.namespace === NAMESPACE) continue;
    const entry = takesOutsideTraffic(service);
    const cluster = entry && service.externalTrafficPolicy === 'Cluster';
    if (isKubernetes(service) || isDns(service) || (cluster && anyNodeLetsIn)) everywhere.push(serviceKey(service));
    else if (cluster) grouping.addEntry(service);
    else if (entry) grouping.addLocal(service);
    else grouping.addInner(service);
  }
  const byNode = new Map<string, number[]>();
  for (const node of inventory.nodes) byNode.set(node.name, grouping.reachedFrom(node, callers));
  const reached = new Set<number>();
  for (const node of served) for (const index of byNode.get(node.name) ?? []) reached.add(index);
  const groups = grouping.finish();
  const unreached = groups.reduce((sum, group, index) => sum + (reached.has(index) ? 0 : group.services.length), 0);
  const entries = inventory.services.some(service => service.proxied && takesOutsideTraffic(service));
  const description = describe(playbook, { entries, anyNodeLetsIn, unreached });
  return { everywhere: everywhere.sort(), groups, byNode, description };
}

/** A node with a kube-proxy that could be asked to change its mode. */
function servesServices(node: NodeFacts): boolean {
  return node.os === 'linux' && node.mode !== 'none';
}

function isKubernetes(service: ServiceFacts): boolean {
  return service.namespace === 'default' && service.name === 'kubernetes';
}

function isDns(service: ServiceFacts): boolean {
  if (service.namespace !== 'kube-system') return false;
  if (service.name === 'kube-dns' || service.name === 'coredns') return true;
  return service.ports.some(port => port.port === 53 && port.protocol === 'UDP');
}

function takesOutsideTraffic(service: ServiceFacts): boolean {
  return service.type === 'NodePort' || service.type === 'LoadBalancer' || service.externalIPs.length > 0;
}

type Callers = Readonly<Record<string, readonly string[]>>;

/** Namespaces whose Services the node's pods dial: their own, and those they are said to call. */
function dialled(node: NodeFacts, callers: Callers): Set<string> {
  const namespaces = new Set<string>();
  for (const [namespace, pods] of Object.entries(node.pods)) {
    if (pods < 1) continue;
    namespaces.add(namespace);
    if (Object.hasOwn(callers, namespace)) for (const called of callers[namespace] ?? []) namespaces.add(called);
  }
  return namespaces;
}

class Grouping {
  private readonly groups: { namespaces: Set<string>; services: string[] }[] = [];
  private readonly inner = new Map<string, number>();
  /** By namespace, or under `''` for all namespaces that are dialled only from nodes that let outside traffic in. */
  private readonly entry = new Map<string, number>();
  private readonly local = new Map<string, number[]>();
  private readonly byNamespace = new Map<string, number[]>();
  /** Namespaces dialled from nodes that let no outside traffic in. */
  private readonly apart = new Set<string>();

  constructor(nodes: readonly NodeFacts[], callers: Callers) {
    for (const node of nodes) {
      if (!node.loadBalancerTarget) for (const namespace of dialled(node, callers)) this.apart.add(namespace);
    }
  }

  /** Reached only by pods. */
  addInner(service: ServiceFacts): void {
    this.addShared(this.inner, service.namespace, service);
  }

  /** Outside traffic enters through every load balancer target. */
  addEntry(service: ServiceFacts): void {
    this.addShared(this.entry, this.apart.has(service.namespace) ? service.namespace : '', service);
  }

  /** externalTrafficPolicy Local: outside traffic enters where ready endpoints are, so each Service has nodes of its own. */
  addLocal(service: ServiceFacts): void {
    const index = this.open(service.namespace);
    this.put(index, service);
    for (const [node, ready] of Object.entries(service.readyByNode)) {
      if (ready > 0) append(this.local, node, index);
    }
  }

  reachedFrom(node: NodeFacts, callers: Callers): number[] {
    const reached = new Set(this.local.get(node.name));
    if (node.loadBalancerTarget) for (const index of this.entry.values()) reached.add(index);
    for (const namespace of dialled(node, callers)) {
      for (const index of this.byNamespace.get(namespace) ?? []) reached.add(index);
    }
    return [...reached];
  }

  finish(): ReachGroup[] {
    return this.groups.map(({ namespaces, services }) => ({ namespaces: [...namespaces], services: services.sort() }));
  }

  private addShared(kind: Map<string, number>, key: string, service: ServiceFacts): void {
    const index = kind.get(key) ?? this.open(key);
    kind.set(key, index);
    this.put(index, service);
  }

  private open(namespace: string): number {
    const index = this.groups.push({ namespaces: new Set(), services: [] }) - 1;
    if (namespace !== '') append(this.byNamespace, namespace, index);
    return index;
  }

  private put(index: number, service: ServiceFacts): void {
    this.groups[index]?.namespaces.add(service.namespace);
    this.groups[index]?.services.push(serviceKey(service));
  }
}

function append(lists: Map<string, number[]>, key: string, value: number): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

function describe(playbook: Playbook, seen: { entries: boolean; anyNodeLetsIn: boolean; unreached: number }): string {
  const declared = Object.keys(playbook.exposure.callers).length;
  const sentences = [
    'A Service counts as exposed once a node has flipped that runs pods of its namespace, or through which its outside traffic enters.',
    declared === 0
      ? 'Calls between namespaces are not known: exposure.callers in the playbook can name them.'
      : `Calls between namespaces count as exposure.callers in the playbook names them (${declared} calling).`,
    'The kubernetes and DNS Services are reached from every node.',
  ];
  if (seen.entries) sentences.push(`Traffic for NodePort and LoadBalancer Services ${entryText(seen.anyNodeLetsIn)}.`);
  if (seen.unreached > 0) sentences.push(`No node reaches ${count(seen.unreached, 'Service')}.`);
  return sentences.join(' ');
}

function entryText(anyNodeLetsIn: boolean): string {
  return anyNodeLetsIn
    ? 'may enter through any node, so the first flip exposes them (externalTrafficPolicy Local: the first node with a ready endpoint)'
    : 'is taken to enter through the nodes that load balancers may use (externalTrafficPolicy Local: nodes with a ready endpoint)';
}
