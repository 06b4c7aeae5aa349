import { describe, expect, it } from 'vitest';
import { adjustPlan } from '../../src/core/adjust-plan.ts';
import { planIdOf } from '../../src/core/fingerprint.ts';
import { Plan } from '../../src/core/plan.ts';
import { planMigration } from '../../src/core/planner.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES, sha256 } from './cluster-data.ts';

const names = ['a', 'b', 'c', 'd', 'e', 'f'];
const services = [...SYSTEM_SERVICES, ...names.map(name => makeService(`team-${name}/web`))];
const nodes = names.map(name => makeNode(name, { pods: { [`team-${name}`]: 1 } }));
const inventory = makeInventory(nodes, services);
const plan = planMigration({
  inventory,
  playbook: makePlaybook({ batch: { services: 3, nodes: 10 } }),
  to: 'nftables',
  driver: 'daemonset',
  madeAt: '2026-01-02T03:04:05Z',
  hash: sha256,
});
const wish = { by: 'ann@host', at: '2026-01-02T04:00:00Z' };
const flippedFirst = makeInventory(
  nodes.map(node => (plan.batches[0]?.nodes.some(n => n.name === node.name) ? { ...node, mode: 'nftables' } : node)),
  services,
);
const progress = { inventory: flippedFirst, begun: new Set(['batch-1']), hash: sha256 };
const nodesOf = (p: Plan) => p.batches.flatMap(batch => batch.nodes.map(node => node.name));

describe('adjustPlan', () => {
  it('packs what has not begun under the new cap, and leaves what has', () => {
    const next = adjustPlan(plan, { ...wish, services: 1 }, progress);
    expect(next.batches[0]).toEqual(plan.batches[0]);
    expect(next.batches.slice(1).every(batch => batch.services.length <= 1)).toBe(true);
    expect(next.batches.length).toBeGreaterThan(plan.batches.length);
    expect(nodesOf(next).sort()).toEqual(nodesOf(plan).sort());
    expect(new Set(next.batches.map(batch => batch.id)).size).toBe(next.batches.length);
    expect(next.batches.at(-1)?.exposedAfter).toBe(plan.batches.at(-1)?.exposedAfter);
    expect(next.playbook.batch).toEqual({ services: 1, nodes: 10 });
    expect(next.notes.at(-1)).toBe('adjusted by ann@host at 2026-01-02T04:00:00Z: at most 1 new Services a batch');
    expect(planIdOf(next, sha256)).toBe(next.id);
    expect(Plan.parse(JSON.parse(JSON.stringify(next)))).toEqual(next);
  });

  it('counts no Service again that a batch has exposed, and sends no second canary ahead', () => {
    const next = adjustPlan(plan, { ...wish, services: 50 }, progress);
    expect(next.batches).toHaveLength(2);
    const first = new Set(next.batches[0]?.services);
    expect(next.batches[1]?.services.filter(service => first.has(service))).toEqual([]);
  });

  it('sends the canary of the playbook ahead as long as nobody has gone', () => {
    const wanted = makePlaybook({ batch: { services: 3, nodes: 10 }, order: { canary: 'e' }, rehearse: 'canary' });
    const given = planMigration({
      inventory,
      playbook: wanted,
      to: 'nftables',
      driver: 'daemonset',
      madeAt: plan.madeAt,
      hash: sha256,
    });
    const none = { inventory, begun: new Set<string>(), hash: sha256 };
    const next = adjustPlan(given, { ...wish, services: 1 }, none);
    expect(next.batches[0]).toMatchObject({ nodes: [{ name: 'e' }], rehearses: 'e' });
    const gone = makeInventory(
      nodes.filter(node => node.name !== 'e'),
      services,
    );
    expect(adjustPlan(given, { ...wish, services: 1 }, { ...none, inventory: gone }).batches[0]?.nodes).toHaveLength(1);
  });

  it('keeps what was found and confirmed of ways back', () => {
    const [, second] = plan.batches;
    const [door] = second?.nodes ?? [];
    if (!second || !door) throw new Error('no second batch');
    const named = { ...second, nodes: [{ ...door, oneWay: 'no modules' }, ...second.nodes.slice(1)] };
    const given = { ...plan, batches: plan.batches.map(batch => (batch === second ? named : batch)) };
    const next = adjustPlan(given, { ...wish, services: 1 }, progress);
    const doors = next.batches.flatMap(b => b.nodes.flatMap(n => (n.oneWay === undefined ? [] : [[n.name, n.oneWay]])));
    expect(doors).toEqual([[door.name, 'no modules']]);
  });

  it('changes nothing but the soak when only that is wanted', () => {
    const next = adjustPlan(plan, { ...wish, soak: 5 }, progress);
    expect(next.batches).toBe(plan.batches);
    expect(next.playbook.gates).toEqual({ ...plan.playbook.gates, soak: 5 });
  });

  it('leaves out nodes that are gone or were made anew, and says so; one that is not Ready stays', () => {
    const [gone = '', anew = '', tired = ''] = nodesOf(plan).slice(-3);
    const now = flippedFirst.nodes
      .filter(node => node.name !== gone)
      .map(node => (node.name === anew ? { ...node, uid: 'another' } : node))
      .map(node => (node.name === tired ? { ...node, ready: false } : node));
    const next = adjustPlan(plan, { ...wish, nodes: 2 }, { ...progress, inventory: makeInventory(now, services) });
    expect(nodesOf(next)).not.toContain(gone);
    expect(nodesOf(next)).not.toContain(anew);
    expect(nodesOf(next)).toContain(tired);
    expect(next.skipped.map(node => node.name).sort()).toEqual([gone, anew].sort());
    expect(next.batches.every(batch => batch.nodes.length <= 2)).toBe(true);
  });
});
