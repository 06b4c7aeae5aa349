import { describe, expect, test } from 'vitest';
import { takeNodes } from '../../src/cluster/inventory.ts';
import { status } from './api-server.ts';
import { CONTAINER, clusterOf, inventoryOf, type Json, node, pod, proxyPod, SYSTEM, says } from './world.ts';

describe('nodes', () => {
  test('with where they stand, what runs there and the mode that their kube-proxy says', async () => {
    const inventory = await inventoryOf({
      nodes: [
        node('b', { labels: { 'topology.kubernetes.io/zone': 'z1', 'proxyctl.dev/mode': 'nftables' } }),
        node('a', {
          labels: {
            'node-role.kubernetes.io/control-plane': '',
            'node.kubernetes.io/exclude-from-external-load-balancers': '',
          },
          spec: { unschedulable: true },
        }),
      ],
      pods: [
        proxyPod('p-a', 'a'),
        proxyPod('p-b', 'b'),
        pod('shop', 'w1', 'b'),
        pod('shop', 'w2', 'b', 'Pending'),
        pod('shop', 'w3', undefined, 'Pending'),
        pod('constructor', 'w4', 'b'),
        pod('shop', 'done', 'b', 'Succeeded'),
        pod('shop', 'failed', 'b', 'Failed'),
      ],
      logs: { 'p-a': says('iptables'), 'p-b': says('nftables') },
    });
    expect(inventory.takenAt).toBe('2026-01-01T00:00:00.000Z');
    expect(inventory.namespaces).toEqual([SYSTEM, 'shop']);
    const [a, b] = inventory.nodes;
    expect(a).toMatchObject({
      name: 'a',
      role: 'control-plane',
      loadBalancerTarget: false,
      unschedulable: true,
      mode: 'iptables',
      modeSource: 'kube-proxy log',
      pods: { [SYSTEM]: 1 },
    });
    expect(b).toMatchObject({
      name: 'b',
      role: 'worker',
      zone: 'z1',
      label: 'nftables',
      loadBalancerTarget: true,
      maxPods: 110,
      internalIPs: ['10.0.0.1'],
      mode: 'nftables',
      pods: { [SYSTEM]: 1, shop: 2, constructor: 1 },
      proxyPod: { name: 'p-b', daemonSet: 'kube-proxy', image: CONTAINER.image, ready: true, restarts: 2 },
    });
  });

  test('the mode is unknown when nobody could look: no pod, not ready, no log, a rotated log, Windows', async () => {
    const inventory = await inventoryOf({
      nodes: ['none', 'down', 'nolog', 'rotated', 'late', 'win'].map(n =>
        node(n, { ready: n !== 'down', os: n === 'win' ? 'windows' : 'linux' }),
      ),
      pods: ['down', 'nolog', 'rotated', 'late', 'win'].map(n => proxyPod(`p-${n}`, n)),
      logs: {
        'p-down': says('iptables'),
        'p-rotated': '"Syncing" \n',
        'p-late': `${'x'.repeat(16384)}${says('iptables')}`,
        'p-win': says('winkernel'),
      },
    });
    expect(new Set(inventory.nodes.map(n => `${n.mode}, ${n.modeSource}`))).toEqual(
      new Set(['unknown, not looked at']),
    );
    expect(inventory.nodes.find(n => n.name === 'win')?.os).toBe('windows');
  });

  test('without permission for logs the modes are unknown, and it is asked once, not for each node', async () => {
    const names = Array.from({ length: 100 }, (_, n) => `n${n}`);
    let asked = 0;
    const inventory = await inventoryOf(
      { nodes: names.map(n => node(n)), pods: names.map(n => proxyPod(`p-${n}`, n)) },
      api => {
        for (const n of names) {
          api.on(`GET /api/v1/namespaces/${SYSTEM}/pods/p-${n}/log`, () => {
            asked++;
            return status(403, 'Forbidden', 'no');
          });
        }
      },
    );
    expect(new Set(inventory.nodes.map(n => n.mode))).toEqual(new Set(['unknown']));
    expect(asked).toBeLessThanOrEqual(16);
  });

  test('of several kube-proxies on a node the new one counts, and never our warm one', async () => {
    const labels = (part: string) => ({ 'proxyctl.dev/part': part });
    const warm = proxyPod('warm', 'a', {
      labels: labels('warm'),
      metadata: { creationTimestamp: '2025-03-01T00:00:00Z' },
    });
    const inventory = await inventoryOf({
      nodes: [node('a')],
      pods: [
        proxyPod('new', 'a', { owner: 'kube-proxy-nftables', labels: { 'k8s-app': 'x', ...labels('proxy') } }),
        proxyPod('old', 'a', {
          metadata: { deletionTimestamp: '2025-02-01T00:00:00Z', creationTimestamp: '2025-02-01T00:00:00Z' },
        }),
        warm,
      ],
      logs: { new: says('nftables'), old: says('iptables'), warm: says('ipvs') },
    });
    expect(inventory.nodes[0]).toMatchObject({
      mode: 'nftables',
      proxyPod: { name: 'new', daemonSet: 'kube-proxy-nftables' },
    });
  });
});

describe('nodes alone', () => {
  const names = Array.from({ length: 100 }, (_, n) => `n${n}`);
  const startedAt = (n: number) => ({ running: { startedAt: `2025-01-01T00:${String(n % 60).padStart(2, '0')}:00Z` } });
  /** n99 was restarted last, and is in another mode. */
  const world = () => ({
    nodes: names.map(n => node(n)),
    pods: [
      ...names.map((n, i) => {
        const made = proxyPod(`p-${n}`, n);
        made.status.containerStatuses[0].state = n === 'n99' ? { running: { startedAt: '2026' } } : startedAt(i);
        return made;
      }),
      pod('shop', 'w1', 'n1'),
    ],
    logs: Object.fromEntries(names.map(n => [`p-${n}`, says(n === 'n99' ? 'nftables' : 'iptables')])),
  });
  const nothingElse: Parameters<typeof clusterOf>[1] = api => {
    for (const path of ['pods', 'services', 'namespaces'])
      api.on(`GET /api/v1/${path}`, () => status(500, 'InternalError', `nobody needs ${path}`));
    api.on('GET /apis/discovery.k8s.io/v1/endpointslices', () => status(500, 'InternalError', 'nobody needs slices'));
  };

  test('take neither Services nor pods of others, and ask some kube-proxies for their mode, of all ages', async () => {
    const { nodes, proxy } = await takeNodes(await clusterOf(world(), nothingElse), 5, 'n50');
    expect(nodes).toHaveLength(100);
    expect(proxy.configMap?.name).toBe('proxy-config');
    const known = nodes.filter(n => n.mode !== 'unknown');
    expect(known).toHaveLength(6);
    expect(known.map(n => [n.name, n.mode])).toContainEqual(['n50', 'iptables']);
    expect(known.map(n => [n.name, n.mode])).toContainEqual(['n99', 'nftables']);
  });

  test('know all modes of a small cluster, as an inventory does', async () => {
    const { nodes } = await takeNodes(await clusterOf(world(), nothingElse), 100);
    const modes = nodes.map(n => [n.name, n.mode]);
    expect(modes).toEqual((await inventoryOf(world())).nodes.map(n => [n.name, n.mode]));
    expect(new Set(modes.map(([, mode]) => mode))).toEqual(new Set(['iptables', 'nftables']));
  });

  test('are served by nobody where Cilium replaces kube-proxy, however many they are', async () => {
    const cilium = { 'cilium-config': { data: { 'kube-proxy-replacement': 'true' } } };
    const nodes = names.map(n => node(n));
    const found = await takeNodes(await clusterOf({ nodes, daemonSets: [], configMaps: cilium }, nothingElse), 5);
    expect(new Set(found.nodes.map(n => n.mode))).toEqual(new Set(['none']));
  });
});

describe('services', () => {
  const service = (name: string, spec: Json, labels: Json = {}, loadBalancer: Json = {}): Json => ({
    metadata: { namespace: 'shop', name, labels },
    spec,
    status: { loadBalancer },
  });
  const slice = (name: string, addressType: string, endpoints: Json[], labels: Json = {}): Json => ({
    metadata: {
      namespace: 'shop',
      name: `${name}-${addressType}`,
      labels: { 'kubernetes.io/service-name': name, ...labels },
    },
    addressType,
    endpoints,
  });
  const one = async (spec: Json, slices: Json[] = [], labels: Json = {}, loadBalancer: Json = {}) =>
    (await inventoryOf({ services: [service('web', spec, labels, loadBalancer)], slices })).services[0];

  test('a load balancer with all its fields', async () => {
    const spec = {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.1',
      clusterIPs: ['10.96.0.1', 'fd00::1'],
      externalIPs: ['1.2.3.4'],
      ports: [
        { name: 'http', port: 80, nodePort: 30080 },
        { port: 53, protocol: 'UDP' },
      ],
      externalTrafficPolicy: 'Local',
      sessionAffinity: 'ClientIP',
      loadBalancerSourceRanges: ['10.0.0.0/8'],
      healthCheckNodePort: 31000,
    };
    const ingress = [
      { ip: '5.5.5.5' },
      { ip: '6.6.6.6', ipMode: 'Proxy' },
      { ip: '7.7.7.7', ipMode: 'VIP' },
      { hostname: 'x' },
    ];
    expect(await one(spec, [], {}, { ingress })).toEqual({
      namespace: 'shop',
      name: 'web',
      type: 'LoadBalancer',
      proxied: true,
      clusterIPs: ['10.96.0.1', 'fd00::1'],
      externalIPs: ['1.2.3.4'],
      loadBalancerIPs: ['5.5.5.5', '7.7.7.7'],
      ports: [
        { name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 },
        { name: '', port: 53, protocol: 'UDP' },
      ],
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'ClientIP',
      sourceRanges: ['10.0.0.0/8'],
      healthCheckNodePort: 31000,
      readyByNode: {},
      endpoints: 0,
    });
  });

  test.each([
    ['headless', { clusterIP: 'None', clusterIPs: ['None'] }, {}],
    ['an ExternalName', { type: 'ExternalName', externalName: 'x' }, {}],
    ['of another proxy', { clusterIP: '10.96.0.1' }, { 'service.kubernetes.io/service-proxy-name': 'x' }],
  ])('nothing is programmed for one that is %s', async (_name, spec, labels) => {
    expect((await one(spec, [], labels))?.proxied).toBe(false);
  });

  test('endpoints are counted once, by node, in one family', async () => {
    const spec = { clusterIP: '10.96.0.1', ipFamilies: ['IPv4', 'IPv6'] };
    const facts = await one(spec, [
      slice('web', 'IPv6', [{ addresses: ['fd::1'], nodeName: 'a' }]),
      slice('web', 'IPv4', [
        { addresses: ['10.1.0.1'], nodeName: 'a', conditions: { ready: true } },
        { addresses: ['10.1.0.2'], nodeName: 'a', conditions: {} },
        { addresses: ['10.1.0.3'], nodeName: 'b', conditions: { ready: false } },
        { addresses: ['10.1.0.4'] },
      ]),
      slice('web', 'IPv4', [{ addresses: ['10.1.0.1'], nodeName: 'a', conditions: { ready: true } }]),
      slice('web', 'IPv4', [{ addresses: ['10.9.9.9'], nodeName: 'a' }], { 'service.kubernetes.io/headless': '' }),
    ]);
    expect(facts).toMatchObject({ readyByNode: { a: 2, '': 1 }, endpoints: 4 });
  });
});

test('what cannot be read is said with its place', async () => {
  const services = [{ metadata: { namespace: 'shop', name: 'x' }, spec: { type: 'Teleport' } }];
  await expect(inventoryOf({ services })).rejects.toThrow(
    /^the cluster holds what this version cannot read: services\.0\.type/,
  );
});

test('a missing permission for a list is an error that names it', async () => {
  const message = 'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope';
  const taken = inventoryOf({}, api => api.on('GET /api/v1/nodes', () => status(403, 'Forbidden', message)));
  await expect(taken).rejects.toThrow('missing permission: list nodes');
});
