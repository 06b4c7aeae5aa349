// Values for the table tests of gates: a small cluster, and a node in flip that is well.
import type { Cluster, KubeObject } from '../../src/core/cluster.ts';
import type { Look, Moment, NodeInFlip } from '../../src/core/gate.ts';
import type { Inventory, NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import type { NodeView, ProbeTally } from '../../src/core/node-view.ts';
import type { ConntrackSample, KernelSample, Outcome, ProxySample } from '../../src/core/observation.ts';
import { Playbook } from '../../src/core/playbook.ts';

/** Our clock, ms, and the node's at the same moment, Unix seconds. */
export const NOW = Date.parse('2026-01-01T12:00:00Z');
export const ASKED = NOW / 1000 - 60;

export function nodeFacts(name: string, over: Partial<NodeFacts> = {}): NodeFacts {
  return {
    name,
    uid: `uid-${name}`,
    role: 'worker',
    ready: true,
    unschedulable: false,
    os: 'linux',
    osImage: 'Debian GNU/Linux 12 (bookworm)',
    arch: 'amd64',
    kernel: '6.1.0-18-amd64',
    kubelet: 'v1.36.3',
    internalIPs: ['10.0.0.1'],
    externalIPs: [],
    loadBalancerTarget: true,
    mode: 'iptables',
    modeSource: 'kube-proxy log',
    proxyPod: {
      name: `kube-proxy-${name}`,
      namespace: 'kube-system',
      uid: `pod-${name}`,
      daemonSet: 'kube-proxy',
      image: 'registry.k8s.io/kube-proxy:v1.36.3',
      ready: true,
      restarts: 0,
    },
    pods: {},
    ...over,
  };
}

export function service(key: string, over: Partial<ServiceFacts> = {}): ServiceFacts {
  const [namespace = '', name = ''] = key.split('/');
  return {
    namespace,
    name,
    type: 'ClusterIP',
    proxied: true,
    clusterIPs: ['10.96.0.10'],
    externalIPs: [],
    loadBalancerIPs: [],
    ports: [{ name: '', port: 80, protocol: 'TCP' }],
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    sessionAffinity: 'None',
    sourceRanges: [],
    readyByNode: { n1: 1 },
    endpoints: 1,
    ...over,
  };
}

export function inventory(over: Partial<Inventory> = {}): Inventory {
  return {
    kind: 'Inventory',
    version: 1,
    takenAt: '2026-01-01T11:00:00Z',
    cluster: { uid: 'u', server: 'https://10.0.0.100:6443', context: 'test', kubernetes: 'v1.36.3', simulated: false },
    nodes: [nodeFacts('n1'), nodeFacts('n2')],
    namespaces: ['default', 'kube-system', 'shop'],
    services: [service('default/kubernetes', { clusterIPs: ['10.96.0.1'] }), service('shop/web')],
    proxy: {
      daemonSet: {
        namespace: 'kube-system',
        name: 'kube-proxy',
        uid: 'd',
        generation: 1,
        image: 'registry.k8s.io/kube-proxy:v1.36.3',
        updateStrategy: 'RollingUpdate',
        templateHash: 'h',
        configPath: '/var/lib/kube-proxy/config.conf',
        flags: [],
      },
      configMap: {
        namespace: 'kube-system',
        name: 'kube-proxy',
        uid: 'c',
        key: 'config.conf',
        text: 'kind: KubeProxyConfiguration\nnodePortAddresses: null\nmode: iptables\n',
        hash: 'h',
        apiServer: 'https://10.0.0.100:6443',
      },
      owners: [],
      others: [],
    },
    ...over,
  };
}

export const proxySample = (over: Partial<ProxySample> = {}): ProxySample => ({
  t: new Date(NOW - 1000).toISOString(),
  kind: 'proxy',
  slot: 'main',
  up: true,
  mode: 'nftables',
  processStart: ASKED + 1,
  families: {
    IPv4: { lastSync: ASKED + 30, lastQueued: ASKED + 29 },
    IPv6: { lastSync: ASKED + 30, lastQueued: null },
  },
  failures: 0,
  healthz: 200,
  syncSeconds: 0.5,
  ...over,
});

export const kernelSample = (over: Partial<KernelSample> = {}): KernelSample => ({
  t: new Date(NOW - 1000).toISOString(),
  kind: 'kernel',
  modes: {
    iptables: { present: false, servicePorts: 0, traces: [] },
    ipvs: { present: false, servicePorts: 0, traces: [] },
    nftables: { present: true, servicePorts: 2, missing: [], traces: [] },
  },
  ipvsConnections: 0,
  ...over,
});

export const conntrackSample = (over: Partial<ConntrackSample> = {}): ConntrackSample => ({
  t: new Date(NOW - 1000).toISOString(),
  kind: 'conntrack',
  count: 1000,
  max: 131_072,
  drop: 0,
  earlyDrop: 0,
  insertFailed: 0,
  ...over,
});

type Bad = Record<string, { total: number; inARow: number; outcome: Outcome }>;
export const tally = (bad: Bad = {}, rounds = 5): ProbeTally => ({
  since: '2026-01-01T11:59:00Z',
  rounds,
  attempts: rounds * 10,
  bad: new Map(Object.entries(bad)),
});

export function view(over: Partial<NodeView> = {}): NodeView {
  return {
    node: 'n1',
    seenAt: { host: NOW - 500, pod: NOW - 500 },
    proxy: { main: proxySample(), warm: proxySample({ slot: 'warm' }) },
    synced: { main: { start: ASKED + 1, at: ASKED + 31 }, warm: { start: ASKED + 1, at: ASKED + 31 } },
    kernel: kernelSample(),
    conntrack: { first: conntrackSample(), last: conntrackSample() },
    rounds: { host: tally(), pod: tally() },
    offset: 0,
    troubles: [],
    ...over,
  };
}

/** The node n1 after its flip from iptables to nftables, all well. */
export function inFlip(over: Partial<NodeInFlip> = {}): NodeInFlip {
  return {
    name: 'n1',
    from: 'iptables',
    to: 'nftables',
    expected: 'nftables',
    slot: 'main',
    askedAt: ASKED,
    view: view(),
    baseline: view(),
    now: NOW,
    ...over,
  };
}

export function look(moment: Moment, over: Partial<Look> = {}): Look {
  return {
    moment,
    inventory: inventory(),
    to: 'nftables',
    playbook: Playbook.parse({}),
    expectedModes: new Map(),
    exposed: new Set(),
    ...over,
  };
}

/** The look at n1 after its flip, with another view. */
export function seen(over: Partial<NodeView>, flip: Partial<NodeInFlip> = {}, moment: Moment = 'after-node'): Look {
  return look(moment, { node: inFlip({ view: view(over), ...flip }) });
}

/** A cluster that only reads: what it holds, and what the user may not do. */
export function readOnly(
  objects: readonly KubeObject[],
  denied: (resource: string, verb: string) => boolean = () => false,
): Cluster {
  const never = () => Promise.reject(new Error('a gate must not write'));
  return {
    identity: inventory().cluster,
    async get({ kind, namespace, name }) {
      return objects.find(o => o.kind === kind && o.metadata.name === name && o.metadata.namespace === namespace);
    },
    async *list(kind, options) {
      for (const o of objects) {
        const onNode = /spec\.nodeName=(.*)/.exec(options?.fieldSelector ?? '')?.[1];
        if (o.kind !== kind || (options?.namespace !== undefined && o.metadata.namespace !== options.namespace))
          continue;
        if (onNode === undefined || o.spec?.nodeName === onNode) yield o;
      }
    },
    create: never,
    patch: never,
    delete: never,
    can: async access => !denied(access.resource, access.verb),
    log: never,
    followLog: never,
    close() {},
  };
}
