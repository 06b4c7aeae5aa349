// How few batches any plan could do with. Finding the fewest is NP-hard (disjoint exposures are bin packing), so a plan is
// shown beside a bound instead.
import { type Candidate, type Caps, exposureSize, type Packing } from './batching.ts';

/**
 * No plan under the same rules (the same canary alone, the caps, workers and control plane apart, over the cap only when no
 * node that is due fits) has fewer batches. `overCap`: the packing had to exceed the cap after the canary. When it had not, no
 * plan under these rules has to: new exposure only shrinks while others are exposed, so a node that fitted once fits later.
 */
export function lowerBound(packing: Packing, overCap: boolean): number {
  const { candidates, caps, groupSizes } = packing;
  const canary = candidates.find(candidate => candidate.name === packing.canary);
  if (!canary && packing.canary !== undefined) return 0;
  const known = new Set(canary?.groups);
  const rest = candidates
    .filter(candidate => candidate !== canary)
    .map(candidate => ({ ...candidate, groups: candidate.groups.filter(group => !known.has(group)) }));
  const first = canary ? 1 : 0;
  if (rest.length === 0) return first;
  const sizes = rest.map(candidate => exposureSize(candidate, groupSizes)).toSorted((a, b) => a - b);
  const total = unionSize(rest, groupSizes);
  const byServices = overCap
    ? Math.max(byLargest(sizes, total, caps), withoutLarge(rest, groupSizes, caps))
    : Math.max(Math.ceil(total / caps.services), byDegree(rest, groupSizes, sizes, caps), byReach(sizes, caps));
  return first + Math.max(byNodes(rest, caps), byServices);
}

/** Node counts alone: workers and control plane apart, and in each the fullest zone. */
function byNodes(rest: readonly Candidate[], caps: Caps): number {
  let sum = 0;
  for (const part of [rest.filter(c => c.rank < 2), rest.filter(c => c.rank >= 2)]) {
    const zones = new Map<string, number>();
    for (const { zone } of part) if (zone !== undefined) zones.set(zone, (zones.get(zone) ?? 0) + 1);
    const fullest = Math.max(0, ...zones.values());
    sum += Math.max(Math.ceil(part.length / caps.nodes), Math.ceil(fullest / (caps.nodesPerZone ?? Infinity)));
  }
  return sum;
}

/** After t batches under the cap, no node that exposes more than t caps can be done. `sizes` ascending. */
function byReach(sizes: readonly number[], caps: Caps): number {
  let bound = 0;
  let within = 0;
  for (let t = 1; within < sizes.length; t++) {
    while (within < sizes.length && (sizes[within] ?? 0) <= t * caps.services) within++;
    if (within < sizes.length) bound = Math.max(bound, t + Math.ceil((sizes.length - within) / caps.nodes));
  }
  return bound;
}

/**
 * k nodes within t caps of Services cannot have more incidences than the t caps of most reached Services have in all. So after
 * t batches at most k nodes are done, where the k smallest exposures sum up to that.
 */
function byDegree(
  rest: readonly Candidate[],
  groupSizes: readonly number[],
  sizes: readonly number[],
  caps: Caps,
): number {
  const degrees = new Map<number, number>();
  for (const { groups } of rest) for (const group of groups) degrees.set(group, (degrees.get(group) ?? 0) + 1);
  const reached = [...degrees]
    .map(([group, degree]) => ({ degree, services: groupSizes[group] ?? 0 }))
    .sort((a, b) => b.degree - a.degree);
  let bound = 0;
  let done = 0;
  let spent = 0;
  let incidences = 0;
  let at = 0;
  let leftInGroup = reached[0]?.services ?? 0;
  for (let t = 1; at < reached.length; t++) {
    for (let room = caps.services; room > 0 && at < reached.length; ) {
      const taken = Math.min(room, leftInGroup);
      incidences += taken * (reached[at]?.degree ?? 0);
      room -= taken;
      leftInGroup -= taken;
      if (leftInGroup === 0) leftInGroup = reached[++at]?.services ?? 0;
    }
    while (done < sizes.length && spent + (sizes[done] ?? 0) <= incidences) spent += sizes[done++] ?? 0;
    if (done === sizes.length) break;
    bound = Math.max(bound, t + Math.ceil((sizes.length - done) / caps.nodes));
  }
  return bound;
}

/** A batch exposes at most the cap or, alone, one node's Services: so few batches cannot expose everything. */
function byLargest(sizes: readonly number[], total: number, caps: Caps): number {
  let exposed = 0;
  let batches = 0;
  for (const size of sizes.toReversed()) {
    if (exposed >= total) return batches;
    exposed += Math.max(size, caps.services);
    batches++;
  }
  return batches;
}

/** What only nodes within the cap reach is exposed under the cap, and one batch at least goes to the others. */
function withoutLarge(rest: readonly Candidate[], groupSizes: readonly number[], caps: Caps): number {
  const large = rest.filter(candidate => exposureSize(candidate, groupSizes) > caps.services);
  const ofLarge = new Set(large.flatMap(candidate => candidate.groups));
  const others = unionSize(
    rest.map(candidate => ({ ...candidate, groups: candidate.groups.filter(group => !ofLarge.has(group)) })),
    groupSizes,
  );
  return Math.ceil(others / caps.services) + (large.length > 0 ? 1 : 0);
}

function unionSize(candidates: readonly Candidate[], groupSizes: readonly number[]): number {
  const union = new Set<number>();
  for (const { groups } of candidates) for (const group of groups) union.add(group);
  let sum = 0;
  for (const group of union) sum += groupSizes[group] ?? 0;
  return sum;
}
