import { describe, expect, test } from 'vitest';
import { apiService, apiSlice } from '../../src/core/api-services.ts';
import type { KubeObject } from '../../src/core/cluster.ts';
import { expectedRules, type RulePlace } from '../../src/core/expected-rules.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { hintUse } from '../../src/core/topology-hints.ts';
import { PLACE, type Pod, reduced, reducedSlice, service, slice } from './api-objects.ts';

const TWO: Pod[] = [
  { ip: '10.0.0.1', node: 'n1' },
  { ip: '10.0.0.2', node: 'n2' },
];
const [HERE, THERE] = ['10.0.0.1:8080', '10.0.0.2:8080'];
const NODE_PORT = [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }];

/** Rules by key, without the key. */
function rules(of: KubeObject, slices: KubeObject[], over: Partial<RulePlace> = {}) {
  const version = { service: reduced(of), slices: slices.map(reducedSlice) };
  const found = expectedRules({ ...PLACE, ...over })(version);
  return Object.fromEntries(found.map(({ rule: { key, ...rest } }) => [key, rest]));
}
/** What clients of the cluster IP reach. */
const inside = (of: KubeObject, slices: KubeObject[], over: Partial<RulePlace> = {}) =>
  rules(of, slices, over)['10.96.0.10:80/TCP'];

describe('what kube-proxy does not serve', () => {
  test.each([
    ['headless', service({ clusterIP: 'None' })],
    ['no address yet', service({ clusterIP: '' })],
    ['ExternalName', service({ type: 'ExternalName' })],
    ['another proxy', service({}, { labels: { 'service.kubernetes.io/service-proxy-name': '' } })],
  ])('%s', (_, object) => expect(apiService(object)).toBeUndefined());

  test.each([
    ['of no Service', slice([], { metadata: { namespace: 'shop', name: 'x' } })],
    ['of names', slice([], { addressType: 'FQDN' })],
  ])('a slice %s', (_, object) => expect(apiSlice(object)).toBeUndefined());
});

describe('which endpoints', () => {
  const ending = { ready: false, serving: true, terminating: true };
  test.each<[string, Pod[], string[]]>([
    ['all that are ready; ready is what says nothing', [...TWO, { ip: '10.0.0.3', ready: false }], [HERE, THERE]],
    ['null is ready', [{ ip: '10.0.0.1', ready: null }], [HERE]],
    ['none that end while others are ready', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2', ...ending }], [HERE]],
    [
      'those that end and still serve when no other is left',
      [
        { ip: '10.0.0.1', ready: false },
        { ip: '10.0.0.2', ...ending },
      ],
      [THERE],
    ],
    ['none that end and serve no more', [{ ip: '10.0.0.1', ...ending, serving: false }], []],
    ['all where a ready one has no hint', [{ ip: '10.0.0.1', zones: ['a'] }, { ip: '10.0.0.2' }], [HERE, THERE]],
    [
      'those of the zone',
      [
        { ip: '10.0.0.1', zones: ['a', 'c'] },
        { ip: '10.0.0.2', zones: ['b'] },
      ],
      [HERE],
    ],
    [
      'all when none is hinted for the zone',
      [
        { ip: '10.0.0.1', zones: ['c'] },
        { ip: '10.0.0.2', zones: ['b'] },
      ],
      [HERE, THERE],
    ],
    [
      'hints of those not ready do not count',
      [
        { ip: '10.0.0.1', zones: ['a'] },
        { ip: '10.0.0.2', ready: false },
      ],
      [HERE],
    ],
    [
      'those of the node before those of the zone',
      [
        { ip: '10.0.0.1', zones: ['a'], nodes: ['n1'] },
        { ip: '10.0.0.2', zones: ['a'], nodes: ['n2'] },
      ],
      [HERE],
    ],
    [
      'those of the zone when none is for the node',
      [
        { ip: '10.0.0.1', zones: ['a'], nodes: ['n9'] },
        { ip: '10.0.0.2', zones: ['b'], nodes: ['n2'] },
      ],
      [HERE],
    ],
  ])('%s', (_, pods, endpoints) => {
    expect(inside(service(), [slice(pods)])).toEqual(
      endpoints.length > 0 ? { endpoints } : { endpoints, empty: 'reject' },
    );
  });

  const byNode: Pod[] = [
    { ip: '10.0.0.1', zones: ['b'], nodes: ['n1'] },
    { ip: '10.0.0.2', zones: ['a'], nodes: ['n2'] },
  ];
  const byZone: Pod[] = [
    { ip: '10.0.0.1', zones: ['a'] },
    { ip: '10.0.0.2', zones: ['b'] },
  ];
  const auto = { 'service.kubernetes.io/topology-mode': 'Auto' };
  const older = { 'service.kubernetes.io/topology-aware-hints': 'auto' };
  const off = { 'service.kubernetes.io/topology-mode': 'Disabled' };
  test.each<[string, string[], Pod[], Parameters<typeof hintUse>, Record<string, string>?]>([
    ['1.36, by node', [HERE], byNode, []],
    ['1.34, by node', [HERE], byNode, [[1, 34]]],
    ['1.34 with the gate off: by zone', [THERE], byNode, [[1, 34], { PreferSameTrafficDistribution: false }]],
    ['1.35, where the gate is fixed', [HERE], byNode, [[1, 35], { PreferSameTrafficDistribution: false }]],
    ['1.33: by zone', [THERE], byNode, [[1, 33]]],
    ['1.33 with the gate on', [HERE], byNode, [[1, 33], { PreferSameTrafficDistribution: true }]],
    ['1.32, which knows no such gate', [THERE], byNode, [[1, 32], { PreferSameTrafficDistribution: true }]],
    ['1.31, by zone', [HERE], byZone, [[1, 31]]],
    ['1.31 with the gate off', [HERE, THERE], byZone, [[1, 31], { ServiceTrafficDistribution: false }]],
    ['1.30: all', [HERE, THERE], byZone, [[1, 30]]],
    ['1.30 with the gate on', [HERE], byZone, [[1, 30], { ServiceTrafficDistribution: true }]],
    ['1.30, annotated', [HERE], byZone, [[1, 30]], auto],
    ['1.29, annotated as of old', [HERE], byZone, [[1, 29]], older],
    ['1.29, annotated not to', [HERE, THERE], byZone, [[1, 29]], off],
    ['1.29 without hints at all', [HERE, THERE], byZone, [[1, 29], { TopologyAwareHints: false }], auto],
    ['2.0, as the newest', [HERE], byNode, [[2, 0]]],
  ])('hints in kube-proxy %s', (_, endpoints, pods, use, annotations = {}) => {
    const of = service();
    const annotated = { ...of, metadata: { ...of.metadata, annotations } };
    expect(inside(annotated, [slice(pods)], { hints: hintUse(...use) })).toEqual({ endpoints });
  });

  test('ports are joined by name and protocol, each slice with its own number', () => {
    const ports = [
      { name: 'http', port: 80, protocol: 'TCP' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const other = slice(
      [{ ip: '10.0.0.2' }],
      {
        ports: [
          { name: 'http', port: 9090 },
          { name: 'dns', port: 53, protocol: 'TCP' },
        ],
      },
      'web-2',
    );
    expect(rules(service({ ports }), [slice([{ ip: '10.0.0.1' }]), other])).toEqual({
      '10.96.0.10:80/TCP': { endpoints: [HERE, '10.0.0.2:9090'] },
      '10.96.0.10:53/UDP': { endpoints: [], empty: 'reject' },
    });
  });

  test('one that stands in two slices is there once, as the one that does not end', () => {
    const slices = [slice([{ ip: '10.0.0.1', ...ending }]), slice([{ ip: '10.0.0.1' }], {}, 'web-2')];
    expect(inside(service(), slices)).toEqual({ endpoints: [HERE] });
    expect(inside(service(), slices.toReversed())).toEqual({ endpoints: [HERE] });
  });
});

describe('policies', () => {
  const local = { internalTrafficPolicy: 'Local' };
  const far = [slice([{ ip: '10.0.0.2', node: 'n2' }])];
  test('internal Local keeps to the node, and drops without endpoints there', () => {
    expect(inside(service(local), [slice(TWO)])).toEqual({ endpoints: [HERE] });
    expect(inside(service(local), far)).toEqual({ endpoints: [], empty: 'drop' });
    expect(inside(service(local), [])).toEqual({ endpoints: [], empty: 'reject' });
  });

  test('in ipvs internal Local goes elsewhere only where clients from outside could', () => {
    expect(inside(service(local), far, { mode: 'ipvs' })).toEqual({ endpoints: [], empty: 'reject' });
    const external = service({ ...local, type: 'NodePort', ports: NODE_PORT });
    expect(inside(external, far, { mode: 'ipvs' })).toEqual({ endpoints: [THERE] });
    expect(inside(external, far)).toEqual({ endpoints: [], empty: 'drop' });
  });

  const outside = { type: 'NodePort', ports: NODE_PORT, externalTrafficPolicy: 'Local' };
  test('external Local tells clients within the cluster from others', () => {
    expect(rules(service(outside), [slice(TWO)])).toEqual({
      '10.96.0.10:80/TCP': { endpoints: [HERE, THERE] },
      '0.0.0.0:30080/TCP': { endpoints: [HERE], fromCluster: [HERE, THERE] },
    });
    expect(rules(service(outside), far)['0.0.0.0:30080/TCP']).toEqual({
      endpoints: [],
      empty: 'drop',
      fromCluster: [THERE],
    });
    expect(rules(service(outside), [])['0.0.0.0:30080/TCP']).toEqual({ endpoints: [], empty: 'reject' });
  });

  test('in ipvs it does not, and knows no drop', () => {
    const ipvs = { mode: 'ipvs' as const };
    expect(rules(service(outside), [slice(TWO)], ipvs)['0.0.0.0:30080/TCP']).toEqual({ endpoints: [HERE] });
    expect(rules(service(outside), far, ipvs)['0.0.0.0:30080/TCP']).toEqual({ endpoints: [THERE] });
  });

  test('external Local means nothing without anything external', () => {
    expect(inside(service({ externalTrafficPolicy: 'Local' }), [slice(TWO)])).toEqual({ endpoints: [HERE, THERE] });
  });

  test('session affinity has its seconds, the default where none are said', () => {
    const affinity = (config: object) => inside(service({ sessionAffinity: 'ClientIP', ...config }), [slice(TWO)]);
    expect(affinity({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } })).toMatchObject({
      affinitySeconds: 60,
    });
    expect(affinity({})).toMatchObject({ affinitySeconds: 10_800 });
  });
});

describe('addresses', () => {
  const ingress = (...list: object[]) => ({ status: { loadBalancer: { ingress: list } } });
  test('external and load balancer addresses; not those a proxying load balancer passes on', () => {
    const balanced = service(
      { type: 'LoadBalancer', externalIPs: ['192.0.2.1'], ports: NODE_PORT },
      ingress({ ip: '192.0.2.9' }, { ip: '192.0.2.8', ipMode: 'Proxy' }, { hostname: 'lb.example.com' }),
    );
    const keys = ['10.96.0.10:80/TCP', '192.0.2.1:80/TCP', '192.0.2.9:80/TCP', '0.0.0.0:30080/TCP'];
    expect(Object.keys(rules(balanced, [slice(TWO)]))).toEqual(keys);
    const options = ruleOptions({ featureGates: { AllowServiceExternalIPs: false } });
    expect(Object.keys(rules(balanced, [slice(TWO)], { options }))).toEqual(keys.toSpliced(1, 1));
  });

  test('source ranges hold for the load balancer address alone; one that holds everybody is none', () => {
    const ranged = (...loadBalancerSourceRanges: string[]) =>
      rules(
        service({ type: 'LoadBalancer', ports: NODE_PORT, loadBalancerSourceRanges }, ingress({ ip: '192.0.2.9' })),
        [slice(TWO)],
      );
    expect(ranged(' 10.1.2.3/8', 'fd00::/8', 'nonsense')).toEqual({
      '10.96.0.10:80/TCP': { endpoints: [HERE, THERE] },
      '192.0.2.9:80/TCP': { endpoints: [HERE, THERE], sourceRanges: ['10.0.0.0/8'] },
      '0.0.0.0:30080/TCP': { endpoints: [HERE, THERE] },
    });
    expect(ranged('10.0.0.0/8', '0.0.0.0/0')['192.0.2.9:80/TCP']).toEqual({ endpoints: [HERE, THERE] });
  });

  test('dual stack: each family has its own addresses and endpoints', () => {
    const dual = service({ clusterIPs: ['10.96.0.10', 'fd00:0::10'], ipFamilies: ['IPv4', 'IPv6'], ports: NODE_PORT });
    const six = slice([{ ip: 'fd00:1::0001' }], { addressType: 'IPv6' }, 'web-6');
    expect(rules(dual, [slice([{ ip: '10.0.0.1' }]), six])).toEqual({
      '10.96.0.10:80/TCP': { endpoints: [HERE] },
      '0.0.0.0:30080/TCP': { endpoints: [HERE] },
      '[fd00::10]:80/TCP': { endpoints: ['[fd00:1::1]:8080'] },
      '[::]:30080/TCP': { endpoints: ['[fd00:1::1]:8080'] },
    });
    expect(Object.keys(rules(dual, [], { families: ['IPv4'] }))).toEqual(['10.96.0.10:80/TCP', '0.0.0.0:30080/TCP']);
  });

  test.each([
    ['none', [], undefined],
    ['primary', ['primary'], undefined],
    ['one that holds the node', ['10.0.0.0/8', '192.168.0.0/16'], undefined],
    ['all', ['0.0.0.0/0'], undefined],
    ['one in which no known address of the node lies', ['10.0.0.0/8'], true],
  ])('nodePortAddresses: %s', (_, nodePortAddresses, optional) => {
    const options = { ...PLACE.options, nodePortAddresses };
    const found = expectedRules({ ...PLACE, options })({ service: reduced(service({ ports: NODE_PORT })), slices: [] });
    expect(found.map(entry => entry.optional)).toEqual([undefined, optional]);
  });

  test.each([
    ['of IPv4 alone', ['10.0.0.0/8'], [undefined, true, undefined, undefined]],
    ['of IPv6 alone', ['fd99::/16'], [undefined, undefined, undefined, true]],
  ])('nodePortAddresses %s: those of the other family answer everywhere', (_, nodePortAddresses, optional) => {
    const options = { ...PLACE.options, nodePortAddresses };
    const dual = service({ clusterIPs: ['10.96.0.10', 'fd00::10'], ipFamilies: ['IPv4', 'IPv6'], ports: NODE_PORT });
    const found = expectedRules({ ...PLACE, options })({ service: reduced(dual), slices: [] });
    expect(found.map(entry => entry.optional)).toEqual(optional);
  });
});

test('nodes share what does not depend on them, and nothing else', () => {
  const version = { service: reduced(service()), slices: [reducedSlice(slice(TWO))] };
  const on = (node: string, of = version) => expectedRules({ ...PLACE, node, zone: node })(of);
  expect(on('n1')).toBe(on('n2'));
  expect(on('n1')).not.toBe(expectedRules({ ...PLACE, mode: 'iptables' })(version));
  const hinted = { ...version, slices: [reducedSlice(slice(TWO.map(pod => ({ ...pod, zones: [pod.node ?? ''] }))))] };
  expect(on('n1', hinted)[0]?.rule.endpoints).toEqual([HERE]);
  expect(on('n2', hinted)[0]?.rule.endpoints).toEqual([THERE]);
});

test('ruleOptions reads durations and ranges, and takes defaults for the rest', () => {
  expect(ruleOptions({})).toEqual({
    nodePortAddresses: [],
    bound: '',
    excludeCIDRs: [],
    externalIPs: true,
    featureGates: {},
    minSyncSeconds: 1,
  });
  for (const bindAddress of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0']) expect(ruleOptions({ bindAddress }).bound).toBe('');
  const config = {
    bindAddress: 'FD00:0::1',
    featureGates: { PreferSameTrafficDistribution: false, odd: 'x' },
    iptables: { minSyncPeriod: '1m0.5s' },
    ipvs: { excludeCIDRs: ['10.0.0.0/8'], minSyncPeriod: '500ms' },
  };
  expect(ruleOptions(config)).toMatchObject({
    bound: 'fd00::1',
    excludeCIDRs: ['10.0.0.0/8'],
    featureGates: { PreferSameTrafficDistribution: false },
    minSyncSeconds: 60.5,
  });
});
