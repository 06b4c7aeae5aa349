import { expect, test } from 'vitest';
import type { Cluster, KubeObject } from '../../src/core/cluster.ts';
import type { Gate, Look } from '../../src/core/gate.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { scopeOf } from '../../src/core/scope.ts';
import { churn } from '../../src/gates/churn.ts';
import { readyEndpoints } from '../../src/gates/ready-endpoints.ts';
import { workloads } from '../../src/gates/workloads.ts';
import { inFlip, inventory, look, nodeFacts, readOnly } from './looks.ts';
import { table } from './table.ts';

const SCOPE = scopeOf(['shop/web', 'shop/db']);

const slice = (service: string, ready: boolean[], first = 1): KubeObject => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { namespace: 'shop', name: `${service}-${first}`, labels: { 'kubernetes.io/service-name': service } },
  addressType: 'IPv4',
  endpoints: ready.map((ready, i) => ({ addresses: [`10.0.0.${first + i}`], conditions: { ready } })),
});
const service = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'shop', name },
  spec: { selector: { app: name } },
});
/** What makes the pods of a Service. */
const maker = (kind: 'Deployment' | 'StatefulSet' | 'DaemonSet', app: string, replicas: number): KubeObject => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { namespace: 'shop', name: app },
  spec: { replicas, template: { metadata: { labels: { app, tier: 'front' } } } },
  status: kind === 'DaemonSet' ? { desiredNumberScheduled: replicas } : {},
});

interface Podlike {
  ready?: boolean;
  restarts?: number;
  phase?: string;
  metadata?: object;
}

const pod = (
  name: string,
  { ready = true, restarts = 0, phase = 'Running', metadata = {} }: Podlike = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name, uid: name, ...metadata },
  status: {
    phase,
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    containerStatuses: [{ restartCount: restarts }],
  },
});

const without = (object: KubeObject, field: string): KubeObject => ({
  ...object,
  spec: Object.fromEntries(Object.entries(object.spec).filter(([name]) => name !== field)),
});

/** A cluster whose lists fail. */
const mute: Cluster = {
  ...readOnly([]),
  // biome-ignore lint/correctness/useYield: it fails before it yields.
  async *list() {
    throw new Error('the API says nothing');
  },
};

/** A gate's look at what is there now, and before. */
async function compared(gate: Gate, before: KubeObject[] | undefined, now: KubeObject[], over: Partial<Look> = {}) {
  // `proxyctl rbac` gives a run no right to get such objects one by one.
  const cluster = { ...readOnly(now), get: () => Promise.reject(new Error('not permitted')) };
  const at = look('after-node', { node: inFlip(), scope: SCOPE, cluster, ...over });
  const seen = before && (await gate.remember?.({ ...at, cluster: readOnly(before) }));
  return seen === undefined ? at : { ...at, before: new Map([[gate.id, seen]]) };
}

const gates = (given: object) => ({ playbook: Playbook.parse({ gates: given }) });
const web = (...ready: boolean[]) => [slice('web', ready), slice('db', [true]), service('web'), service('db')];
const endpoints = (before: KubeObject[] | undefined, now: KubeObject[], over: Partial<Look> = {}) =>
  compared(readyEndpoints, before, now, over);

table(readyEndpoints, [
  ['nothing changed', await endpoints(web(true, true), web(true, true)), 'pass'],
  ['more than before', await endpoints(web(true), web(true, true)), 'pass'],
  [
    'none left',
    await endpoints(web(true, true), web(false, false)),
    'fail',
    /^error service shop\/web has 0 of 2 ready endpoints left$/,
  ],
  ['the only one', await endpoints(web(true), web(false)), 'fail', /has 0 of 1 ready endpoint left/],
  ['none before', await endpoints(web(false), web(false)), 'pass'],
  ['one of five', await endpoints(web(true, true, true, true, true), web(true, true, true, true, false)), 'pass'],
  [
    'two of five',
    await endpoints(web(true, true, true, true, true), web(true, true, true)),
    'pass',
    /^warning service shop\/web has 3 of 5 ready endpoints left$/,
  ],
  ['half of them', await endpoints(web(true, true), web(true, false)), 'pass', /^warning .* has 1 of 2/],
  [
    'three of five',
    await endpoints(web(true, true, true, true, true), web(true, true)),
    'fail',
    /^error service shop\/web has 2 of 5/,
  ],
  [
    'as the playbook says',
    await endpoints(web(true, true), web(true), gates({ readyEndpoints: { warn: 0.1, fail: 0.4 } })),
    'fail',
    /has 1 of 2/,
  ],
  ['counted once in two slices', await endpoints(web(true), [...web(true), slice('web', [true], 1)]), 'pass'],
  [
    'the Service was deleted',
    await endpoints(web(true), [slice('db', [true]), service('db')]),
    'pass',
    /^warning service shop\/web was deleted meanwhile$/,
  ],
  [
    'a Service that is not looked at',
    await endpoints([slice('other', [true]), ...web(true)], [slice('other', [false]), ...web(true)]),
    'pass',
  ],
  [
    'nothing known of before',
    await endpoints(undefined, web(true)),
    'inconclusive',
    /nothing is known of the time before the flip/,
  ],
  [
    'the API cannot be read',
    { ...(await endpoints(web(true), [])), cluster: mute },
    'inconclusive',
    /the API says nothing/,
  ],
  ['no cluster to ask', look('after-batch', { scope: SCOPE }), 'inconclusive', /no cluster to ask/],
  ['nothing exposed', look('after-batch', { cluster: mute }), 'inconclusive', /nothing is exposed/],
]);

/** Three pods behind shop/web before, and so many ready endpoints now. */
const scaled = (left: number, ...others: KubeObject[]) =>
  endpoints(web(true, true, true), [
    slice('web', Array(left).fill(true)),
    slice('db', [true]),
    service('web'),
    ...others,
  ]);
const podOfWeb = (name: string, over: Podlike = {}) =>
  pod(name, { ...over, metadata: { ...over.metadata, labels: { app: 'web' } } });

// Scaled down meanwhile.
table(readyEndpoints, [
  [
    'a Deployment, to nothing',
    await scaled(0, maker('Deployment', 'web', 0)),
    'pass',
    /^warning service shop\/web has 0 of 3 ready endpoints left; it was scaled down to 0 meanwhile$/,
  ],
  ['a StatefulSet', await scaled(0, maker('StatefulSet', 'web', 0)), 'pass', /scaled down to 0/],
  [
    'to one',
    await scaled(1, maker('Deployment', 'web', 1), podOfWeb('a')),
    'pass',
    /^warning .* has 1 of 3 ready endpoints left; it was scaled down to 1 meanwhile$/,
  ],
  [
    'its pods are going',
    await scaled(
      0,
      maker('Deployment', 'web', 0),
      podOfWeb('a', { metadata: { deletionTimestamp: 'x' } }),
      podOfWeb('b', { phase: 'Failed' }),
    ),
    'pass',
    /scaled down/,
  ],
  ['it wants pods', await scaled(0, maker('Deployment', 'web', 3)), 'fail', /^error .* has 0 of 3/],
  ['the default is one', await scaled(0, without(maker('Deployment', 'web', 0), 'replicas')), 'fail', /has 0 of 3/],
  [
    'another of the same pods wants some',
    await scaled(0, maker('Deployment', 'web', 0), maker('StatefulSet', 'web', 1)),
    'fail',
    /has 0 of 3/,
  ],
  [
    'a DaemonSet wants some',
    await scaled(0, maker('Deployment', 'web', 0), maker('DaemonSet', 'web', 2)),
    'fail',
    /has 0 of 3/,
  ],
  ['another Service was', await scaled(0, maker('Deployment', 'db', 0)), 'fail', /has 0 of 3/],
  [
    'by somebody else who makes pods',
    await scaled(0, maker('Deployment', 'web', 0), podOfWeb('rollout-1', { ready: false })),
    'fail',
    /has 0 of 3/,
  ],
  [
    'one of those left is not ready',
    await scaled(1, maker('Deployment', 'web', 2), podOfWeb('a'), podOfWeb('b', { ready: false })),
    'fail',
    /has 1 of 3/,
  ],
  [
    'a Service without a selector',
    await endpoints(web(true), [{ ...service('web'), spec: {} }, slice('db', [true]), maker('Deployment', 'web', 0)]),
    'fail',
    /has 0 of 1/,
  ],
]);

const shop = (...names: string[]) => names.map(name => pod(name));
const pods = (before: KubeObject[] | undefined, now: KubeObject[], over: Partial<Look> = {}) =>
  compared(workloads, before, now, over);
const ten = shop(...'abcdefghij');
const tenWith = (...changed: KubeObject[]) => [...ten.slice(changed.length), ...changed];
const looping = (names: string, restarts: number) => names.split('').map(n => pod(n, { ready: false, restarts }));
const partOfFlip = [
  pod('kp', {
    ready: false,
    metadata: {
      namespace: 'kube-system',
      ownerReferences: [{ kind: 'DaemonSet', name: 'kube-proxy-nftables' }],
    },
  }),
  pod('ours', { ready: false, metadata: { labels: { 'proxyctl.dev/part': 'warm' } } }),
];

table(workloads, [
  ['nothing changed', await pods(ten, ten), 'pass'],
  [
    'one restarted',
    await pods(ten, tenWith(pod('a', { restarts: 1 }))),
    'pass',
    /^warning namespace shop 1 pod restarted: a$/,
  ],
  [
    'three restarted',
    await pods(ten, tenWith(...'abc'.split('').map(n => pod(n, { restarts: 2 })))),
    'fail',
    /^error namespace shop 3 pods restarted: a, b, c$/,
  ],
  ['restarted long ago', await pods([pod('a', { restarts: 7 })], [pod('a', { restarts: 7 })]), 'pass'],
  [
    'once more',
    await pods(
      [pod('a', { restarts: 7 })],
      [pod('a', { restarts: 8 })],
      gates({ workloads: { restarts: { fail: 1 } } }),
    ),
    'fail',
    /1 pod restarted: a/,
  ],
  [
    'a crash loop of before',
    await pods(tenWith(...looping('abc', 7)), tenWith(...looping('abc', 9))),
    'pass',
    /^warning namespace shop 3 pods restarted that were not ready before either: a, b, c$/,
  ],
  [
    'and three that were well',
    await pods(tenWith(...looping('abc', 7)), [
      ...shop('g', 'h', 'i', 'j'),
      ...looping('abc', 9),
      ...'def'.split('').map(n => pod(n, { restarts: 1 })),
    ]),
    'fail',
    /^error namespace shop 3 pods restarted: d, e, f\nwarning namespace shop 3 pods restarted .* before either: a, b, c$/,
  ],
  ['a new pod that restarts', await pods(ten, [...ten, pod('new', { restarts: 1 })]), 'pass', /1 pod restarted: new/],
  [
    'one of ten not ready',
    await pods(ten, tenWith(pod('a', { ready: false }))),
    'pass',
    /^warning namespace shop 1 of 10 pods are not ready any more: a$/,
  ],
  [
    'three of ten',
    await pods(ten, tenWith(...'abc'.split('').map(n => pod(n, { ready: false })))),
    'fail',
    /^error namespace shop 3 of 10 pods are not ready any more: a, b, c$/,
  ],
  [
    'fewer than what warns, and more than what fails',
    await pods(ten, tenWith(pod('a', { ready: false })), gates({ workloads: { unready: { warn: 0.5, fail: 0.1 } } })),
    'fail',
    /^error namespace shop 1 of 10 pods are not ready any more: a$/,
  ],
  [
    'restarts, too',
    await pods(ten, tenWith(pod('a', { restarts: 1 })), gates({ workloads: { restarts: { warn: 5, fail: 1 } } })),
    'fail',
    /^error namespace shop 1 pod restarted: a$/,
  ],
  [
    'a Job that has just begun',
    await pods(shop('a'), [
      ...shop('a'),
      pod('backup', { ready: false, metadata: { ownerReferences: [{ kind: 'Job', name: 'backup' }] } }),
    ]),
    'pass',
  ],
  [
    'a Job whose pods restart',
    await pods(shop('a'), [
      ...shop('a'),
      ...['x', 'y', 'z'].map(n =>
        pod(n, { ready: false, restarts: 1, metadata: { ownerReferences: [{ kind: 'Job', name: 'backup' }] } }),
      ),
    ]),
    'fail',
    /^error namespace shop 3 pods restarted: x, y, z$/,
  ],
  ['not ready before either', await pods([pod('a', { ready: false })], [pod('a', { ready: false })]), 'pass'],
  [
    'ended, or going',
    await pods(ten, [
      ...ten,
      pod('job', { ready: false, phase: 'Succeeded' }),
      pod('evicted', { ready: false, phase: 'Failed' }),
      pod('going', { ready: false, metadata: { deletionTimestamp: 'x' } }),
    ]),
    'pass',
  ],
  [
    'kube-proxy’s pods and ours',
    await pods(ten, [...ten, ...partOfFlip], { scope: scopeOf(['shop/web', 'kube-system/kube-dns']) }),
    'pass',
  ],
  [
    'nothing known of before',
    await pods(undefined, ten),
    'inconclusive',
    /nothing is known of the time before the flip/,
  ],
  ['the API cannot be read', { ...(await pods(ten, ten)), cluster: mute }, 'inconclusive', /the API says nothing/],
  ['no cluster to ask', look('after-batch', { scope: SCOPE }), 'inconclusive', /no cluster to ask/],
]);

const owner = (kind: string, spec: object, status: object, metadata: object = {}): KubeObject => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { namespace: 'shop', name: 'web', generation: 2, ...metadata },
  spec,
  status: { observedGeneration: 2, ...status },
});
const quiet = (...objects: KubeObject[]) =>
  look('before-node', { node: inFlip(), scope: SCOPE, cluster: readOnly(objects) });
const deployment = (status: object, spec: object = {}) =>
  quiet(
    owner('Deployment', { replicas: 3, ...spec }, { replicas: 3, updatedReplicas: 3, availableReplicas: 3, ...status }),
  );
const progressing = (reason: string) => ({ conditions: [{ type: 'Progressing', reason }] });
const statefulSet = (status: object, spec: object = {}) =>
  quiet(
    owner(
      'StatefulSet',
      { replicas: 3, updateStrategy: { type: 'RollingUpdate' }, ...spec },
      { updatedReplicas: 3, currentRevision: 'b', updateRevision: 'b', ...status },
    ),
  );
const daemonSet = (status: object, spec: object = {}, metadata: object = {}) =>
  quiet(
    owner(
      'DaemonSet',
      { updateStrategy: { type: 'RollingUpdate' }, ...spec },
      { updatedNumberScheduled: 3, desiredNumberScheduled: 3, ...status },
      metadata,
    ),
  );

table(churn, [
  ['nothing there', quiet(), 'pass'],
  ['a Deployment that is done', deployment(progressing('NewReplicaSetAvailable')), 'pass'],
  [
    'not seen yet',
    deployment({ observedGeneration: 1 }),
    'inconclusive',
    /deployment shop\/web is rolling out: its controller/,
  ],
  ['some updated', deployment({ updatedReplicas: 1 }), 'inconclusive', /1 of 3 pods updated/],
  ['old ones left', deployment({ replicas: 4 }), 'inconclusive', /1 old pod left/],
  [
    'some available',
    deployment({ availableReplicas: 2, ...progressing('ReplicaSetUpdated') }),
    'inconclusive',
    /2 of 3 updated pods available/,
  ],
  ['done, and a pod fails', deployment({ availableReplicas: 2, ...progressing('NewReplicaSetAvailable') }), 'pass'],
  ['given up', deployment({ updatedReplicas: 1, ...progressing('ProgressDeadlineExceeded') }), 'pass'],
  ['paused', deployment({ updatedReplicas: 1, observedGeneration: 1 }, { paused: true }), 'pass'],
  ['scaled to nothing', deployment({ replicas: 0, updatedReplicas: 0, availableReplicas: 0 }, { replicas: 0 }), 'pass'],
  ['a StatefulSet that is done', statefulSet({}), 'pass'],
  [
    'under way',
    statefulSet({ updatedReplicas: 2, updateRevision: 'c' }),
    'inconclusive',
    /statefulset shop\/web .* 2 of 3 pods updated/,
  ],
  [
    'up to its partition',
    statefulSet(
      { updatedReplicas: 1, updateRevision: 'c' },
      { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } },
    ),
    'pass',
  ],
  [
    'below its partition',
    statefulSet(
      { updatedReplicas: 0, updateRevision: 'c' },
      { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } },
    ),
    'inconclusive',
    /0 of 1 pod updated/,
  ],
  ['all updated, and a pod of it fails', statefulSet({ updatedReplicas: 3, updateRevision: 'c' }), 'pass'],
  [
    'by hand',
    statefulSet({ updatedReplicas: 1, updateRevision: 'c' }, { updateStrategy: { type: 'OnDelete' } }),
    'pass',
  ],
  ['none wanted', statefulSet({ updatedReplicas: 0, updateRevision: 'c' }, { replicas: 0 }), 'pass'],
  ['a DaemonSet that is done', daemonSet({}), 'pass'],
  [
    'on some nodes',
    daemonSet({ updatedNumberScheduled: 2 }),
    'inconclusive',
    /daemonset shop\/web .* 2 of 3 pods updated/,
  ],
  [
    'on all nodes but those that are not Ready',
    {
      ...daemonSet({ updatedNumberScheduled: 2 }),
      inventory: inventory({ nodes: [nodeFacts('n1'), nodeFacts('n2'), nodeFacts('n3', { ready: false })] }),
    },
    'pass',
  ],
  ['one by hand', daemonSet({ updatedNumberScheduled: 2 }, { updateStrategy: { type: 'OnDelete' } }), 'pass'],
  ['elsewhere', daemonSet({ updatedNumberScheduled: 2 }, {}, { namespace: 'other' }), 'pass'],
  [
    'kube-proxy’s own',
    {
      ...daemonSet({ updatedNumberScheduled: 2 }, {}, { namespace: 'kube-system', name: 'kube-proxy' }),
      scope: scopeOf(['kube-system/kube-dns']),
    },
    'pass',
  ],
  ['the API cannot be read', { ...quiet(), cluster: mute }, 'inconclusive', /the API says nothing/],
  ['no cluster to ask', look('before-node', { node: inFlip(), scope: SCOPE }), 'inconclusive', /no cluster to ask/],
]);

test('many namespaces are read in one list, and the others left out', async () => {
  const asked: unknown[] = [];
  const many = scopeOf(Array.from({ length: 30 }, (_, i) => `ns-${i}/web`));
  const cluster = readOnly(ten);
  const counting: Cluster = {
    ...cluster,
    list(kind, options) {
      asked.push(options?.namespace);
      return cluster.list(kind, options);
    },
  };
  const seen = await workloads.remember?.(look('after-batch', { scope: many, cluster: counting }));
  expect([asked, seen]).toEqual([[undefined], new Map()]);
});
