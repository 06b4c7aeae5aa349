// Packs nodes into batches: smallest new exposure first, a batch closed when the next node does not fit.
import { MinHeap } from './min-heap.ts';

/** A node that is to flip. */
export interface Candidate {
  readonly name: string;
  /** 0 worker, 1 worker that exposes a last namespace, 2 control plane, 3 control plane that exposes one. Lower ranks first. */
  readonly rank: 0 | 1 | 2 | 3;
  readonly zone?: string | undefined;
  /** Indexes of the groups of Services that it exposes, each once. */
  readonly groups: readonly number[];
}

/** At most so many of each in a batch. */
export interface Caps {
  readonly services: number;
  readonly nodes: number;
  readonly nodesPerZone?: number | undefined;
}

export interface Packing {
  readonly candidates: readonly Candidate[];
  /** Services in each group. */
  readonly groupSizes: readonly number[];
  readonly caps: Caps;
  /** Services that the first batch exposes whatever its node. */
  readonly everywhere: number;
  /** Flipped first, alone; none when others went before. */
  readonly canary: string | undefined;
}

export interface PackedBatch {
  /** In the order of flipping, with the Services each exposes first. */
  readonly nodes: readonly { candidate: Candidate; fresh: number }[];
  /** Groups first exposed by this batch. */
  readonly groups: readonly number[];
  /** One node alone exposes more than the cap. */
  readonly overCap: boolean;
}

/** The candidate of the lowest rank that exposes least, by name where equal; undefined when there is none. */
export function smallestCandidate(
  candidates: readonly Candidate[],
  groupSizes: readonly number[],
): Candidate | undefined {
  let best: { candidate: Candidate; size: number } | undefined;
  for (const candidate of candidates) {
    const size = exposureSize(candidate, groupSizes);
    const order =
      best && (candidate.rank - best.candidate.rank || size - best.size || byName(candidate, best.candidate));
    if (order === undefined || order < 0) best = { candidate, size };
  }
  return best?.candidate;
}

/** Services in all groups that the candidate exposes. */
export function exposureSize(candidate: Candidate, groupSizes: readonly number[]): number {
  return candidate.groups.reduce((sum, group) => sum + (groupSizes[group] ?? 0), 0);
}

/**
 * Batches under the caps, every candidate once. Control plane and worker nodes share no batch. A node goes over the cap only
 * when no node that is due fits, and then alone. Nodes that expose nothing new go first, which keeps exposure low for long,
 * or fill up batches that others closed, whichever needs fewer batches. O(nodes + incidences of nodes and groups), with a log.
 */
export function packBatches(packing: Packing): PackedBatch[] {
  const freeFirst = new Packer(packing, false).run();
  const freeLast = new Packer(packing, true).run();
  return freeLast.length < freeFirst.length ? freeLast : freeFirst;
}

function byName(a: Candidate, b: Candidate): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Candidates of one rank and zone. Heap entries are `fresh * nodes + index`; stale ones are dropped when they surface. */
interface Queue {
  readonly zone: string | undefined;
  readonly costly: MinHeap;
  /** Indexes of candidates that expose nothing new. */
  readonly free: MinHeap;
}

class Packer {
  private readonly nodes: readonly Candidate[];
  private readonly fresh: number[];
  private readonly done: boolean[];
  private readonly exposed = new Set<number>();
  private readonly members = new Map<number, number[]>();
  /** By rank. */
  private readonly queues: Map<string | undefined, Queue>[] = [new Map(), new Map(), new Map(), new Map()];
  private readonly left = [0, 0, 0, 0];
  private readonly batches: PackedBatch[] = [];
  private open: { nodes: { candidate: Candidate; fresh: number }[]; groups: number[]; fresh: number };
  private readonly zones = new Map<string, number>();
  private readonly packing: Packing;
  private readonly freeLast: boolean;

  constructor(packing: Packing, freeLast: boolean) {
    this.packing = packing;
    this.freeLast = freeLast;
    this.nodes = packing.candidates.toSorted(byName);
    this.fresh = this.nodes.map(node => exposureSize(node, packing.groupSizes));
    this.done = this.nodes.map(() => false);
    this.open = { nodes: [], groups: [], fresh: 0 };
    for (const [index, node] of this.nodes.entries()) {
      for (const group of node.groups) {
        const list = this.members.get(group);
        if (list) list.push(index);
        else this.members.set(group, [index]);
      }
      this.left[node.rank] = (this.left[node.rank] ?? 0) + 1;
      this.enqueue(index);
    }
  }

  run(): PackedBatch[] {
    if (this.packing.canary !== undefined && !this.takeCanary(this.packing.canary)) return [];
    for (const [rank, waiting] of this.left.entries()) {
      // The workers are done and proven before the first control plane node.
      if (rank === 2) this.close();
      for (let rest = waiting; rest > 0; rest--) this.placeNext(rank);
    }
    this.close();
    return this.batches;
  }

  private takeCanary(name: string): boolean {
    const canary = this.nodes.findIndex(node => node.name === name);
    if (canary < 0) return false;
    this.open.fresh = this.packing.everywhere;
    this.take(canary);
    this.close();
    return true;
  }

  private placeNext(rank: number): void {
    let index = this.pick(rank);
    if (index === undefined) {
      this.close();
      index = this.pick(rank);
    }
    if (index === undefined) throw new Error('a node was counted and not queued');
    const alone = (this.fresh[index] ?? 0) > this.packing.caps.services;
    this.take(index);
    if (alone) this.close();
  }

  /** The next node of the rank that may join the open batch; over the cap only into an empty one. */
  private pick(rank: number): number | undefined {
    const { caps } = this.packing;
    if (this.open.nodes.length >= caps.nodes) return undefined;
    const costly = this.smallest(rank, queue => this.costlyTop(queue));
    const free = this.smallest(rank, queue => this.freeTop(queue));
    const room =
      costly !== undefined && this.open.fresh + (this.fresh[costly % this.nodes.length] ?? 0) <= caps.services;
    if (free !== undefined && !(this.freeLast && room)) return free;
    return costly !== undefined && (room || this.open.nodes.length === 0) ? costly % this.nodes.length : undefined;
  }

  private smallest(rank: number, top: (queue: Queue) => number | undefined): number | undefined {
    let best: number | undefined;
    for (const queue of this.queues[rank]?.values() ?? []) {
      if (!this.zoneHasRoom(queue.zone)) continue;
      const entry = top(queue);
      if (entry !== undefined && (best === undefined || entry < best)) best = entry;
    }
    return best;
  }

  private costlyTop(queue: Queue): number | undefined {
    for (let entry = queue.costly.top(); entry !== undefined; entry = queue.costly.top()) {
      const index = entry % this.nodes.length;
      if (!this.done[index] && entry === this.entryOf(index)) return entry;
      queue.costly.pop();
    }
    return undefined;
  }

  private freeTop(queue: Queue): number | undefined {
    for (let index = queue.free.top(); index !== undefined; index = queue.free.top()) {
      if (!this.done[index]) return index;
      queue.free.pop();
    }
    return undefined;
  }

  private zoneHasRoom(zone: string | undefined): boolean {
    const limit = this.packing.caps.nodesPerZone;
    return zone === undefined || limit === undefined || (this.zones.get(zone) ?? 0) < limit;
  }

  private take(index: number): void {
    const candidate = this.nodes[index];
    if (candidate === undefined) return;
    this.done[index] = true;
    this.left[candidate.rank] = (this.left[candidate.rank] ?? 0) - 1;
    const fresh = this.fresh[index] ?? 0;
    this.open.nodes.push({ candidate, fresh });
    this.open.fresh += fresh;
    if (candidate.zone !== undefined) this.zones.set(candidate.zone, (this.zones.get(candidate.zone) ?? 0) + 1);
    const touched = new Set<number>();
    for (const group of candidate.groups) {
      if (this.exposed.has(group)) continue;
      this.exposed.add(group);
      this.open.groups.push(group);
      for (const member of this.members.get(group) ?? []) {
        this.fresh[member] = (this.fresh[member] ?? 0) - (this.packing.groupSizes[group] ?? 0);
        touched.add(member);
      }
    }
    for (const member of touched) if (!this.done[member]) this.enqueue(member);
  }

  private close(): void {
    const { nodes, groups, fresh } = this.open;
    if (nodes.length > 0) this.batches.push({ nodes, groups, overCap: fresh > this.packing.caps.services });
    this.open = { nodes: [], groups: [], fresh: 0 };
    this.zones.clear();
  }

  private entryOf(index: number): number {
    return (this.fresh[index] ?? 0) * this.nodes.length + index;
  }

  private enqueue(index: number): void {
    const node = this.nodes[index];
    const queues = node && this.queues[node.rank];
    if (!queues) return;
    // Zones need queues of their own only where they are limited.
    const zone = this.packing.caps.nodesPerZone === undefined ? undefined : node.zone;
    let queue = queues.get(zone);
    if (!queue) {
      queue = { zone, costly: new MinHeap(), free: new MinHeap() };
      queues.set(zone, queue);
    }
    if (this.fresh[index] === 0) queue.free.push(index);
    else queue.costly.push(this.entryOf(index));
  }
}
