import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/core/errors.ts';
import { exposureOf } from '../../src/core/exposure.ts';
import { planIdOf, verifyPlan } from '../../src/core/fingerprint.ts';
import type { NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import { Plan } from '../../src/core/plan.ts';
import { type PlanInput, planMigration } from '../../src/core/planner.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES, sha256 } from './cluster-data.ts';

const services = [
  ...SYSTEM_SERVICES,
  makeService('shop/web', { endpoints: 2 }),
  makeService('shop/db', { endpoints: 1 }),
  makeService('pay/api', { endpoints: 1 }),
  makeService('kube-system/metrics'),
];
const nodes = () => [
  makeNode('cp', { role: 'control-plane', pods: { 'kube-system': 5 } }),
  makeNode('node1', { pods: { 'kube-system': 2, shop: 1, pay: 1 } }),
  makeNode('node2', { pods: { 'kube-system': 2, shop: 1 } }),
  makeNode('node3', { pods: { 'kube-system': 2 } }),
];

function plan(
  change: Partial<PlanInput> & { nodes?: NodeFacts[]; services?: ServiceFacts[]; book?: object } = {},
): Plan {
  return planMigration({
    inventory: makeInventory(change.nodes ?? nodes(), change.services ?? services),
    playbook: makePlaybook(change.book ?? {}),
    to: 'nftables',
    driver: 'daemonset',
    madeAt: '2026-01-02T03:04:05Z',
    hash: sha256,
    ...change,
  });
}

const order = (made: Plan) => made.batches.map(batch => batch.nodes.map(node => node.name));
const skips = (made: Plan) => Object.fromEntries(made.skipped.map(({ name, why }) => [name, why]));

describe('planMigration', () => {
  it('sends the smallest exposure first and the control plane last, and says what each batch exposes', () => {
    const made = plan();
    expect(order(made)).toEqual([['node3'], ['node2', 'node1'], ['cp']]);
    expect(made.batches.map(batch => batch.services)).toEqual([
      ['default/kubernetes', 'kube-system/kube-dns', 'kube-system/metrics'],
      ['pay/api', 'shop/db', 'shop/web'],
      [],
    ]);
    expect(made.batches.map(batch => batch.namespaces)).toEqual([['default', 'kube-system'], ['pay', 'shop'], []]);
    expect(made.batches.map(batch => batch.exposedAfter)).toEqual([3, 6, 6]);
    expect(made.batches.map(batch => batch.id)).toEqual(['batch-1', 'batch-2', 'batch-3']);
    expect(made.everywhere).toEqual(['default/kubernetes', 'kube-system/kube-dns']);
    expect(made.lowerBound).toBe(3);
    expect(made.families).toEqual(['IPv4']);
  });

  it('is data by its schema, and the same data for the same values in any order', () => {
    const made = plan();
    expect(Plan.parse(JSON.parse(JSON.stringify(made)))).toEqual(made);
    expect(plan({ nodes: nodes().toReversed(), services: services.toReversed() })).toEqual(made);
    expect(made.id).toBe(planIdOf(made, sha256));
  });

  it('holds the caps that were used, whether from the playbook or beside it', () => {
    const made = plan({ book: { batch: { services: 7, nodes: 1 } }, batch: { services: 3 } });
    expect(made.playbook.batch).toEqual({ services: 3, nodes: 1 });
    expect(made.playbook.to).toBe('nftables');
    expect(order(made)).toEqual([['node3'], ['node2'], ['node1'], ['cp']]);
    expect(() => plan({ batch: { nodes: 0 } })).toThrow(/batch\.nodes must be a whole number above 0/);
  });

  it('rehearses the way back on the canary where that is wanted, and counts its time', () => {
    const [usual] = plan().batches;
    const made = plan({ book: { rehearse: 'canary' } });
    expect(made.batches.map(batch => batch.rehearses)).toEqual(['node3', undefined, undefined]);
    expect(made.batches[0]?.estimate).toBeGreaterThan(2.9 * (usual?.estimate ?? 0));
    expect(made.batches.slice(1)).toEqual(plan().batches.slice(1));
    expect(plan({ book: { rehearse: 'canary' }, begun: new Set(['node3']) }).batches.map(b => b.rehearses)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('names nodes without a way back, and a rehearsal that can prove none', () => {
    const old = { osImage: 'AlmaLinux 10.1' };
    const mixed = nodes().map(node => (node.name === 'node3' ? { ...node, ...old } : node));
    const named = (made: Plan) => made.batches.flatMap(b => b.nodes.flatMap(n => (n.oneWay ? [n.name] : [])));
    expect(named(plan())).toEqual([]);
    expect(named(plan({ nodes: mixed }))).toEqual(['node3']);
    expect(named(plan({ proxyConfig: { mode: 'ipvs' } })).sort()).toEqual(['cp', 'node1', 'node2', 'node3']);
    const note = 'the way back is rehearsed on node3, which has none: name another node in order.canary';
    expect(plan({ nodes: mixed, book: { rehearse: 'canary' } }).notes).toContain(note);
    expect(plan({ book: { rehearse: 'canary' } }).notes).not.toContain(note);
  });

  it('marks a node that is over the cap alone', () => {
    const made = plan({ batch: { services: 1 } });
    expect(made.batches.map(batch => [batch.nodes.length, batch.services.length, batch.overCap])).toEqual([
      [1, 3, true],
      [1, 2, true],
      [1, 1, false],
      [1, 0, false],
    ]);
    expect(made.batches[1]?.nodes[0]?.why).toBe('exposes 2 Services alone, over the cap');
  });

  it('leaves nodes alone and says why', () => {
    const made = plan({
      nodes: [
        makeNode('done', { mode: 'nftables' }),
        makeNode('down', { ready: false }),
        makeNode('out'),
        makeNode('win', { os: 'windows' }),
        makeNode('bpf', { mode: 'none' }),
        makeNode('other', { mode: 'ipvs' }),
        makeNode('go'),
      ],
      book: { from: 'iptables', order: { exclude: ['out', 'ghost'] } },
    });
    expect(order(made)).toEqual([['go']]);
    expect(skips(made)).toEqual({
      bpf: 'another program serves Services there',
      done: 'already in nftables',
      down: 'not Ready',
      other: 'in ipvs, the playbook moves from iptables',
      out: 'excluded by the playbook',
      win: 'Windows',
    });
    expect(made.notes.join('\n')).toMatch(/left alone because the playbook moves nodes from iptables: other/);
    expect(made.notes.join('\n')).toMatch(/order\.exclude names nodes that are not there: ghost/);
  });

  it('is a plan without batches when there is nothing to do', () => {
    const made = plan({ nodes: [makeNode('a', { mode: 'nftables' })] });
    expect(made.batches).toEqual([]);
    expect(made.lowerBound).toBe(0);
    expect(Plan.safeParse(made).success).toBe(true);
  });

  it('keeps each node its own mode to come from', () => {
    const made = plan({ nodes: [makeNode('a'), makeNode('b', { mode: 'ipvs' })] });
    expect(made.batches.flatMap(batch => batch.nodes.map(node => [node.name, node.from]))).toEqual([
      ['a', 'iptables'],
      ['b', 'ipvs'],
    ]);
  });

  it('takes nodes of unknown mode in, from the playbook or from what all others are in', () => {
    const unknown = makeNode('x', { mode: 'unknown', modeSource: 'not looked at' });
    const from = (made: Plan) => made.batches.flatMap(batch => batch.nodes).find(node => node.name === 'x')?.from;
    expect(from(plan({ nodes: [unknown, makeNode('a', { mode: 'ipvs' })] }))).toBe('ipvs');
    const given = plan({ nodes: [unknown, makeNode('a'), makeNode('b', { mode: 'ipvs' })], book: { from: 'ipvs' } });
    expect(from(given)).toBe('ipvs');
    expect(given.notes.join()).toMatch(/the mode of x is not known: ipvs is assumed/);
  });

  it.each([
    ['nobody knows', []],
    ['the others differ', [makeNode('a'), makeNode('b', { mode: 'ipvs' })]],
    ['the others are done', [makeNode('a', { mode: 'nftables' })]],
  ])('asks for `from` when a mode is unknown and %s', (_, others) => {
    const unknown = makeNode('x', { mode: 'unknown' });
    expect(() => plan({ nodes: [unknown, ...others] })).toThrow(
      /mode of node x is not known.*give `from` in the playbook/,
    );
    expect(() => plan({ nodes: [unknown, ...others] })).toThrow(expect.objectContaining({ exitCode: EXIT.usage }));
  });

  it('refuses a playbook that moves nodes to where they come from', () => {
    expect(() => plan({ book: { from: 'nftables' } })).toThrow(expect.objectContaining({ exitCode: EXIT.usage }));
  });

  it('takes the canary that is given, alone, even from the control plane', () => {
    const made = plan({ book: { order: { canary: 'cp' } } });
    expect(order(made)[0]).toEqual(['cp']);
    expect(made.batches[0]?.nodes[0]?.why).toBe('canary, as the playbook says');
    expect(() => plan({ book: { order: { canary: 'nobody' } } })).toThrow(/there is no node nobody/);
  });

  it('chooses another canary when the given one is left alone, and says so', () => {
    const made = plan({
      nodes: [makeNode('a', { mode: 'nftables' }), makeNode('b')],
      book: { order: { canary: 'a' } },
    });
    expect(order(made)).toEqual([['b']]);
    expect(made.notes.join()).toMatch(/canary a is left alone \(already in nftables\); b goes first/);
  });

  it('takes any node as canary on a cluster of one role', () => {
    expect(
      order(plan({ nodes: [makeNode('cp2', { role: 'control-plane' }), makeNode('cp1', { role: 'control-plane' })] })),
    ).toEqual([['cp1'], ['cp2']]);
  });

  it('exposes last namespaces late, and says when it cannot', () => {
    const made = plan({ book: { order: { lastNamespaces: ['shop', 'kube-system', 'nowhere'] } }, batch: { nodes: 1 } });
    expect(made.notes.join('\n')).toMatch(/reached from everywhere, so exposed at once: kube-system/);
    expect(made.notes.join('\n')).toMatch(/lastNamespaces names namespaces that are not there: nowhere/);
    const late = plan({
      nodes: [
        makeNode('a', { pods: { shop: 1 } }),
        makeNode('b', { pods: { pay: 1, other: 1 } }),
        makeNode('c', { pods: { pay: 1 } }),
      ],
      services: [makeService('shop/web'), makeService('pay/one'), makeService('pay/two'), makeService('other/one')],
      book: { order: { lastNamespaces: ['shop'] } },
      batch: { nodes: 1 },
    });
    expect(order(late)).toEqual([['c'], ['b'], ['a']]);
    expect(late.batches[2]?.nodes[0]?.why).toBe('exposes a last namespace');
  });

  it('says when nodes without a zone escape the limit of zones', () => {
    expect(plan({ book: { order: { nodesPerZone: 1 } } }).notes.join()).toMatch(
      /does not limit 4 nodes without a zone/,
    );
  });

  it('estimates more for more nodes and for leaving ipvs', () => {
    const one = plan({ nodes: [makeNode('a')] }).batches[0]?.estimate ?? 0;
    const ipvs = plan({ nodes: [makeNode('a', { mode: 'ipvs' })] }).batches[0]?.estimate ?? 0;
    expect(one).toBeGreaterThanOrEqual(45);
    expect(ipvs).toBe(one + 30);
  });

  it('plans 5,000 nodes and 10,000 Services', () => {
    const many = Array.from({ length: 5000 }, (_, i) =>
      makeNode(`node${i}`, {
        loadBalancerTarget: i > 2,
        role: i > 2 ? 'worker' : 'control-plane',
        pods: Object.fromEntries(Array.from({ length: 20 }, (_, j) => [`ns${(i * 31 + j * j * 17) % 1000}`, 1])),
      }),
    );
    const all = Array.from({ length: 10_000 }, (_, i) =>
      makeService(`ns${i % 1000}/svc${i}`, i % 50 === 0 ? { type: 'NodePort', endpoints: 3 } : { endpoints: 3 }),
    );
    const made = plan({ nodes: many, services: all });
    expect(made.batches.reduce((sum, batch) => sum + batch.nodes.length, 0)).toBe(5000);
    expect(
      made.batches.every(batch => batch.services.length <= 50 || (batch.overCap && batch.nodes.length === 1)),
    ).toBe(true);
    expect(made.batches.length).toBeLessThanOrEqual(3 * made.lowerBound + 1);
  });

  it('keeps its promises on any cluster: caps, every node once, Services told once', () => {
    const names = fc.constantFrom('shop', 'pay', 'kube-system', 'db', 'web');
    const node = fc.record({
      role: fc.constantFrom('worker' as const, 'worker' as const, 'control-plane' as const),
      ready: fc.boolean(),
      loadBalancerTarget: fc.boolean(),
      mode: fc.constantFrom('iptables' as const, 'ipvs' as const, 'nftables' as const, 'none' as const),
      pods: fc.dictionary(names, fc.integer({ min: 0, max: 2 })),
    });
    const service = fc.record({
      namespace: names,
      type: fc.constantFrom('ClusterIP' as const, 'NodePort' as const, 'LoadBalancer' as const),
      externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
      proxied: fc.boolean(),
      readyByNode: fc.dictionary(fc.constantFrom('node0', 'node1', 'node2'), fc.integer({ min: 0, max: 1 })),
    });
    fc.assert(
      fc.property(
        fc.array(node, { maxLength: 8 }),
        fc.array(service, { maxLength: 12 }),
        fc.integer({ min: 1, max: 6 }),
        (someNodes, some, cap) => {
          const given = someNodes.map((change, i) => makeNode(`node${i}`, change));
          const all = [
            ...SYSTEM_SERVICES,
            ...some.map(({ namespace, ...change }, i) => makeService(`${namespace}/svc${i}`, change)),
          ];
          const book = { batch: { services: cap, nodes: 3 } };
          const made = plan({ nodes: given, services: all, book });
          const inventory = makeInventory(given, all);
          expect(verifyPlan(made, inventory, sha256)).toEqual([]);
          const planned = made.batches.flatMap(batch => batch.nodes.map(entry => entry.name));
          expect([...planned, ...made.skipped.map(entry => entry.name)].sort()).toEqual(
            given.map(entry => entry.name).sort(),
          );
          const exposure = exposureOf(inventory, made.playbook);
          const exposed = new Set<string>();
          for (const batch of made.batches) {
            const reached = new Set([
              ...exposure.everywhere,
              ...batch.nodes.flatMap(entry => [...(exposure.byNode.get(entry.name) ?? [])]),
            ]);
            expect(batch.services).toEqual([...reached].filter(key => !exposed.has(key)).sort());
            for (const key of reached) exposed.add(key);
            expect(batch.exposedAfter).toBe(exposed.size);
            expect(batch.overCap).toBe(batch.services.length > cap);
            expect(batch.overCap ? batch.nodes.length : 1).toBe(1);
          }
          expect(made.lowerBound).toBeLessThanOrEqual(made.batches.length);
        },
      ),
      { numRuns: 300 },
    );
  });
});
