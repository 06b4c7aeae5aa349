import { z } from 'zod';
import { EffectiveModeSchema } from './mode-schema.ts';

export const INVENTORY_VERSION = 1;

/** Which cluster, as far as anybody can tell it from another: the UID of its kube-system namespace. */
export const ClusterIdentity = z.strictObject({
  uid: z.string(),
  server: z.string(),
  context: z.string(),
  /** The API server's gitVersion, e.g. `v1.36.3`. */
  kubernetes: z.string(),
  /** True for the embedded cluster; everything printed about it says SIMULATED. */
  simulated: z.boolean(),
});
export type ClusterIdentity = z.infer<typeof ClusterIdentity>;

/** The kube-proxy pod of a node, whichever DaemonSet made it. */
export const ProxyPod = z.strictObject({
  name: z.string(),
  namespace: z.string(),
  uid: z.string(),
  /** Name of the controlling DaemonSet; absent for static (mirror) pods. */
  daemonSet: z.string().optional(),
  image: z.string(),
  ready: z.boolean(),
  restarts: z.number(),
  /** Since when its container runs, ISO 8601; absent when it does not run. */
  startedAt: z.string().optional(),
  /** ConfigMap that it reads its configuration from, by the volumes of the pod. */
  configMap: z.string().optional(),
});
export type ProxyPod = z.infer<typeof ProxyPod>;

export const NodeFacts = z.strictObject({
  name: z.string(),
  uid: z.string(),
  role: z.enum(['control-plane', 'worker']),
  /** `topology.kubernetes.io/zone`. */
  zone: z.string().optional(),
  ready: z.boolean(),
  unschedulable: z.boolean(),
  os: z.string(),
  osImage: z.string(),
  arch: z.string(),
  /** Processors, as the node's capacity says. */
  cpus: z.number().optional(),
  /** Pods that its kubelet takes, as the node's allocatable says. */
  maxPods: z.number().optional(),
  kernel: z.string(),
  kubelet: z.string(),
  internalIPs: z.array(z.string()),
  externalIPs: z.array(z.string()),
  /** False when `node.kubernetes.io/exclude-from-external-load-balancers` is set. */
  loadBalancerTarget: z.boolean(),
  mode: EffectiveModeSchema,
  /** Where `mode` was read: the running kube-proxy's own log, or nowhere. Never the ConfigMap. */
  modeSource: z.enum(['kube-proxy log', 'not looked at']),
  /** Value of the label `proxyctl.dev/mode`, when the node bears it. */
  label: z.string().optional(),
  proxyPod: ProxyPod.optional(),
  /** Pods that have not ended by namespace, host-network pods included. */
  pods: z.record(z.string(), z.number()),
});
export type NodeFacts = z.infer<typeof NodeFacts>;

export const ServicePort = z.strictObject({
  name: z.string(),
  port: z.number(),
  protocol: z.enum(['TCP', 'UDP', 'SCTP']),
  nodePort: z.number().optional(),
});

export const ServiceFacts = z.strictObject({
  namespace: z.string(),
  name: z.string(),
  type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']),
  /** False for headless and ExternalName Services and those of another proxy: kube-proxy programs nothing for them. */
  proxied: z.boolean(),
  clusterIPs: z.array(z.string()),
  externalIPs: z.array(z.string()),
  /** `status.loadBalancer.ingress[].ip` with ipMode VIP or unset. */
  loadBalancerIPs: z.array(z.string()),
  ports: z.array(ServicePort),
  externalTrafficPolicy: z.enum(['Cluster', 'Local']),
  internalTrafficPolicy: z.enum(['Cluster', 'Local']),
  sessionAffinity: z.enum(['None', 'ClientIP']),
  sourceRanges: z.array(z.string()),
  healthCheckNodePort: z.number().optional(),
  /** Endpoints by node name (`""` where a slice names none), ready ones only; and how many there are in all. */
  readyByNode: z.record(z.string(), z.number()),
  endpoints: z.number(),
});
export type ServiceFacts = z.infer<typeof ServiceFacts>;

/** How kube-proxy is run, and who might put back what we change. */
export const ProxyFacts = z.strictObject({
  daemonSet: z
    .strictObject({
      namespace: z.string(),
      name: z.string(),
      uid: z.string(),
      generation: z.number(),
      image: z.string(),
      updateStrategy: z.enum(['RollingUpdate', 'OnDelete']),
      /** sha256 of the pod template as JSON. */
      templateHash: z.string(),
      /** Path given with `--config`, when the container has one. */
      configPath: z.string().optional(),
      /** Flags of the container besides `--config`. */
      flags: z.array(z.string()),
    })
    .optional(),
  configMap: z
    .strictObject({
      namespace: z.string(),
      name: z.string(),
      uid: z.string(),
      /** Key of `data` that holds the KubeProxyConfiguration. */
      key: z.string(),
      /** The KubeProxyConfiguration as it stands there, as text. */
      text: z.string(),
      /** sha256 of `data` as JSON. */
      hash: z.string(),
      /** Server of the kubeconfig that kube-proxy uses, when it stands in the same ConfigMap. */
      apiServer: z.string().optional(),
    })
    .optional(),
  /** Signs that somebody else owns these objects, e.g. `label app.kubernetes.io/managed-by=Helm on DaemonSet`. */
  owners: z.array(z.string()),
  /** Other ways of serving Services that were seen, e.g. `static pods kube-proxy-<node>`, `Cilium kube-proxy replacement`. */
  others: z.array(z.string()),
});
export type ProxyFacts = z.infer<typeof ProxyFacts>;

/** What is true of a cluster at one moment. Sizes: 5,000 nodes and 10,000 Services stay below 20 MB. */
export const Inventory = z.strictObject({
  kind: z.literal('Inventory'),
  version: z.literal(INVENTORY_VERSION),
  takenAt: z.iso.datetime(),
  cluster: ClusterIdentity,
  nodes: z.array(NodeFacts),
  namespaces: z.array(z.string()),
  services: z.array(ServiceFacts),
  proxy: ProxyFacts,
});
export type Inventory = z.infer<typeof Inventory>;

/** Ready endpoints of a Service on a node. Names are whatever a cluster has, `constructor` too. */
export function readyOn({ readyByNode }: Pick<ServiceFacts, 'readyByNode'>, node: string): number {
  return Object.hasOwn(readyByNode, node) ? (readyByNode[node] ?? 0) : 0;
}

/** `namespace/name`. */
export function serviceKey(service: { namespace: string; name: string }): string {
  return `${service.namespace}/${service.name}`;
}

const servicesByKey = new WeakMap<readonly ServiceFacts[], ReadonlyMap<string, ServiceFacts>>();
const nodesByName = new WeakMap<readonly NodeFacts[], ReadonlyMap<string, NodeFacts>>();

/** The Service `namespace/name`. Thousands are asked for in a row, so an inventory is indexed once; it never changes. */
export function serviceIn({ services }: Pick<Inventory, 'services'>, key: string): ServiceFacts | undefined {
  return indexed(servicesByKey, services, serviceKey).get(key);
}

export function nodeIn({ nodes }: Pick<Inventory, 'nodes'>, name: string): NodeFacts | undefined {
  return indexed(nodesByName, nodes, node => node.name).get(name);
}

function indexed<T>(
  known: WeakMap<readonly T[], ReadonlyMap<string, T>>,
  items: readonly T[],
  keyOf: (item: T) => string,
): ReadonlyMap<string, T> {
  const index = known.get(items) ?? new Map(items.map(item => [keyOf(item), item]));
  known.set(items, index);
  return index;
}

export const IpFamily = z.enum(['IPv4', 'IPv6']);
export type IpFamily = z.infer<typeof IpFamily>;

/** The address families that nodes or Services have addresses of, both when nothing tells. */
export function familiesOf({ nodes, services }: Pick<Inventory, 'nodes' | 'services'>): IpFamily[] {
  const addresses = [
    ...nodes.flatMap(n => [...n.internalIPs, ...n.externalIPs]),
    ...services.flatMap(s => [...s.clusterIPs, ...s.externalIPs, ...s.loadBalancerIPs]),
  ];
  const seen = new Set(addresses.map(address => (address.includes(':') ? 'IPv6' : 'IPv4')));
  return IpFamily.options.filter(family => seen.size === 0 || seen.has(family));
}
