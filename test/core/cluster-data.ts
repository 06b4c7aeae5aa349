// Inventories as data, for tests of pure functions.
import { createHash } from 'node:crypto';
import type { Inventory, NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import { Playbook } from '../../src/core/playbook.ts';

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export function makeNode(name: string, change: Partial<NodeFacts> = {}): NodeFacts {
  return {
    name,
    uid: `uid-${name}`,
    role: 'worker',
    ready: true,
    unschedulable: false,
    os: 'linux',
    osImage: 'Debian GNU/Linux 12',
    arch: 'amd64',
    maxPods: 110,
    kernel: '6.1.0-18-amd64',
    kubelet: 'v1.36.3',
    internalIPs: ['10.0.0.1'],
    externalIPs: [],
    loadBalancerTarget: true,
    mode: 'iptables',
    modeSource: 'kube-proxy log',
    pods: {},
    ...change,
  };
}

export function makeService(key: string, change: Partial<ServiceFacts> = {}): ServiceFacts {
  const [namespace = '', name = ''] = key.split('/');
  return {
    namespace,
    name,
    type: 'ClusterIP',
    proxied: true,
    clusterIPs: ['10.96.0.10'],
    externalIPs: [],
    loadBalancerIPs: [],
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    sessionAffinity: 'None',
    sourceRanges: [],
    readyByNode: {},
    endpoints: 0,
    ...change,
  };
}

export const SYSTEM_SERVICES: readonly ServiceFacts[] = [
  makeService('default/kubernetes'),
  makeService('kube-system/kube-dns', { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }),
];

export function makeInventory(nodes: NodeFacts[], services: readonly ServiceFacts[] = SYSTEM_SERVICES): Inventory {
  const namespaces = new Set(['default', 'kube-system', ...services.map(service => service.namespace)]);
  for (const node of nodes) for (const namespace of Object.keys(node.pods)) namespaces.add(namespace);
  return {
    kind: 'Inventory',
    version: 1,
    takenAt: '2026-01-02T03:04:05Z',
    cluster: {
      uid: 'cluster-1',
      server: 'https://10.0.0.1:6443',
      context: 'test',
      kubernetes: 'v1.36.3',
      simulated: false,
    },
    nodes,
    namespaces: [...namespaces],
    services: [...services],
    proxy: {
      daemonSet: {
        namespace: 'kube-system',
        name: 'kube-proxy',
        uid: 'ds-1',
        generation: 1,
        image: 'registry.k8s.io/kube-proxy:v1.36.3',
        updateStrategy: 'RollingUpdate',
        templateHash: sha256('template'),
        configPath: '/var/lib/kube-proxy/config.conf',
        flags: [],
      },
      configMap: {
        namespace: 'kube-system',
        name: 'kube-proxy',
        uid: 'cm-1',
        key: 'config.conf',
        text: 'kind: KubeProxyConfiguration\nclientConnection:\n  kubeconfig: /k.conf\nnodePortAddresses: null\nmode: iptables\n',
        hash: sha256('config'),
        apiServer: 'https://10.0.0.1:6443',
      },
      owners: [],
      others: [],
    },
  };
}

export function makePlaybook(change: object = {}): Playbook {
  return Playbook.parse(change);
}
