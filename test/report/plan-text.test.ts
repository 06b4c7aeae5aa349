import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/core/plan.ts';
import { planMigration } from '../../src/core/planner.ts';
import { makePainter } from '../../src/report/paint.ts';
import { planText } from '../../src/report/plan-text.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES } from '../core/cluster-data.ts';

const services = [...SYSTEM_SERVICES, makeService('shop/web'), makeService('shop/db'), makeService('pay/api')];

/** More namespaces than a row names. */
const SPACES = ['a', 'b', 'c', 'd', 'e', 'f'].map(letter => [`team-${letter}`, 1] as const);

function make(
  change: {
    simulated?: boolean;
    book?: object;
    notes?: string[];
    nodes?: ReturnType<typeof makeNode>[];
    spaces?: boolean;
  } = {},
): Plan {
  const nodes = change.nodes ?? [
    makeNode('cp', { role: 'control-plane' }),
    makeNode('node1', { pods: { shop: 1, pay: 1 } }),
    makeNode('node2', { pods: { shop: 1 } }),
    makeNode('node3', { mode: 'nftables' }),
    makeNode('node4', { ready: false }),
    makeNode('node5', { ready: false }),
  ];
  const more = change.spaces ? SPACES.map(([name]) => makeService(`${name}/web`)) : [];
  const inventory = makeInventory(nodes, [...services, ...more]);
  inventory.cluster.simulated = change.simulated ?? false;
  return planMigration({
    inventory,
    playbook: makePlaybook(change.book ?? { title: 'To nftables' }),
    to: 'nftables',
    driver: 'daemonset',
    madeAt: '2026-01-02T03:04:05Z',
    hash: () => 'f00dfeedf00dfeedf00d',
    notes: change.notes,
  });
}

describe('planText', () => {
  it('names the nodes without a way back, by reason', () => {
    const text = planText(make({ nodes: ['a', 'b', 'c'].map(name => makeNode(name, { osImage: 'AlmaLinux 10.1' })) }));
    expect(text).toMatch(/^nodes +3 to flip, 0 left alone; 3 nodes without a way back$/m);
    expect(text.replaceAll(/\s+/g, ' ')).toContain(
      'no way back: a, b, c: AlmaLinux 10.1 has no iptables kernel modules, which iptables needs',
    );
    expect(planText(make())).not.toContain('way back');
  });

  it('says where the way back is rehearsed', () => {
    const text = planText(make({ book: { rehearse: 'canary' } }));
    expect(text.match(/rehearses the way back: .*/g)).toEqual([
      'rehearses the way back: node2 flips, goes back and flips again',
    ]);
    expect(planText(make())).not.toContain('rehearses');
  });

  it('shows a plan', () => {
    expect(planText(make())).toMatchInlineSnapshot(`
      "plan      f00dfeedf00d: iptables to nftables
                To nftables
      cluster   test (https://10.0.0.1:6443), Kubernetes v1.36.3
      made      2026-01-02T03:04:05Z, driver daemonset
      nodes     3 to flip, 3 left alone
      Services  5 exposed in the end
      a batch   at most 50 Services, 10 nodes; Services count when they are exposed
                first

      batch      nodes  newly exposed  exposed in all    takes about
      batch-1        1              4               4           50 s
                node2 (canary: smallest exposure)
                exposes default, kube-system, shop
      batch-2        1              1               5           50 s
                node1 (smallest new exposure: 1)
                exposes pay
      batch-3        1              0               5           50 s
                cp (control plane last)
                exposes nothing new

      left alone: node3: already in nftables
      left alone: node4, node5: not Ready
      note: 1 node already in nftables: what is reached from there is counted again
            here

      3 batches, as few as the caps allow; about 2 min 30 s, a crude estimate.
      Reached from everywhere, so exposed by batch-1 whatever its node:
      default/kubernetes, kube-system/kube-dns.
      A Service counts as exposed once a node has flipped that runs pods of its
      namespace, or through which its outside traffic enters. Calls between namespaces
      are not known: exposure.callers in the playbook can name them. The kubernetes
      and DNS Services are reached from every node.
      "
    `);
  });

  it('stays within the width, whatever that is', () => {
    const plan = make({ notes: [`a long note ${'word '.repeat(60)}`] });
    for (const width of [64, 80, 120]) {
      for (const line of planText(plan, { width }).split('\n')) expect(line.length).toBeLessThanOrEqual(width);
    }
  });

  it('says SIMULATED before anything else', () => {
    expect(planText(make({ simulated: true }))).toMatch(/^SIMULATED cluster\n/);
    expect(planText(make())).not.toContain('SIMULATED');
  });

  it('names batches over the cap, and the bound that was missed', () => {
    const plan = { ...make({ book: { batch: { services: 1 } } }), lowerBound: 2 };
    const text = planText(plan);
    expect(text).toMatch(/over the cap of 1: one node alone exposes more/);
    const over = plan.batches.filter(batch => batch.overCap).map(b => `${b.nodes[0]?.name} (${b.services.length})`);
    expect(over.length).toBeGreaterThan(0);
    expect(text.replaceAll(/\s+/g, ' ')).toContain(`over the cap: more than 1 alone: ${over.join(', ')}`);
    expect(text).toMatch(/3 batches, no plan under these caps has fewer than 2;/);
  });

  it('folds many nodes and many notes', () => {
    const nodes = Array.from({ length: 40 }, (_, i) => makeNode(`n${100 + i}`));
    const text = planText(
      make({ nodes, notes: Array.from({ length: 25 }, (_, i) => `note ${i}`), book: { batch: { nodes: 39 } } }),
    );
    expect(text).toContain('n101, n102, n103 and 36 more');
    expect(text).toContain('and 5 more notes in the plan');
  });

  it('names every node without a way back, and with verbose every node and namespace', () => {
    const nodes = Array.from({ length: 9 }, (_, i) => makeNode(`n${i}`, { pods: Object.fromEntries(SPACES) }));
    const plan = make({ nodes, book: { batch: { nodes: 9, services: 100 } }, spaces: true });
    for (const node of plan.batches.flatMap(b => b.nodes)) node.oneWay = 'ipvs would not start again';
    const names = plan.batches.flatMap(b => b.nodes.map(n => n.name));
    const flat = (text: string) => text.replaceAll(/\s+/g, ' ');
    expect(flat(planText(plan))).toContain(`no way back: ${names.join(', ')}: ipvs would not start again`);
    const [most = { nodes: [], namespaces: [] }] = plan.batches.toSorted((a, b) => b.nodes.length - a.nodes.length);
    const listed = most.nodes.map(n => n.name).join(', ');
    expect(flat(planText(plan))).not.toContain(`${listed} (`);
    expect(flat(planText(plan, { verbose: true }))).toContain(`${listed} (`);
    const all = (plan.batches.find(b => b.namespaces.length > 4)?.namespaces ?? []).join(', ');
    expect(all).not.toBe('');
    expect(flat(planText(plan))).not.toContain(`exposes ${all}`);
    expect(flat(planText(plan, { verbose: true }))).toContain(`exposes ${all}`);
  });

  it('has words for nothing to do', () => {
    const text = planText(make({ nodes: [makeNode('a', { mode: 'nftables' })] }));
    expect(text).toContain('Nothing to do: no node is to flip.');
    expect(text).toContain('left alone: a: already in nftables');
    expect(text).not.toContain('estimate');
  });

  it('shows what a cluster smuggles in as what it is, in every field', () => {
    const evil = '\u001b[2J\u202eevil\u200b';
    const plan = make({
      nodes: [makeNode(evil), makeNode(`down${evil}`, { ready: false })],
      notes: [evil],
      book: { title: evil },
    });
    plan.cluster = { ...plan.cluster, context: evil, server: evil, kubernetes: evil };
    plan.everywhere = [evil];
    plan.exposure = evil;
    for (const batch of plan.batches) {
      batch.namespaces = [evil];
      batch.id = evil;
    }
    const text = planText(plan);
    expect(text).toContain('\\u{1b}[2J');
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/);
  });

  it('is the same text with and without colours', () => {
    const colored = planText(make(), { paint: makePainter(true) });
    expect(colored).toContain('\u001b[');
    expect(colored.replaceAll(/\u001b\[\d+m/g, '')).toBe(planText(make()));
  });
});
