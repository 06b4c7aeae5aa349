import type { KubeObject } from '../../src/core/cluster.ts';
import type { Look } from '../../src/core/gate.ts';
import type { Inventory } from '../../src/core/inventory.ts';
import type { Mode } from '../../src/core/mode.ts';
import { mixedMode } from '../../src/gates/mixed-mode.ts';
import { nodeHealth } from '../../src/gates/node-health.ts';
import { ASKED, inFlip, inventory, look, nodeFacts, readOnly } from './looks.ts';
import { table } from './table.ts';

const node = (name: string, label?: string, ready = 'True'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: label === undefined ? {} : { 'proxyctl.dev/mode': label } },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});

const pod = (on: string, status: object = {}, owner = 'kube-proxy-nftables', metadata: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `${owner}-${on}`,
    namespace: 'kube-system',
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name: owner, uid: 'd' }],
    ...metadata,
  },
  spec: { nodeName: on },
  status: { phase: 'Running', containerStatuses: [{ ready: true, restartCount: 0, ...status }] },
});

const ended = (unix: number) => ({
  restartCount: 1,
  lastState: { terminated: { finishedAt: new Date(unix * 1000).toISOString() } },
});

const at = (
  moment: 'before-node' | 'after-node' | 'after-batch',
  objects: KubeObject[],
  expected: Record<string, Mode> = {},
): Look =>
  look(moment, {
    cluster: readOnly(objects),
    expectedModes: new Map(Object.entries(expected)),
    ...(moment === 'after-batch' ? {} : { node: inFlip() }),
  });

function ofImage(tag: string): Inventory['proxy'] {
  const { daemonSet, ...proxy } = inventory().proxy;
  return {
    ...proxy,
    ...(daemonSet ? { daemonSet: { ...daemonSet, image: `registry.k8s.io/kube-proxy:${tag}` } } : {}),
  };
}

const pre = (...nodes: ReturnType<typeof nodeFacts>[]) => look('preflight', { inventory: inventory({ nodes }) });

table(mixedMode, [
  [
    'preflight: the configuration says another mode than serves',
    look('preflight', { proxyConfig: { mode: 'nftables' } }),
    'fail',
    /^error configuration .*says nftables and 2 nodes serve in another \(n1, n2\): their next restart flips them/,
  ],
  ['preflight: the configuration says what serves', look('preflight', { proxyConfig: { mode: 'iptables' } }), 'pass'],
  ['preflight: left to the default', look('preflight', { proxyConfig: { mode: '' } }), 'pass'],
  [
    'preflight: left to the default of 1.40',
    look('preflight', { proxyConfig: { mode: '' }, inventory: inventory({ proxy: ofImage('v1.40.1') }) }),
    'fail',
    /^error configuration .*says nftables and 2 nodes serve in another/,
  ],
  ['one mode', pre(nodeFacts('n1'), nodeFacts('n2')), 'pass'],
  [
    'two modes',
    pre(nodeFacts('n1'), nodeFacts('n2', { mode: 'ipvs' })),
    'fail',
    /iptables: 1 node, n1\n.*ipvs: 1 node, n2/,
  ],
  [
    'two modes in a run',
    pre(nodeFacts('n1'), nodeFacts('n2', { mode: 'nftables', label: 'nftables' })),
    'pass',
    /warning cluster a run of proxyctl stands, neither finalized nor rolled back: 1 node bears/,
  ],
  [
    'not known',
    pre(nodeFacts('n1'), nodeFacts('n2', { mode: 'unknown' })),
    'inconclusive',
    /mode of 1 node could not be read: n2/,
  ],
  [
    'verify: two modes, as at preflight',
    { ...pre(nodeFacts('n1'), nodeFacts('n2', { mode: 'ipvs' })), moment: 'verify' },
    'fail',
    /more than one mode/,
  ],
  ['before a flip', at('before-node', [node('n1')], { n1: 'iptables' }), 'pass'],
  [
    'before a flip, labelled already',
    at('before-node', [node('n1', 'none')]),
    'fail',
    /bears the label none, and must be in mode iptables/,
  ],
  ['no cluster to ask', look('after-batch'), 'inconclusive', /no cluster to ask/],
  ['as planned', at('after-batch', [node('n1', 'nftables'), node('n2')], { n1: 'nftables', n2: 'iptables' }), 'pass'],
  [
    'a label was taken away',
    at('after-batch', [node('n1'), node('n2')], { n1: 'nftables', n2: 'iptables' }),
    'fail',
    /node n1 bears no label, so it is in mode iptables/,
  ],
  ['a label was changed', at('after-batch', [node('n1', 'ipvs')], { n1: 'nftables' }), 'fail', /bears the label ipvs/],
  ['a label outside the run', at('after-batch', [node('n1', 'nftables')]), 'fail', /not in this run/],
  ['a node is gone', at('after-batch', [], { n1: 'nftables' }), 'pass', /warning node n1 is gone/],
  ['a node joined', at('after-batch', [node('n3')]), 'pass', /warning node n3 joined/],
]);

table(nodeHealth, [
  ['well', at('after-node', [node('n1'), pod('n1')]), 'pass'],
  ['of the original DaemonSet', at('before-node', [node('n1'), pod('n1', {}, 'kube-proxy')]), 'pass'],
  ['not Ready', at('after-node', [node('n1', undefined, 'Unknown'), pod('n1')]), 'fail', /node n1 is not Ready/],
  ['the node is gone', at('after-node', [pod('n1')]), 'fail', /is gone/],
  ['no pod', at('after-node', [node('n1'), pod('n2')]), 'inconclusive', /no kube-proxy pod/],
  [
    'only one that goes',
    at('after-node', [node('n1'), pod('n1', {}, 'kube-proxy', { deletionTimestamp: 'x' })]),
    'inconclusive',
    /no kube-proxy pod/,
  ],
  [
    'somebody else’s pod does not count',
    at('after-node', [node('n1'), pod('n1', {}, 'coredns')]),
    'inconclusive',
    /no kube-proxy pod/,
  ],
  [
    'a second one, of an original that was made anew',
    at('after-batch', [node('n1'), pod('n1'), pod('n1', {}, 'kube-proxy')], { n1: 'nftables' }),
    'fail',
    /more than one kube-proxy of a DaemonSet is on it: kube-proxy-nftables-n1, kube-proxy-n1/,
  ],
  [
    'not ready',
    at('after-node', [node('n1'), pod('n1', { ready: false, state: { waiting: { reason: 'CrashLoopBackOff' } } })]),
    'fail',
    /not ready: CrashLoopBackOff/,
  ],
  [
    'restarted since',
    at('after-node', [node('n1'), pod('n1', ended(ASKED + 10))]),
    'fail',
    /restarted since the flip \(1 restart\)/,
  ],
  ['restarted long ago', at('after-node', [node('n1'), pod('n1', ended(ASKED - 1000))]), 'pass'],
  [
    'after a batch',
    at('after-batch', [node('n1'), pod('n1'), node('n2', undefined, 'False'), pod('n2')], {
      n1: 'nftables',
      n2: 'nftables',
    }),
    'fail',
    /^error node n2 is not Ready$/,
  ],
  [
    'after a batch, another that is not flipped',
    at('after-batch', [node('n1'), pod('n1'), node('n2', undefined, 'False'), pod('n2')], {
      n1: 'nftables',
      n2: 'iptables',
    }),
    'pass',
  ],
  [
    'after a batch, one that was flipped is gone',
    at('after-batch', [node('n2'), pod('n2')], { n1: 'nftables', n2: 'nftables' }),
    'pass',
    /^warning node n1 is gone$/,
  ],
  ['no cluster to ask', look('after-batch'), 'inconclusive', /no cluster to ask/],
  ['preflight', pre(nodeFacts('n1')), 'pass'],
  ['preflight, pod not ready', pre(withPod(false)), 'fail', /kube-proxy-n1 is not ready/],
]);

function withPod(ready: boolean) {
  const facts = nodeFacts('n1');
  return { ...facts, ...(facts.proxyPod ? { proxyPod: { ...facts.proxyPod, ready } } : {}) };
}
