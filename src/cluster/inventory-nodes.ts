import type { KubeObject } from '../core/cluster.ts';
import { getOrMake } from '../core/endpoint-counts.ts';
import type { NodeFacts, ProxyPod } from '../core/inventory.ts';
import { LABEL_MODE, LABEL_PART, PARTS } from '../core/names.ts';
import { isReady } from '../core/node-object.ts';
import { type Container, configPlaceOf, proxyContainerOf } from './kube-proxy.ts';

/** What is kept of a kube-proxy pod besides its facts. */
export interface SeenProxy {
  readonly facts: ProxyPod;
  readonly container: string;
  /** Its process runs, so its log can be asked for. */
  readonly running: boolean;
  readonly isStatic: boolean;
  /** Leaving pods count least, then older ones. */
  readonly leaving: boolean;
  readonly created: string;
}

/** Pods reduced to counts while they stream in; only kube-proxy's own are remembered, one a node. */
export class PodCounts {
  private readonly byNode = new Map<string, Map<string, number>>();
  private readonly proxies = new Map<string, SeenProxy>();

  add(pod: KubeObject): void {
    const node: string | undefined = pod.spec?.nodeName;
    const phase: string | undefined = pod.status?.phase;
    if (!node || phase === 'Succeeded' || phase === 'Failed') return;
    const counts = getOrMake(this.byNode, node, () => new Map<string, number>());
    const namespace = pod.metadata.namespace ?? '';
    counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    const proxy = seenProxy(pod);
    const known = this.proxies.get(node);
    if (proxy && (!known || isNewer(proxy, known))) this.proxies.set(node, proxy);
  }

  of(node: string): Record<string, number> {
    return Object.fromEntries(this.byNode.get(node) ?? []);
  }

  proxyOf(node: string): SeenProxy | undefined {
    return this.proxies.get(node);
  }
}

function isNewer(a: SeenProxy, b: SeenProxy): boolean {
  return a.leaving === b.leaving ? a.created > b.created : b.leaving;
}

interface ContainerStatus {
  name: string;
  restartCount?: number;
  state?: { running?: { startedAt?: string } };
}

function seenProxy(pod: KubeObject): SeenProxy | undefined {
  const { metadata } = pod;
  const isStatic = metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined;
  const owner = metadata.ownerReferences?.find(o => o.controller === true && o.kind === 'DaemonSet')?.name;
  if (metadata.namespace !== 'kube-system' || !isProxyPod(pod, isStatic, owner)) return undefined;
  const containers: Container[] = pod.spec.containers ?? [];
  const container = proxyContainerOf(containers);
  if (!container) return undefined;
  const status = pod.status ?? {};
  const conditions: { type: string; status: string }[] = status.conditions ?? [];
  const own = ((status.containerStatuses ?? []) as ContainerStatus[]).find(s => s.name === container.name);
  const startedAt = own?.state?.running?.startedAt;
  const configMap = configPlaceOf(pod.spec.volumes ?? [], container)?.configMap;
  return {
    facts: {
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid ?? '',
      ...(owner === undefined ? {} : { daemonSet: owner }),
      image: container.image ?? '',
      ready: conditions.some(c => c.type === 'Ready' && c.status === 'True'),
      restarts: own?.restartCount ?? 0,
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(configMap === undefined ? {} : { configMap }),
    },
    container: container.name,
    running: own?.state?.running !== undefined,
    isStatic,
    leaving: metadata.deletionTimestamp !== undefined,
    created: metadata.creationTimestamp ?? '',
  };
}

/** Ours are told by their label: the warm kube-proxy and the sweeper are none of a node's own. */
function isProxyPod(pod: KubeObject, isStatic: boolean, owner: string | undefined): boolean {
  const labels = pod.metadata.labels ?? {};
  const part = labels[LABEL_PART];
  if (part !== undefined) return part === PARTS.proxy;
  if (isStatic) return pod.metadata.name.startsWith('kube-proxy-');
  if (owner === undefined) return false;
  const containers: Container[] = pod.spec?.containers ?? [];
  return (
    owner === 'kube-proxy' || labels['k8s-app'] === 'kube-proxy' || proxyContainerOf(containers, true) !== undefined
  );
}

export function nodeFacts(node: KubeObject, pods: PodCounts): Omit<NodeFacts, 'mode' | 'modeSource'> {
  const { name, uid = '', labels = {} } = node.metadata;
  const status = node.status ?? {};
  const info = status.nodeInfo ?? {};
  const addresses: { type: string; address: string }[] = status.addresses ?? [];
  const zone = labels['topology.kubernetes.io/zone'];
  const label = labels[LABEL_MODE];
  const proxyPod = pods.proxyOf(name)?.facts;
  const controlPlane = ['control-plane', 'master'].some(role => `node-role.kubernetes.io/${role}` in labels);
  return {
    name,
    uid,
    role: controlPlane ? 'control-plane' : 'worker',
    ...(zone === undefined ? {} : { zone }),
    ready: isReady(node),
    unschedulable: node.spec?.unschedulable === true,
    os: info.operatingSystem ?? '',
    osImage: info.osImage ?? '',
    arch: info.architecture ?? '',
    ...(Number(status.capacity?.cpu) > 0 ? { cpus: Number(status.capacity.cpu) } : {}),
    ...(Number(status.allocatable?.pods) > 0 ? { maxPods: Number(status.allocatable.pods) } : {}),
    kernel: info.kernelVersion ?? '',
    kubelet: info.kubeletVersion ?? '',
    internalIPs: addresses.filter(a => a.type === 'InternalIP').map(a => a.address),
    externalIPs: addresses.filter(a => a.type === 'ExternalIP').map(a => a.address),
    loadBalancerTarget: !('node.kubernetes.io/exclude-from-external-load-balancers' in labels),
    ...(label === undefined ? {} : { label }),
    ...(proxyPod === undefined ? {} : { proxyPod }),
    pods: pods.of(name),
  };
}
