import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { Look, NodeInFlip } from '../../src/core/gate.ts';
import type { NodeView } from '../../src/core/node-view.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { type ServiceRule, serviceRule } from '../../src/core/service-rules.ts';
import { kernelRules } from '../../src/gates/kernel-rules.ts';
import { type Pod, reduced, reducedSlice, service, slice } from '../core/api-objects.ts';
import { ASKED, inFlip, inventory, look, NOW, nodeFacts, proxySample, readOnly, view } from './looks.ts';
import { table } from './table.ts';

const WEB = '10.96.0.10:80/TCP';
const PODS: Pod[] = [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }];
const ENDPOINTS = ['10.0.0.1:8080', '10.0.0.2:8080'];
const HOUR = 3_600_000;
const JOINED: KubeObject = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, status: {} };
const MUTE = proxySample({ up: false, mode: null, processStart: null, families: {} });
const RIGHT = { [WEB]: { endpoints: ENDPOINTS } };

interface Scene {
  /** What the kernel's nftables rules do; `null` when they have not been read. */
  rules?: Record<string, Partial<ServiceRule>> | null;
  /** ms before now at which the reading of the kernel began. */
  ago?: number;
  truth?: Partial<{
    pods: Pod[];
    more: KubeObject[];
    change: { ago: number; pods: Pod[] };
    since: number;
    trouble: string;
  }> | null;
  node?: Partial<NodeInFlip>;
  view?: Partial<NodeView>;
  look?: Partial<Look>;
}

function truthOf({ pods = PODS, more = [], change, since = NOW - HOUR, trouble }: NonNullable<Scene['truth']>) {
  const history = new ServiceHistory();
  for (const object of [service(), ...more]) history.putService(reduced(object), since);
  history.putSlice(reducedSlice(slice(pods)), since);
  history.complete(since);
  if (change) history.putSlice(reducedSlice(slice(change.pods)), NOW - change.ago);
  return { history, options: ruleOptions({}), trouble: () => trouble };
}

function at(scene: Scene, moment: Look['moment'] = 'after-node'): Look {
  const { rules = RIGHT, ago = 1000, truth = {} } = scene;
  const kernel = rules && {
    t: new Date(NOW - ago - (scene.view?.offset ?? 0)).toISOString(),
    rules: new Map(
      Object.entries(rules).map(([key, rule]) => [key, serviceRule({ key, endpoints: [], ...rule })] as const),
    ),
  };
  return look(moment, {
    node: inFlip({ view: view({ rules: kernel ? { nftables: kernel } : {}, ...scene.view }), ...scene.node }),
    ...(truth ? { truth: truthOf(truth) } : {}),
    ...scene.look,
  });
}

table(kernelRules, [
  ['as the API says', at({}), 'pass'],
  [
    'a Service without its rule',
    at({ rules: { '10.9.9.9:1/TCP': { endpoints: ENDPOINTS } } }),
    'fail',
    /error service shop\/web on node n1, nftables: shop\/web:80\/TCP at 10\.96\.0\.10:80\/TCP has no rule\nerror node n1 nftables rules that belong to no Service: 10\.9\.9\.9:1\/TCP/,
  ],
  [
    'an endpoint is missing',
    at({ rules: { [WEB]: { endpoints: ENDPOINTS.slice(1) } } }),
    'fail',
    /shop\/web.*does not send to 10\.0\.0\.1:8080 \(1 of 2 endpoints\)/,
  ],
  [
    'an endpoint that is not ready any more',
    at({ truth: { pods: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2', ready: false }] } }),
    'fail',
    /sends to 10\.0\.0\.2:8080/,
  ],
  [
    'no rules at all: one finding, however many Services',
    at({ rules: {} }),
    'fail',
    /^error node n1 no nftables rules of kube-proxy are in the kernel$/,
  ],
  ['no rules, and no Service that wants one', at({ rules: {}, truth: { pods: [] } }), 'fail', /no nftables rules/],
]);

describe('hints for nodes', () => {
  const hinted: Pod[] = [
    { ip: '10.0.0.1', nodes: ['n1'] },
    { ip: '10.0.0.2', nodes: ['n2'] },
  ];
  const image = (version: string) => `registry.k8s.io/kube-proxy:${version}`;
  const { proxyPod } = nodeFacts('n1');
  const run = (version: string) => {
    const node = nodeFacts('n1', proxyPod ? { proxyPod: { ...proxyPod, image: image(version) } } : {});
    return at({ truth: { pods: hinted }, look: { inventory: inventory({ nodes: [node] }) } });
  };
  const joined = (version: string) => {
    const known = inventory({ nodes: [] });
    const { daemonSet } = known.proxy;
    const proxy = { ...known.proxy, ...(daemonSet ? { daemonSet: { ...daemonSet, image: image(version) } } : {}) };
    const cluster = readOnly([JOINED]);
    return at({ truth: { pods: hinted }, look: { cluster, inventory: { ...known, proxy } } });
  };
  table(kernelRules, [
    ['as 1.36 heeds them', run('v1.36.3'), 'fail', /sends to 10\.0\.0\.2:8080, not usable/],
    ['not known to 1.33', run('v1.33.4'), 'pass'],
    ['a tag that tells no version', run('latest'), 'fail', /not usable/],
    ['a node that joined since, 1.36', joined('v1.36.3'), 'fail', /not usable/],
    ['a node that joined since, 1.33', joined('v1.33.4'), 'pass'],
  ]);
});

describe('kube-proxy may be late', () => {
  const late = (ago: number, more: Scene = {}): Scene => ({
    truth: { change: { ago, pods: [{ ip: '10.0.0.9' }] } },
    ...more,
  });
  const lag = (seconds: number) => ({ playbook: Playbook.parse({ gates: { lag: seconds } }) });
  table(kernelRules, [
    ['but not for long', at(late(5000)), 'pass'],
    ['the change came after the look', at(late(500)), 'pass'],
    ['for too long', at(late(15_000)), 'fail', /sends to 10\.0\.0\.1:8080, 10\.0\.0\.2:8080, not usable/],
    ['the lag of the playbook', at(late(15_000, { look: lag(60) })), 'pass'],
    ['none in the playbook: minSyncPeriod is left', at(late(3500, { look: lag(0) })), 'fail', /sends to/],
    ['syncs that take long', at(late(15_000, { view: { proxy: { main: proxySample({ syncSeconds: 5 }) } } })), 'pass'],
    ['measured by our clock, whatever the node says it is', at(late(5000, { view: { offset: -HOUR } })), 'pass'],
    ['by our clock, for too long', at(late(15_000, { view: { offset: -HOUR } })), 'fail', /sends to/],
  ]);

  test('how many are is said, and stops nothing', async () => {
    expect((await kernelRules.look(at(late(5000)))).summary).toBe(
      '1 Service port in nftables rules as the API says, 1 Service just changing',
    );
    expect((await kernelRules.look(at({}))).summary).toBe('1 Service port in nftables rules as the API says');
  });
});

describe('what cannot be known', () => {
  const strange = { inventory: inventory({ nodes: [nodeFacts('n2')] }) };
  const wrong = { [WEB]: { endpoints: [], empty: 'reject' as const } };
  table(kernelRules, [
    ['the rules were not read', at({ rules: null }), 'inconclusive', /nftables rules in the kernel have not been read/],
    ['nobody watches the API', at({ truth: null }), 'inconclusive', /nobody has read what the API says/],
    [
      'the API is in doubt, even where all fits',
      at({ truth: { trouble: 'Services are still being read' } }),
      'inconclusive',
      /still being read/,
    ],
    ['the kernel was read before kube-proxy was started', at({ ago: 61_000 }), 'inconclusive', /not read since/],
    [
      'the kernel was read before the old kube-proxy ended',
      at({ ago: 6000, node: { aloneSince: NOW / 1000 - 5 } }),
      'inconclusive',
      /not read since the old kube-proxy ended/,
    ],
    ['it was read after that', at({ ago: 4000, node: { aloneSince: NOW / 1000 - 5 } }), 'pass'],
    [
      'the kernel was read long ago',
      at({ ago: 121_000, node: { askedAt: ASKED - 600 } }),
      'inconclusive',
      /last read 121 s ago/,
    ],
    [
      'wrong, but read before the first sync',
      at({ rules: wrong, view: { synced: {} } }),
      'inconclusive',
      /before the first sync/,
    ],
    [
      'wrong, and nobody knows when its kube-proxy will answer',
      at({ rules: wrong, view: { synced: {}, proxy: { main: MUTE } } }, 'verify'),
      'fail',
      /error service shop\/web .* does not send to/,
    ],
    [
      'wrong, and its kube-proxy does not answer yet',
      at({ rules: wrong, view: { synced: {}, proxy: { main: MUTE } } }),
      'inconclusive',
      /before the first sync/,
    ],
    ['right, though read before the first sync', at({ view: { synced: {} } }), 'pass'],
    [
      'wrong, but the API is watched for a short time',
      at({ rules: wrong, truth: { since: NOW - 9000 } }),
      'inconclusive',
      /not been watched for long enough/,
    ],
    ['right after a short time', at({ truth: { since: NOW - 9000 } }), 'pass'],
    ['another mode was read', at({}, 'before-node'), 'inconclusive', /iptables rules in the kernel have not been read/],
    ['a node that nobody knows', at({ look: strange }), 'inconclusive', /node n1 is not known/],
    ['a node that joined since', at({ look: { ...strange, cluster: readOnly([JOINED]) } }), 'pass'],
  ]);
});

describe('many Services', () => {
  const more = Array.from({ length: 60 }, (_, i) => service({ clusterIPs: [`10.97.0.${i}`] }, { key: `shop/s${i}` }));
  const findings = async (moment: Look['moment']) =>
    (await kernelRules.look(at({ truth: { more } }, moment))).findings.map(f => `${f.subject} ${f.message}`);
  test('in a run the first fifty are named, to verify all', async () => {
    const inRun = await findings('after-node');
    expect(inRun).toHaveLength(51);
    expect(inRun.at(-1)).toBe('node n1 10 more Services wrong in nftables rules');
    expect(await findings('verify')).toHaveLength(60);
  });

  test('a Service with many addresses is named once', async () => {
    const ports = [1, 2, 3, 4, 5].map(port => ({ name: `p${port}`, port }));
    const [finding, ...others] = (
      await kernelRules.look(
        at({ truth: { more: [service({ ports, clusterIPs: ['10.97.0.1'] }, { key: 'shop/s' })] } }),
      )
    ).findings;
    expect(others).toEqual([]);
    expect(finding?.message).toMatch(/s:1\/TCP at \S+ has no rule.*s:3\/TCP.* and 2 more$/);
  });
});
