// A cluster of canned objects behind the small server, and its inventory.
import { takeInventory } from '../../src/cluster/inventory.ts';
import type { Cluster } from '../../src/core/cluster.ts';
import type { Inventory } from '../../src/core/inventory.ts';
import { type ApiServer, connectTo, startApi } from './api-server.ts';

// biome-ignore lint/suspicious/noExplicitAny: objects as an API server would send them, in part only.
export type Json = any;

export const NOW = new Date('2026-01-01T00:00:00Z');
export const SYSTEM = 'kube-system';

export function node(name: string, more: Json = {}): Json {
  return {
    metadata: { name, uid: `uid-${name}`, labels: { 'kubernetes.io/os': 'linux', ...more.labels } },
    spec: more.spec ?? {},
    status: {
      conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
      addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
      allocatable: { pods: '110' },
      nodeInfo: {
        operatingSystem: more.os ?? 'linux',
        kernelVersion: '6.1.0',
        kubeletVersion: 'v1.36.3',
        architecture: 'amd64',
      },
    },
  };
}

export function pod(namespace: string, name: string, nodeName: string | undefined, phase = 'Running'): Json {
  return {
    metadata: { namespace, name, uid: `${namespace}/${name}`, creationTimestamp: '2025-01-01T00:00:00Z' },
    spec: { nodeName, containers: [{ name: 'main' }] },
    status: { phase },
  };
}

export const CONTAINER: Json = {
  name: 'kube-proxy',
  image: 'registry.k8s.io/kube-proxy:v1.36.3',
  command: [
    '/usr/local/bin/kube-proxy',
    '--config=/var/lib/kube-proxy/config.conf',
    '--hostname-override=$(NODE_NAME)',
  ],
  volumeMounts: [{ name: 'config', mountPath: '/var/lib/kube-proxy' }],
};

export function proxyPod(name: string, nodeName: string, more: Json = {}): Json {
  const made = pod(SYSTEM, name, nodeName);
  made.metadata.labels = { 'k8s-app': 'kube-proxy', ...more.labels };
  made.metadata.ownerReferences = [{ kind: 'DaemonSet', name: more.owner ?? 'kube-proxy', controller: true }];
  Object.assign(made.metadata, more.metadata);
  made.spec.containers = [{ name: 'sidecar', image: 'x' }, CONTAINER];
  made.status.conditions = [{ type: 'Ready', status: 'True' }];
  made.status.containerStatuses = [{ name: 'kube-proxy', restartCount: 2, state: { running: {} } }];
  return made;
}

export const daemonSet = (metadata: Json = {}, container: Json = CONTAINER, podSpec: Json = {}): Json => ({
  metadata: { name: 'kube-proxy', namespace: SYSTEM, uid: `ds-${metadata.name ?? ''}`, generation: 4, ...metadata },
  spec: {
    template: {
      metadata: { labels: metadata.labels },
      spec: { containers: [container], volumes: [{ name: 'config', configMap: { name: 'proxy-config' } }], ...podSpec },
    },
  },
});

export const CONFIG =
  'kind: KubeProxyConfiguration\nmode: ipvs\nclientConnection:\n  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf\n';
const KUBECONFIG = 'clusters: [{name: c, cluster: {server: "https://10.0.0.9:6443"}}]\n';

export interface World {
  nodes?: Json[];
  pods?: Json[];
  services?: Json[];
  slices?: Json[];
  daemonSets?: Json[];
  configMaps?: Record<string, Json>;
  /** Log by pod. */
  logs?: Record<string, string>;
}

type Prepare = (api: ApiServer) => void;

export async function inventoryOf(world: World, prepare?: Prepare): Promise<Inventory> {
  return takeInventory(await clusterOf(world, prepare), NOW);
}

/** Pods of kube-system are listed by themselves, too. */
export async function clusterOf(world: World, prepare: Prepare = () => {}): Promise<Cluster> {
  const api = await startApi();
  const cluster = await connectTo(api, { backoffMs: 0.1 });
  const list = (path: string, items: Json[] = []) => api.on(`GET ${path}`, () => ({ json: { items } }));
  list('/api/v1/nodes', world.nodes);
  list('/api/v1/namespaces', [{ metadata: { name: 'shop' } }, { metadata: { name: SYSTEM } }]);
  list('/api/v1/pods', world.pods);
  list(
    `/api/v1/namespaces/${SYSTEM}/pods`,
    world.pods?.filter(p => p.metadata.namespace === SYSTEM),
  );
  list('/api/v1/services', world.services);
  list('/apis/discovery.k8s.io/v1/endpointslices', world.slices);
  list(`/apis/apps/v1/namespaces/${SYSTEM}/daemonsets`, world.daemonSets ?? [daemonSet()]);
  const configMaps = world.configMaps ?? {
    'proxy-config': { metadata: { uid: 'cm' }, data: { 'config.conf': CONFIG, 'kubeconfig.conf': KUBECONFIG } },
  };
  for (const [name, json] of Object.entries(configMaps)) {
    const whole = { ...json, metadata: { name, ...json.metadata } };
    api.on(`GET /api/v1/namespaces/${SYSTEM}/configmaps/${name}`, () => ({ json: whole }));
  }
  for (const [name, text] of Object.entries(world.logs ?? {})) {
    api.on(`GET /api/v1/namespaces/${SYSTEM}/pods/${name}/log`, ({ query }) => ({
      text:
        query.get('container') === 'kube-proxy'
          ? text.slice(0, Number(query.get('limitBytes')))
          : 'Using nftables Proxier',
    }));
  }
  prepare(api);
  return cluster;
}

export const says = (mode: string) =>
  `I0101 1 server.go:1] "Version info"\nI0101 1 server_linux.go:140] "Using ${mode} Proxier"\n`;
