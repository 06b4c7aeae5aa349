// The cluster as data: a few lists, reduced while they stream in, and the head of each kube-proxy's log.
import type { Cluster, Kind, KubeObject, ListOptions } from '../core/cluster.ts';
import { EndpointCounts } from '../core/endpoint-counts.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { INVENTORY_VERSION, Inventory, type NodeFacts, serviceKey } from '../core/inventory.ts';
import { LOG_HEAD_BYTES, modeInLog } from '../core/mode.ts';
import { isApiError } from './http.ts';
import { nodeFacts, PodCounts, type SeenProxy } from './inventory-nodes.ts';
import { serviceFacts } from './inventory-services.ts';
import { ciliumReplacesProxy, proxyFacts } from './kube-proxy.ts';

const LOGS_AT_ONCE = 16;
/** Where kube-proxy's pods are. */
const SYSTEM = 'kube-system';

/** The nodes of an inventory, with kube-proxy's own pods alone, and the modes of so many nodes as are wanted. */
export type NodesInventory = Pick<Inventory, 'nodes' | 'proxy'>;

/**
 * What a look at a few nodes takes, for a fraction of the cost on a large cluster: the mode of `first` and of at most `limit`
 * others, spread over all ways and times in which kube-proxies were started. Reads and throws as `takeInventory`.
 */
export async function takeNodes(cluster: Cluster, limit: number, first?: string): Promise<NodesInventory> {
  const pods = new PodCounts();
  const [nodes, proxy, cilium] = await Promise.all([
    collect(cluster, 'Node'),
    proxyFacts(cluster),
    ciliumReplacesProxy(cluster),
    each(cluster, 'Pod', pod => pods.add(pod), { namespace: SYSTEM }),
  ]);
  const facts = nodes.toSorted(byName).map(node => nodeFacts(node, pods));
  const asked = spread(
    facts.filter(node => node.name !== first),
    limit,
  );
  const modes = await modesOf(cluster, [...facts.filter(node => node.name === first), ...asked], pods, cilium);
  return { nodes: facts.map(node => ({ ...node, ...(modes.get(node.name) ?? UNKNOWN) })), proxy };
}

/** Nodes whose kube-proxies were started alike, and at about the same time, are in the same mode. */
function spread<Node extends Pick<NodeFacts, 'name' | 'label' | 'proxyPod'>>(
  nodes: readonly Node[],
  limit: number,
): Node[] {
  const started = ({ label, proxyPod }: Node) =>
    [label ?? '', proxyPod?.daemonSet ?? '', proxyPod?.configMap ?? '', proxyPod?.startedAt ?? ''].join(' ');
  const sorted = nodes.filter(node => node.proxyPod).toSorted((a, b) => (started(a) < started(b) ? -1 : 1));
  const step = Math.max(1, (sorted.length - 1) / (limit - 1));
  const asked = Array.from({ length: limit }, (_, n) => sorted[Math.round(n * step)]);
  return [...nodes.filter(node => !node.proxyPod), ...asked.filter(node => node !== undefined)];
}

/** Reads only. @throws ApiError 403 for a missing permission, ProxyctlError 69 for an answer that makes no sense. */
export async function takeInventory(cluster: Cluster, now: Date): Promise<Inventory> {
  const pods = new PodCounts();
  const endpoints = new EndpointCounts();
  const [nodes, namespaces, services, proxy, cilium] = await Promise.all([
    collect(cluster, 'Node'),
    collect(cluster, 'Namespace'),
    collect(cluster, 'Service'),
    proxyFacts(cluster),
    ciliumReplacesProxy(cluster),
    each(cluster, 'Pod', pod => pods.add(pod)),
    each(cluster, 'EndpointSlice', slice => endpoints.add(slice)),
  ]);
  const facts = nodes.toSorted(byName).map(node => nodeFacts(node, pods));
  const modes = await modesOf(cluster, facts, pods, cilium);
  const statics = facts.filter(node => pods.proxyOf(node.name)?.isStatic).length;
  return checked({
    kind: 'Inventory',
    version: INVENTORY_VERSION,
    takenAt: now.toISOString(),
    cluster: cluster.identity,
    nodes: facts.map(node => ({ ...node, ...(modes.get(node.name) ?? UNKNOWN) })),
    namespaces: namespaces.map(n => n.metadata.name).toSorted(),
    services: services
      .map(s => serviceFacts(s, endpoints))
      .toSorted((a, b) => (serviceKey(a) < serviceKey(b) ? -1 : 1)),
    proxy: {
      ...proxy,
      others: [
        ...proxy.others,
        ...(statics > 0 ? [`static pods kube-proxy-<node> on ${statics} ${statics === 1 ? 'node' : 'nodes'}`] : []),
        ...(cilium ? ['Cilium kube-proxy replacement'] : []),
      ],
    },
  });
}

async function each(
  cluster: Cluster,
  kind: Kind,
  take: (object: KubeObject) => void,
  options: ListOptions = {},
): Promise<void> {
  for await (const object of cluster.list(kind, options)) take(object);
}

async function collect(cluster: Cluster, kind: Kind): Promise<KubeObject[]> {
  const all: KubeObject[] = [];
  await each(cluster, kind, object => all.push(object));
  return all;
}

function byName(a: KubeObject, b: KubeObject): number {
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

type ModeFacts = Pick<NodeFacts, 'mode' | 'modeSource'>;
const UNKNOWN: ModeFacts = { mode: 'unknown', modeSource: 'not looked at' };
const NONE: ModeFacts = { mode: 'none', modeSource: 'not looked at' };

/** The mode that each node's kube-proxy says it runs in. The ConfigMap only says what the next one would run in. */
async function modesOf(
  cluster: Cluster,
  nodes: readonly Pick<NodeFacts, 'name' | 'ready'>[],
  pods: PodCounts,
  cilium: boolean,
): Promise<Map<string, ModeFacts>> {
  const modes = new Map<string, ModeFacts>();
  const queue = nodes.values();
  let denied = false;
  const work = async () => {
    // The workers share the iterator, so each node is taken once.
    for (const { name, ready } of queue) {
      const proxy = pods.proxyOf(name);
      if (!proxy) {
        if (cilium) modes.set(name, NONE);
        continue;
      }
      // The kubelet of a node that is not ready would let us wait.
      if (denied || !ready || !proxy.running) continue;
      const mode = await modeOfProxy(cluster, proxy);
      if (mode === 'denied') denied = true;
      else modes.set(name, mode);
    }
  };
  await Promise.all(Array.from({ length: LOGS_AT_ONCE }, work));
  return modes;
}

/** A log that cannot be read, or whose head was rotated away, says nothing; gates treat unknown as a reason to stop. */
async function modeOfProxy(cluster: Cluster, { facts, container }: SeenProxy): Promise<ModeFacts | 'denied'> {
  let head: string;
  try {
    head = await cluster.log({ namespace: facts.namespace, pod: facts.name, container, limitBytes: LOG_HEAD_BYTES });
  } catch (error) {
    if (isApiError(error, 403)) return 'denied';
    if (error instanceof ProxyctlError) return UNKNOWN;
    throw error;
  }
  const mode = modeInLog(head);
  return mode ? { mode, modeSource: 'kube-proxy log' } : UNKNOWN;
}

/** What the server sends is checked at the border, so that the rest of the program may trust the type. */
function checked(inventory: Inventory): Inventory {
  const result = Inventory.safeParse(inventory);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const message = `the cluster holds what this version cannot read: ${issue?.path.join('.')}: ${issue?.message}`;
  throw new ProxyctlError(message, EXIT.unreachable, { cause: result.error });
}
