// A plan is data, made from data: the same inventory and playbook give the same plan.
import { type Candidate, type PackedBatch, type Packing, packBatches, smallestCandidate } from './batching.ts';
import { EXIT, ProxyctlError } from './errors.ts';
import { nodeSeconds } from './estimate.ts';
import { type Reach, reachOf } from './exposure.ts';
import { fingerprintOf, planIdOf } from './fingerprint.ts';
import { familiesOf, type Inventory, type NodeFacts } from './inventory.ts';
import { lowerBound } from './lower-bound.ts';
import { isMode, type Mode } from './mode.ts';
import { type Batch, PLAN_VERSION, type Plan, type PlannedNode } from './plan.ts';
import type { Playbook } from './playbook.ts';
import { noWayBack } from './way-back.ts';
import { count, few } from './words.ts';

export interface PlanInput {
  inventory: Inventory;
  playbook: Playbook;
  to: Mode;
  /** Caps that stand in for the playbook's; the plan's copy of the playbook holds what was used. */
  batch?: { services?: number | undefined; nodes?: number | undefined } | undefined;
  /** Id of the driver that will flip the nodes. */
  driver: string;
  /** ISO date and time. */
  madeAt: string;
  /** sha256 in hex. */
  hash: (text: string) => string;
  /** Notes to carry along, e.g. on options of the configuration. */
  notes?: readonly string[] | undefined;
  /** The shared KubeProxyConfiguration, parsed: it tells of ways back that are none. */
  proxyConfig?: Readonly<Record<string, unknown>> | undefined;
  /** Nodes that a run has flipped already: what they expose is not counted again, and no canary goes first. */
  begun?: ReadonlySet<string> | undefined;
}

/** A node that is to flip, with what it flips from. */
interface Chosen {
  readonly node: NodeFacts;
  readonly from: Mode;
}

/** Pure. No batches when there is nothing to do. ProxyctlError (usage) when the playbook and the cluster contradict each other. */
export function planMigration(input: PlanInput): Plan {
  const { inventory, to } = input;
  const playbook = effectivePlaybook(input);
  const { chosen, skipped, notes } = chooseNodes(inventory, playbook, to);
  const reach = reachOf(inventory, playbook);
  const begun = input.begun ?? new Set();
  const exposed = new Set([...begun].flatMap(name => reach.byNode.get(name) ?? []));
  const candidates = chosen.map(({ node }) => withoutGroups(candidateOf(node, reach, playbook), exposed));
  const groupSizes = reach.groups.map(group => group.services.length);
  const canary =
    begun.size > 0 ? { name: undefined, why: '', notes: [] } : chooseCanary(candidates, groupSizes, playbook, skipped);
  const packing: Packing = {
    candidates,
    groupSizes,
    caps: { ...playbook.batch, nodesPerZone: playbook.order.nodesPerZone },
    everywhere: begun.size > 0 ? 0 : reach.everywhere.length,
    canary: canary.name,
  };
  const packed = packBatches(packing);
  const batches = describeBatches(packed, chosen, reach, input, playbook, canary);
  const plan: Omit<Plan, 'id'> = {
    kind: 'Plan',
    version: PLAN_VERSION,
    madeAt: input.madeAt,
    cluster: inventory.cluster,
    driver: input.driver,
    to,
    families: familiesOf(inventory),
    playbook,
    batches,
    skipped,
    everywhere: [...reach.everywhere],
    lowerBound: lowerBound(
      packing,
      packed.slice(1).some(batch => batch.overCap),
    ),
    exposure: reach.description,
    notes: [
      ...(input.notes ?? []),
      ...notes,
      ...canary.notes,
      ...rehearsalNotes(batches),
      ...orderNotes(inventory, playbook, chosen, reach),
    ],
    fingerprint: fingerprintOf(inventory),
  };
  return { ...plan, id: planIdOf(plan, input.hash) };
}

function effectivePlaybook({ playbook, batch, to }: PlanInput): Playbook {
  if (playbook.from === to)
    throw new ProxyctlError(`the playbook moves nodes from ${to} and the target is ${to}, too`, EXIT.usage);
  const caps = { services: batch?.services ?? playbook.batch.services, nodes: batch?.nodes ?? playbook.batch.nodes };
  for (const [name, cap] of Object.entries(caps)) {
    if (!Number.isSafeInteger(cap) || cap < 1)
      throw new ProxyctlError(`batch.${name} must be a whole number above 0, not ${cap}`, EXIT.usage);
  }
  return { ...playbook, to, batch: caps };
}

function chooseNodes(
  inventory: Inventory,
  playbook: Playbook,
  to: Mode,
): { chosen: Chosen[]; skipped: Plan['skipped']; notes: string[] } {
  const chosen: Chosen[] = [];
  const skipped: Plan['skipped'] = [];
  const assumed: string[] = [];
  const others: string[] = [];
  for (const node of inventory.nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const why = reasonToSkip(node, playbook, to);
    if (why !== undefined) {
      skipped.push({ name: node.name, why });
      if (isMode(node.mode) && node.mode !== to && node.mode !== playbook.from && playbook.from) others.push(node.name);
    } else if (isMode(node.mode)) chosen.push({ node, from: node.mode });
    else {
      chosen.push({ node, from: playbook.from ?? unanimousMode(inventory, to, node.name) });
      assumed.push(node.name);
    }
  }
  const notes: string[] = [];
  const from = chosen.find(({ node }) => assumed.includes(node.name))?.from;
  if (from)
    notes.push(`the mode of ${few(assumed)} is not known: ${from} is assumed, and checked before the node is touched`);
  if (others.length > 0)
    notes.push(`left alone because the playbook moves nodes from ${playbook.from}: ${few(others)}`);
  return { chosen, skipped, notes };
}

function reasonToSkip(node: NodeFacts, playbook: Playbook, to: Mode): string | undefined {
  if (node.os !== 'linux') return node.os === 'windows' ? 'Windows' : `runs ${node.os}, not linux`;
  if (node.mode === 'none') return 'another program serves Services there';
  if (playbook.order.exclude.includes(node.name)) return 'excluded by the playbook';
  if (node.mode === to) return `already in ${to}`;
  if (!node.ready) return 'not Ready';
  if (playbook.from && node.mode !== 'unknown' && node.mode !== playbook.from)
    return `in ${node.mode}, the playbook moves from ${playbook.from}`;
  return undefined;
}

/** The mode of all nodes whose mode is known, for those whose mode is not. */
function unanimousMode(inventory: Inventory, to: Mode, name: string): Mode {
  const known = new Set(inventory.nodes.map(node => node.mode).filter(isMode));
  const [mode] = known;
  if (mode !== undefined && known.size === 1 && mode !== to) return mode;
  const seen = known.size === 0 ? 'no node tells' : `the others are in ${[...known].sort().join(', ')}`;
  throw new ProxyctlError(
    `the mode of node ${name} is not known and ${seen}: give \`from\` in the playbook`,
    EXIT.usage,
  );
}

function candidateOf(node: NodeFacts, reach: Reach, playbook: Playbook): Candidate {
  const groups = reach.byNode.get(node.name) ?? [];
  const last = playbook.order.lastNamespaces;
  const late =
    last.length > 0 && groups.some(group => reach.groups[group]?.namespaces.some(name => last.includes(name)));
  const rank = node.role === 'control-plane' ? (late ? 3 : 2) : late ? 1 : 0;
  return { name: node.name, rank, zone: node.zone, groups };
}

function withoutGroups(candidate: Candidate, exposed: ReadonlySet<number>): Candidate {
  return exposed.size === 0
    ? candidate
    : { ...candidate, groups: candidate.groups.filter(group => !exposed.has(group)) };
}

function chooseCanary(
  candidates: readonly Candidate[],
  groupSizes: readonly number[],
  playbook: Playbook,
  skipped: Plan['skipped'],
): { name: string; why: string; notes: string[] } {
  const wanted = playbook.order.canary;
  const why = 'canary: smallest exposure';
  const name = smallestCandidate(candidates, groupSizes)?.name ?? '';
  if (wanted === undefined) return { name, why, notes: [] };
  if (candidates.some(candidate => candidate.name === wanted))
    return { name: wanted, why: 'canary, as the playbook says', notes: [] };
  const reason = skipped.find(node => node.name === wanted)?.why;
  if (reason === undefined)
    throw new ProxyctlError(`order.canary: there is no node ${wanted} in this cluster`, EXIT.usage);
  const instead = name === '' ? '' : `; ${name} goes first`;
  return { name, why, notes: [`the playbook's canary ${wanted} is left alone (${reason})${instead}`] };
}

function describeBatches(
  packed: readonly PackedBatch[],
  chosen: readonly Chosen[],
  reach: Reach,
  { inventory, to, proxyConfig }: PlanInput,
  playbook: Playbook,
  canary: { name: string | undefined; why: string },
): Batch[] {
  const byName = new Map(chosen.map(entry => [entry.node.name, entry]));
  const proxied = inventory.services.filter(service => service.proxied);
  const endpoints = proxied.reduce((sum, service) => sum + service.endpoints, 0);
  const { soak, drain } = playbook.gates;
  let exposedAfter = 0;
  return packed.map((batch, position) => {
    const services = batch.groups.flatMap(group => reach.groups[group]?.services ?? []);
    const isCanary = position === 0 && canary.name !== undefined;
    if (isCanary) services.push(...reach.everywhere);
    const rehearses = isCanary && playbook.rehearse === 'canary' ? canary.name : undefined;
    services.sort();
    exposedAfter += services.length;
    let estimate = 0;
    const nodes = batch.nodes.map(({ candidate, fresh }): PlannedNode => {
      const entry = byName.get(candidate.name);
      if (!entry) throw new Error(`node ${candidate.name} was packed and not chosen`);
      const load = { services: proxied.length, endpoints, soak, drain };
      const there = nodeSeconds({ ...load, from: entry.from, to });
      estimate += there;
      if (rehearses) estimate += nodeSeconds({ ...load, from: to, to: entry.from }) + there;
      const why = isCanary ? canary.why : reasonFor(candidate, fresh, batch.overCap);
      const oneWay = noWayBack(entry.node, entry.from, { proxy: inventory.proxy, config: proxyConfig });
      const node = { name: candidate.name, uid: entry.node.uid, from: entry.from, why };
      return oneWay === undefined ? node : { ...node, oneWay };
    });
    const namespaces = [...new Set(services.map(service => service.slice(0, service.indexOf('/'))))].sort();
    const id = `batch-${position + 1}`;
    return {
      id,
      nodes,
      namespaces,
      services,
      exposedAfter,
      ...(rehearses === undefined ? {} : { rehearses }),
      overCap: batch.overCap,
      estimate: Math.round(estimate),
    };
  });
}

function rehearsalNotes(batches: readonly Batch[]): string[] {
  const rehearsing = batches.find(batch => batch.rehearses !== undefined);
  const [node] = rehearsing?.nodes ?? [];
  if (!node?.oneWay) return [];
  return [`the way back is rehearsed on ${node.name}, which has none: name another node in order.canary`];
}

function reasonFor(candidate: Candidate, fresh: number, overCap: boolean): string {
  if (overCap) return `exposes ${fresh} Services alone, over the cap`;
  if (candidate.rank >= 2) return 'control plane last';
  if (candidate.rank === 1) return 'exposes a last namespace';
  return fresh === 0 ? 'exposes nothing new' : `smallest new exposure: ${fresh}`;
}

/** What the playbook names that cannot be as it says. */
function orderNotes(inventory: Inventory, playbook: Playbook, chosen: readonly Chosen[], reach: Reach): string[] {
  const notes: string[] = [];
  const { exclude, lastNamespaces, nodesPerZone } = playbook.order;
  const names = new Set(inventory.nodes.map(node => node.name));
  const namespaces = new Set(inventory.namespaces);
  const callers = Object.entries(playbook.exposure.callers).flat(2);
  const strayNodes = exclude.filter(name => !names.has(name));
  if (strayNodes.length > 0) notes.push(`order.exclude names nodes that are not there: ${few(strayNodes)}`);
  for (const [path, given] of [
    ['order.lastNamespaces', lastNamespaces],
    ['exposure.callers', callers],
  ] as const) {
    const stray = [...new Set(given)].filter(name => !namespaces.has(name));
    if (stray.length > 0) notes.push(`${path} names namespaces that are not there: ${few(stray)}`);
  }
  const early = lastNamespaces.filter(name => reach.everywhere.some(service => service.startsWith(`${name}/`)));
  if (early.length > 0)
    notes.push(`last namespaces with Services that are reached from everywhere, so exposed at once: ${few(early)}`);
  const zoneless = chosen.filter(({ node }) => node.zone === undefined).length;
  if (nodesPerZone !== undefined && zoneless > 0)
    notes.push(`order.nodesPerZone does not limit ${count(zoneless, 'node')} without a zone`);
  const already = inventory.nodes.filter(node => node.mode === playbook.to).length;
  if (already > 0 && chosen.length > 0)
    notes.push(`${count(already, 'node')} already in ${playbook.to}: what is reached from there is counted again here`);
  return notes;
}
