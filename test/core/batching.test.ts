import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Candidate,
  type PackedBatch,
  type Packing,
  packBatches,
  smallestCandidate,
} from '../../src/core/batching.ts';
import { lowerBound } from '../../src/core/lower-bound.ts';

interface Shape {
  sizes: number[];
  nodes: { rank: 0 | 1 | 2 | 3; zone: number; groups: number[] }[];
  services: number;
  perBatch: number;
  perZone: number | undefined;
  everywhere: number;
}

const shapes: fc.Arbitrary<Shape> = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 7 }),
    services: fc.integer({ min: 1, max: 12 }),
    perBatch: fc.integer({ min: 1, max: 4 }),
    perZone: fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }),
    everywhere: fc.integer({ min: 0, max: 3 }),
  })
  .chain(base =>
    fc
      .array(
        fc.record({
          rank: fc.constantFrom(0 as const, 0 as const, 1 as const, 2 as const, 3 as const),
          zone: fc.integer({ min: 0, max: 2 }),
          groups: fc.uniqueArray(fc.integer({ min: 0, max: base.sizes.length - 1 }), { maxLength: 4 }),
        }),
        { minLength: 1, maxLength: 7 },
      )
      .map(nodes => ({ ...base, nodes })),
  );

function packingOf(shape: Shape): Packing {
  const candidates = shape.nodes.map(
    ({ rank, zone, groups }, index): Candidate => ({
      name: `node${index}`,
      rank,
      zone: zone === 0 ? undefined : `z${zone}`,
      groups,
    }),
  );
  return {
    candidates,
    groupSizes: shape.sizes,
    caps: { services: shape.services, nodes: shape.perBatch, nodesPerZone: shape.perZone },
    everywhere: shape.everywhere,
    canary: smallestCandidate(candidates, shape.sizes)?.name ?? '',
  };
}

function freshOf(nodes: readonly Candidate[], done: readonly Candidate[], sizes: readonly number[]): number {
  const known = new Set(done.flatMap(node => node.groups));
  return [...new Set(nodes.flatMap(node => node.groups))].reduce(
    (sum, group) => sum + (known.has(group) ? 0 : (sizes[group] ?? 0)),
    0,
  );
}

/** The rules, said again in another way: whether `nodes` may be the next batch after `done`. */
function allowed(packing: Packing, done: readonly Candidate[], nodes: readonly Candidate[]): boolean {
  const { candidates, caps, groupSizes, canary } = packing;
  if (done.length === 0) return nodes.length === 1 && nodes[0]?.name === canary;
  if (nodes.length > caps.nodes) return false;
  for (const { zone } of nodes) {
    if (zone !== undefined && nodes.filter(node => node.zone === zone).length > (caps.nodesPerZone ?? Infinity))
      return false;
  }
  const rest = candidates.filter(node => !done.includes(node));
  const waiting = rest.filter(node => !nodes.includes(node));
  if (nodes.some(node => waiting.some(other => other.rank < node.rank))) return false;
  if (nodes.some(node => node.rank >= 2) && nodes.some(node => node.rank < 2)) return false;
  if (freshOf(nodes, done, groupSizes) <= caps.services) return true;
  const due = rest.filter(node => rest.every(other => other.rank >= node.rank));
  return nodes.length === 1 && due.every(node => freshOf([node], done, groupSizes) > caps.services);
}

/** Fewest batches by trying everything. */
function fewest(packing: Packing): number {
  const { candidates } = packing;
  const all = 2 ** candidates.length - 1;
  const pick = (mask: number) => candidates.filter((_, index) => mask & (1 << index));
  let frontier = new Set([0]);
  for (let batches = 0; ; batches++) {
    if (frontier.has(all)) return batches;
    const next = new Set<number>();
    for (const done of frontier) {
      const rest = all & ~done;
      for (let part = rest; part > 0; part = (part - 1) & rest) {
        if (!next.has(done | part) && allowed(packing, pick(done), pick(part))) next.add(done | part);
      }
    }
    if (next.size === 0) throw new Error('a dead end');
    frontier = next;
  }
}

const names = (batches: PackedBatch[]) => batches.map(batch => batch.nodes.map(node => node.candidate.name));

function plain(
  groupsOf: Record<string, number[]>,
  sizes: number[],
  caps: Partial<Packing['caps']>,
  rank: Record<string, 0 | 1 | 2 | 3> = {},
): Packing {
  const candidates = Object.entries(groupsOf).map(
    ([name, groups]): Candidate => ({ name, rank: rank[name] ?? 0, groups }),
  );
  const canary = smallestCandidate(candidates, sizes)?.name ?? '';
  return { candidates, groupSizes: sizes, caps: { services: 50, nodes: 10, ...caps }, everywhere: 0, canary };
}

describe('packBatches', () => {
  it('obeys every rule, loses no node, and never needs fewer batches than the lower bound nor than the best', () => {
    const seen = { overCap: 0, optimal: 0, tight: 0, runs: 0 };
    fc.assert(
      fc.property(shapes, shape => {
        const packing = packingOf(shape);
        const batches = packBatches(packing);
        const done: Candidate[] = [];
        for (const [position, batch] of batches.entries()) {
          const nodes = batch.nodes.map(node => node.candidate);
          expect(allowed(packing, done, nodes)).toBe(true);
          const fresh = freshOf(nodes, done, shape.sizes) + (position === 0 ? shape.everywhere : 0);
          expect(batch.overCap).toBe(fresh > shape.services);
          expect(batch.nodes.reduce((sum, node) => sum + node.fresh, 0)).toBe(freshOf(nodes, done, shape.sizes));
          expect(batch.groups.reduce((sum, group) => sum + (shape.sizes[group] ?? 0), 0)).toBe(
            freshOf(nodes, done, shape.sizes),
          );
          done.push(...nodes);
        }
        expect(done.map(node => node.name).sort()).toEqual(packing.candidates.map(node => node.name).sort());
        const overCap = batches.slice(1).some(batch => batch.overCap);
        const bound = lowerBound(packing, overCap);
        const best = fewest(packing);
        expect(bound).toBeLessThanOrEqual(best);
        expect(best).toBeLessThanOrEqual(batches.length);
        seen.runs++;
        if (overCap) seen.overCap++;
        if (best === batches.length) seen.optimal++;
        if (bound === best) seen.tight++;
      }),
      { numRuns: 600, seed: 20260101 },
    );
    // Else the property would prove little.
    expect(seen.overCap).toBeGreaterThan(seen.runs / 20);
    expect(seen.overCap).toBeLessThan(seen.runs / 1.5);
    expect(seen.optimal).toBeGreaterThan(seen.runs * 0.85);
    expect(seen.tight).toBeGreaterThan(seen.runs * 0.5);
  });

  it('sends the canary alone, then the smallest new exposure first', () => {
    const packing = plain({ a: [0, 1, 2], b: [0], c: [0, 1], d: [3] }, [5, 5, 5, 20], { services: 10 });
    expect(names(packBatches(packing))).toEqual([['b'], ['c', 'a'], ['d']]);
  });

  it('breaks ties by name', () => {
    expect(names(packBatches(plain({ c: [0], a: [0], b: [0] }, [3], { nodes: 1 })))).toEqual([['a'], ['b'], ['c']]);
  });

  it('gives a node over the cap a batch of its own', () => {
    const batches = packBatches(plain({ a: [0], big: [1], c: [2], d: [1] }, [1, 60, 2], {}));
    expect(names(batches)).toEqual([['a'], ['c'], ['big'], ['d']]);
    expect(batches.map(batch => batch.overCap)).toEqual([false, false, true, false]);
  });

  it('counts what is reached from everywhere with the canary', () => {
    const packing = { ...plain({ a: [0], b: [1] }, [10, 10], { services: 12 }), everywhere: 3 };
    expect(packBatches(packing).map(batch => batch.overCap)).toEqual([true, false]);
  });

  it('keeps the control plane out of the batches of workers, and last', () => {
    const packing = plain({ cp1: [0], cp2: [0], w1: [0], w2: [0] }, [1], {}, { cp1: 2, cp2: 2 });
    expect(names(packBatches(packing))).toEqual([['w1'], ['w2'], ['cp1', 'cp2']]);
  });

  it('limits the nodes of a zone and goes on with another zone meanwhile', () => {
    const zones = { a1: 'a', a2: 'a', a3: 'a', b1: 'b', b2: 'b' };
    const candidates = Object.entries(zones).map(([name, zone]): Candidate => ({ name, rank: 0, zone, groups: [] }));
    const packing = {
      candidates,
      groupSizes: [],
      caps: { services: 5, nodes: 9, nodesPerZone: 1 },
      everywhere: 0,
      canary: 'a1',
    };
    expect(names(packBatches(packing))).toEqual([['a1'], ['a2', 'b1'], ['a3', 'b2']]);
  });

  it('fills up batches with nodes that expose nothing new where that saves a batch', () => {
    const groups = { a: [0], b: [1], c: [2], d: [], e: [], f: [] };
    const batches = packBatches({ ...plain(groups, [1, 8, 8], { services: 8, nodes: 2 }), canary: 'a' });
    expect(batches).toHaveLength(4);
  });

  it('is nothing for nothing', () => {
    expect(packBatches(plain({}, [], {}))).toEqual([]);
    expect(lowerBound(plain({}, [], {}), false)).toBe(0);
  });
});
