import { describe, expect, it } from 'vitest';
import { continues, extendPlan } from '../../src/core/extend-plan.ts';
import { planIdOf } from '../../src/core/fingerprint.ts';
import { Plan } from '../../src/core/plan.ts';
import { planMigration } from '../../src/core/planner.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES, sha256 } from './cluster-data.ts';

const services = [...SYSTEM_SERVICES, makeService('shop/web'), makeService('pay/api')];
const a = makeNode('a', { pods: { shop: 1 } });
const b = makeNode('b', { ready: false });
const inventory = makeInventory([a, b], services);
const plan = planMigration({
  inventory,
  playbook: makePlaybook({ order: { canary: 'a' } }),
  to: 'nftables',
  driver: 'daemonset',
  madeAt: '2026-01-02T03:04:05Z',
  hash: sha256,
});
const extended = (...nodes: ReturnType<typeof makeNode>[]) =>
  extendPlan(plan, makeInventory([a, b, ...nodes], services), sha256);

describe('extendPlan', () => {
  it('is the plan itself when nobody joined', () => {
    expect(extended()).toBe(plan);
    expect(extended(makeNode('new', { mode: 'nftables' }))).toBe(plan);
    expect(extended(makeNode('young', { mode: 'unknown' }))).toBe(plan);
  });

  it('adds batches behind its own, which count what they expose further', () => {
    const more = extended(makeNode('late', { pods: { shop: 1, pay: 1 } }));
    expect(more.batches.slice(0, plan.batches.length)).toEqual(plan.batches);
    expect(more.batches.at(-1)).toMatchObject({
      id: `batch-${plan.batches.length + 1}`,
      nodes: [{ name: 'late', uid: 'uid-late', from: 'iptables' }],
      services: ['pay/api'],
      namespaces: ['pay'],
      exposedAfter: 4,
    });
    expect(more.fingerprint['node/late']).toBeDefined();
    expect(Plan.parse(JSON.parse(JSON.stringify(more)))).toEqual(more);
    expect(planIdOf(more, sha256)).toBe(more.id);
    expect(more.id).not.toBe(plan.id);
  });

  it('counts towards their caps only what they expose further', () => {
    const capped = { ...plan, playbook: { ...plan.playbook, batch: { services: 1, nodes: 5 } } };
    const late = [makeNode('late', { pods: { shop: 1, pay: 1 } }), makeNode('later', { pods: { shop: 1 } })];
    const more = extendPlan(capped, makeInventory([a, b, ...late], services), sha256);
    const added = more.batches.slice(plan.batches.length);
    expect(added.map(({ services, overCap }) => ({ services, overCap }))).toEqual([
      { services: ['pay/api'], overCap: false },
    ]);
    expect(added[0]?.nodes.map(node => node.why).join()).not.toMatch(/canary|cap/);
  });

  it('takes nodes that were not Ready and are now, and leaves what its own nodes are in alone', () => {
    const now = makeInventory(
      [
        { ...a, mode: 'nftables' },
        { ...b, ready: true },
      ],
      services,
    );
    expect(extendPlan(plan, now, sha256).batches.flatMap(batch => batch.nodes.map(n => n.name))).toEqual(['a', 'b']);
  });
});

describe('a node that was made anew', () => {
  const other = makeNode('a', { uid: 'another', pods: { shop: 1, pay: 1 } });
  const more = extendPlan(plan, makeInventory([other, b], services), sha256);

  it('takes the place of the one that bore its name, and no other', () => {
    expect(more.batches.map(batch => batch.nodes)).toEqual([
      [{ name: 'a', uid: 'another', from: 'iptables', why: 'made anew since the plan was made' }],
    ]);
    expect(more.batches.map(batch => batch.services)).toEqual(plan.batches.map(batch => batch.services));
    expect(more.fingerprint['node/a']).toContain('another');
    expect(planIdOf(more, sha256)).toBe(more.id);
    expect(continues(more, plan)).toBe(true);
  });

  it('waits while it cannot be flipped', () => {
    for (const facts of [{ ready: false }, { mode: 'nftables' }, { mode: 'unknown' }] as const)
      expect(extendPlan(plan, makeInventory([{ ...other, ...facts }, b], services), sha256)).toBe(plan);
  });

  it('does not stand in the way of those that join', () => {
    const both = extendPlan(plan, makeInventory([other, b, makeNode('late', { pods: { pay: 1 } })], services), sha256);
    expect(both.batches.map(batch => batch.nodes.map(node => node.uid))).toEqual([['another'], ['uid-late']]);
    expect(both.batches[1]?.services).toEqual(['pay/api']);
  });
});

it('rehearses no way back in further batches', () => {
  const rehearsing = { ...plan, playbook: { ...plan.playbook, rehearse: 'canary' as const } };
  const more = extendPlan(rehearsing, makeInventory([a, b, makeNode('late')], services), sha256);
  expect(more.batches.slice(1).map(batch => batch.rehearses)).toEqual([undefined]);
  expect(more.playbook.rehearse).toBe('canary');
});

describe('continues', () => {
  it('tells a plan with further batches from another plan', () => {
    const more = extended(makeNode('late'));
    expect(continues(plan, plan)).toBe(true);
    expect(continues(more, plan)).toBe(true);
    expect(continues(plan, more)).toBe(false);
    expect(continues(more, { ...plan, id: 'x', madeAt: '2026-01-02T03:04:06Z' })).toBe(false);
    const renamed = plan.batches.map(batch => ({
      ...batch,
      nodes: batch.nodes.map(n => ({ ...n, name: 'x', uid: 'x' })),
    }));
    expect(continues({ ...more, batches: renamed }, plan)).toBe(false);
    const fewer = plan.batches.map(batch => ({ ...batch, nodes: [] }));
    expect(continues({ ...more, batches: fewer }, plan)).toBe(false);
  });
});
