// Values for the table tests of gates: a small cluster, and a node in flip that is well.
import type { Cluster, KubeObject } from '../../src/core/cluster.ts';
import type { Look, Moment, NodeInFlip } from '../../src/core/gate.ts';
import type { Inventory, NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import type { NodeView, ProbeTally } from '../../src/core/node-view.ts';
import type { ConntrackSample, KernelSample, Outcome, ProxySample } from '../../src/core/observation.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { makeInventory, makeNode, makeService } from '../core/cluster-data.ts';

/** Our clock, ms, and the node's at the same moment, Unix seconds. */
export const NOW = Date.parse('2026-01-01T12:00:00Z');
export const ASKED = NOW / 1000 - 60;

/** A node with the kube-proxy pod of the DaemonSet. */
export const nodeFacts = (name: string, over: Partial<NodeFacts> = {}): NodeFacts => {
  const proxyPod = {
    name: `kube-proxy-${name}`,
    namespace: 'kube-system',
    uid: `pod-${name}`,
    daemonSet: 'kube-proxy',
    image: 'registry.k8s.io/kube-proxy:v1.36.3',
    ready: true,
    restarts: 0,
  };
  return makeNode(name, { proxyPod, ...over });
};

/** A Service with an endpoint on n1. */
export const service = (key: string, over: Partial<ServiceFacts> = {}): ServiceFacts =>
  makeService(key, { ports: [{ name: '', port: 80, protocol: 'TCP' }], readyByNode: { n1: 1 }, endpoints: 1, ...over });

/** The nodes n1 and n2, and shop/web beside the system's Services. */
export const inventory = (over: Partial<Inventory> = {}): Inventory => ({
  ...makeInventory(
    [nodeFacts('n1'), nodeFacts('n2')],
    [service('default/kubernetes', { clusterIPs: ['10.96.0.1'] }), service('shop/web')],
  ),
  ...over,
});

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
  partialFailures: 0,
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
  cores: 4,
  ...over,
});

type Bad = Record<string, { total: number; inARow: number; outcome: Outcome }>;
export const tally = (bad: Bad = {}, rounds = 5): ProbeTally => ({
  since: '2026-01-01T11:59:00Z',
  rounds,
  attempts: rounds * 10,
  kinds: { 'cluster-ip-tcp': rounds * 8, hairpin: rounds, affinity: rounds },
  bad: new Map(Object.entries(bad)),
  refusals: { asked: rounds, silent: 0, silentInARow: 0 },
});

export function view(over: Partial<NodeView> = {}): NodeView {
  return {
    node: 'n1',
    seenAt: { host: NOW - 500, pod: NOW - 500 },
    proxy: { main: proxySample(), warm: proxySample({ slot: 'warm' }) },
    synced: { main: { start: ASKED + 1, at: ASKED + 31 }, warm: { start: ASKED + 1, at: ASKED + 31 } },
    kernel: kernelSample(),
    rules: {},
    rulesOnTheWay: {},
    conntrack: [conntrackSample()],
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
    watch: never,
    create: never,
    patch: never,
    delete: never,
    can: async access => !denied(access.resource, access.verb),
    log: never,
    followLog: never,
    close() {},
  };
}
