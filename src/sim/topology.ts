// A cluster by numbers and a seed: nodes, namespaces of teams, their pods and Services.
import type { KubeObject } from '../core/cluster.ts';
import { LABEL_SIMULATED } from '../core/names.ts';
import { GIT_VERSION } from './discovery.ts';
import type { SimNode } from './node.ts';
import type { Random } from './random.ts';
import { now } from './registry.ts';

const TEAMS = [
  'shop',
  'payments',
  'search',
  'catalog',
  'accounts',
  'mail',
  'reports',
  'media',
  'maps',
  'billing',
  'chat',
  'fraud',
  'stock',
];
const WORDS = ['api', 'web', 'worker', 'cache', 'queue', 'db', 'auth', 'feed', 'sync', 'index', 'gateway', 'events'];
export const API_PORT = 6443;
const DNS_IP = '10.96.0.10';

export interface NodePlace {
  readonly name: string;
  readonly ip: string;
  readonly podCIDR: string;
  readonly zone: string;
  readonly controlPlane: boolean;
}

/** Pods of all nodes lie in it. */
export function clusterCIDR(nodes: number): string {
  return nodes <= 256 ? '10.244.0.0/16' : '10.240.0.0/12';
}

export function placeNodes(count: number, controlPlane: number, zones: number): NodePlace[] {
  return Array.from({ length: count }, (_, i) => {
    const first = i < controlPlane;
    return { ...placeNode(i, first ? `cp-${i + 1}` : `node-${i - controlPlane + 1}`, zones), controlPlane: first };
  });
}

/** The place of the `index`th node of a cluster. */
export function placeNode(index: number, name: string, zones: number): NodePlace {
  const host = index + 10;
  return {
    name,
    ip: `192.168.${8 + (host >> 8)}.${host & 255}`,
    podCIDR: `10.${244 + (index >> 8)}.${index & 255}.0/24`,
    zone: `zone-${String.fromCharCode(97 + (index % zones))}`,
    controlPlane: false,
  };
}

export function nodeObject(place: NodePlace): KubeObject {
  const conditions = [
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID'],
    ['Ready', 'True', 'KubeletReady'],
  ].map(([type, status, reason]) => ({ type, status, reason, lastHeartbeatTime: now(), lastTransitionTime: now() }));
  const role = {
    'node-role.kubernetes.io/control-plane': '',
    'node.kubernetes.io/exclude-from-external-load-balancers': '',
  };
  // Its kubelet refuses no pod, however many Services were asked for.
  const resources = { cpu: '4', memory: '8148484Ki', 'ephemeral-storage': '61255492Ki', pods: '10000' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: place.name,
      labels: {
        'kubernetes.io/hostname': place.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'topology.kubernetes.io/zone': place.zone,
        ...(place.controlPlane ? role : {}),
      },
      annotations: { 'node.alpha.kubernetes.io/ttl': '0' },
    },
    spec: {
      podCIDR: place.podCIDR,
      podCIDRs: [place.podCIDR],
      ...(place.controlPlane
        ? { taints: [{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }] }
        : {}),
    },
    status: {
      capacity: resources,
      allocatable: resources,
      conditions,
      addresses: [
        { type: 'InternalIP', address: place.ip },
        { type: 'Hostname', address: place.name },
      ],
      nodeInfo: {
        kernelVersion: '6.1.0-sim',
        osImage: 'Simulated Linux 12',
        operatingSystem: 'linux',
        architecture: 'amd64',
        containerRuntimeVersion: 'containerd://2.1.0',
        kubeletVersion: GIT_VERSION,
        kubeProxyVersion: '',
        machineID: '',
        systemUUID: '',
        bootID: '',
      },
    },
  };
}

export function namespaceNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => TEAMS[i] ?? `ns-${i + 1}`);
}

export function namespaceObject(name: string): KubeObject {
  const labels = name === 'kube-system' ? { [LABEL_SIMULATED]: 'true' } : {};
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

interface Workload {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIP: string;
  readonly nodes: readonly SimNode[];
  readonly ports: readonly {
    name: string;
    port: number;
    protocol: 'TCP' | 'UDP';
    targetPort: number;
    nodePort?: number;
  }[];
}

/** The `index`th address of the Service range, those of `kubernetes` and the DNS left out. */
function serviceIP(index: number): string {
  const n = index + 256;
  return `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

/** Services of teams: one to three endpoints each, on the few nodes of their namespace; some UDP, some NodePort. */
export function teamWorkloads(
  namespaces: readonly string[],
  services: number,
  workers: readonly SimNode[],
  random: Random,
): Workload[] {
  const homes = new Map(
    namespaces.map(ns => [ns, random.sample(workers, 1 + random.int(Math.min(3, workers.length)))]),
  );
  return Array.from({ length: services }, (_, i) => {
    const namespace = namespaces[i % namespaces.length] ?? 'default';
    const round = Math.floor(i / namespaces.length);
    const word = WORDS[round % WORDS.length] ?? 'api';
    const name = round < WORDS.length ? word : `${word}-${Math.floor(round / WORDS.length) + 1}`;
    const home = homes.get(namespace) ?? workers;
    const nodes = Array.from({ length: 1 + random.int(3) }, () => random.pick(home));
    const nodePort = i % 9 === 4 ? { nodePort: 30_000 + (i % 2700) } : {};
    const ports: Workload['ports'] = [
      { name: 'http', port: 80, protocol: 'TCP', targetPort: 8080, ...nodePort },
      ...(i % 7 === 3 ? [{ name: 'udp', port: 81, protocol: 'UDP' as const, targetPort: 8081 }] : []),
    ];
    return { namespace, name, clusterIP: serviceIP(i), nodes, ports };
  });
}

export function dnsWorkload(nodes: readonly SimNode[]): Workload {
  return {
    namespace: 'kube-system',
    name: 'kube-dns',
    clusterIP: DNS_IP,
    nodes,
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
      { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
      { name: 'metrics', port: 9153, protocol: 'TCP', targetPort: 9153 },
    ],
  };
}

export function serviceObject({ namespace, name, clusterIP, ports }: Workload): KubeObject {
  const type = ports.some(port => port.nodePort) ? 'NodePort' : 'ClusterIP';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: { app: name } },
    spec: { type, clusterIP, selector: { app: name }, ports },
  };
}

/** What keeps the pods behind a Service, as it is when they have long been running. */
export function deploymentObject({ namespace, name, ports, nodes }: Workload): KubeObject {
  const conditions = [
    { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' },
    { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
  ];
  const n = nodes.length;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      replicas: n,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: workloadContainers(namespace, name, ports) },
      },
    },
    status: {
      observedGeneration: 1,
      replicas: n,
      updatedReplicas: n,
      readyReplicas: n,
      availableReplicas: n,
      conditions,
    },
  };
}

function workloadContainers(namespace: string, name: string, ports: Workload['ports']): object[] {
  const image =
    name === 'kube-dns' ? 'registry.k8s.io/coredns/coredns:v1.14.0' : `registry.example.com/${namespace}/${name}:1.0`;
  const open = ports.map(p => ({ name: p.name, containerPort: p.targetPort, protocol: p.protocol }));
  return [{ name: 'main', image, ports: open }];
}

/** A pod behind a Service, as it is when it has long been running. */
export function workloadPod({ namespace, name, ports }: Workload, node: SimNode, random: Random): KubeObject {
  const podIP = node.nextPodIP();
  const owner = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: `${name}-${random.suffix(9)}`,
    uid: random.uuid(),
    controller: true,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${owner.name}-${random.suffix()}`, namespace, labels: { app: name }, ownerReferences: [owner] },
    spec: {
      nodeName: node.name,
      containers: workloadContainers(namespace, name, ports),
    },
    status: { phase: 'Running', podIP, hostIP: node.ip },
  };
}

export function sliceObject(
  { namespace, name, ports }: Workload,
  pods: readonly KubeObject[],
  random: Random,
): KubeObject {
  return endpointSlice(namespace, name, `${name}-${random.suffix()}`, {
    ports: ports.map(({ name, targetPort, protocol }) => ({ name, port: targetPort, protocol })),
    endpoints: pods.map(pod => ({
      addresses: [pod.status.podIP],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: pod.spec.nodeName,
      targetRef: { kind: 'Pod', namespace, name: pod.metadata.name, uid: pod.metadata.uid },
    })),
  });
}

/** default/kubernetes with the API servers behind it. */
export function kubernetesService(controlPlane: readonly SimNode[]): KubeObject[] {
  const endpoints = controlPlane.map(({ ip }) => ({ addresses: [ip], conditions: { ready: true } }));
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'kubernetes',
        namespace: 'default',
        labels: { component: 'apiserver', provider: 'kubernetes' },
      },
      spec: {
        type: 'ClusterIP',
        clusterIP: '10.96.0.1',
        ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: API_PORT }],
      },
    },
    endpointSlice('default', 'kubernetes', 'kubernetes', {
      ports: [{ name: 'https', port: API_PORT, protocol: 'TCP' }],
      endpoints,
    }),
  ];
}

function endpointSlice(
  namespace: string,
  service: string,
  name: string,
  content: { ports: object[]; endpoints: object[] },
): KubeObject {
  const labels = {
    'kubernetes.io/service-name': service,
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels },
    addressType: 'IPv4',
    ...content,
  };
}
