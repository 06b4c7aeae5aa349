import { fingerprintOf, planIdOf } from './fingerprint.ts';
import type { Inventory, NodeFacts } from './inventory.ts';
import type { Batch, Plan, PlannedNode } from './plan.ts';
import { type PlanInput, planMigration } from './planner.ts';

/**
 * The plan with further batches for nodes that it does not hold and that can be flipped now: those that joined since, or are
 * Ready by now. A node that was made anew takes the place of the one that bore its name. The plan itself when there are neither.
 * Its own batches stay as they are otherwise, so a run under way can go on with it. Services that they expose are not counted
 * again.
 */
export function extendPlan(
  plan: Plan,
  inventory: Inventory,
  hash: (text: string) => string,
  proxyConfig?: PlanInput['proxyConfig'],
): Plan {
  const planned = new Map(plan.batches.flatMap(batch => batch.nodes.map(node => [node.name, node.uid] as const)));
  const isAnew = ({ name, uid }: NodeFacts) => planned.has(name) && planned.get(name) !== uid;
  // The plan has counted what the machine before exposed, and not what runs on this one.
  const counted = { ...inventory, nodes: inventory.nodes.map(node => (isAnew(node) ? { ...node, pods: {} } : node)) };
  const planFor = (isMeant: (node: NodeFacts) => boolean) => planOf(plan, counted, { hash, proxyConfig, isMeant });
  // Nodes of the plan are on their way already, whatever they serve in now.
  const more = planFor(node => !planned.has(node.name));
  const anew = new Map(
    inventory.nodes.some(isAnew)
      ? planFor(isAnew).batches.flatMap(batch => batch.nodes.map(node => [node.name, node] as const))
      : [],
  );
  if (more.batches.length === 0 && anew.size === 0) return plan;
  const own = plan.batches.map(batch => ({ ...batch, nodes: batch.nodes.map(node => inPlaceOf(node, anew)) }));
  const batches = [...own, ...further(plan, more.batches)];
  const added = new Set([...more.batches.flatMap(b => b.nodes.map(n => n.name)), ...anew.keys()]);
  const parts = Object.entries(fingerprintOf(inventory)).filter(([part]) => added.has(part.replace(/^node\//, '')));
  const extended: Plan = {
    ...plan,
    batches,
    skipped: more.skipped.filter(node => !planned.has(node.name)),
    fingerprint: { ...plan.fingerprint, ...Object.fromEntries(parts) },
  };
  return { ...extended, id: planIdOf(extended, hash) };
}

/** A plan of those that are meant, by the standing plan's own playbook. What serves in an unknown mode waits. */
function planOf(
  { to, playbook, driver, batches }: Plan,
  inventory: Inventory,
  given: Pick<PlanInput, 'hash' | 'proxyConfig'> & { isMeant: (node: NodeFacts) => boolean },
): Plan {
  const { isMeant, ...rest } = given;
  const nodes = inventory.nodes
    .map(node => (isMeant(node) ? node : { ...node, mode: to }))
    .filter(node => node.mode !== 'unknown');
  return planMigration({
    inventory: { ...inventory, nodes },
    playbook,
    to,
    // Their batches come first, with the canary and the way back that it proves.
    begun: new Set(batches.flatMap(batch => batch.nodes.map(node => node.name))),
    driver,
    madeAt: inventory.takenAt,
    ...rest,
  });
}

function inPlaceOf(node: PlannedNode, anew: ReadonlyMap<string, PlannedNode>): PlannedNode {
  const other = anew.get(node.name);
  return other ? { ...other, why: 'made anew since the plan was made' } : node;
}

function further(plan: Plan, batches: readonly Batch[]): Batch[] {
  const exposed = new Set(plan.batches.flatMap(batch => batch.services));
  return batches.map((batch, index) => {
    const services = batch.services.filter(service => !exposed.has(service));
    for (const service of services) exposed.add(service);
    const namespaces = [...new Set(services.map(service => service.slice(0, service.indexOf('/'))))].sort();
    const id = `batch-${plan.batches.length + index + 1}`;
    return { ...batch, id, services, namespaces, exposedAfter: exposed.size };
  });
}

/** Whether `later` is `plan` with or without further batches, and nodes that were made anew. */
export function continues(later: Plan, plan: Plan): boolean {
  if (later.id === plan.id) return true;
  const same = later.to === plan.to && later.madeAt === plan.madeAt && later.cluster.uid === plan.cluster.uid;
  return same && plan.batches.every((batch, i) => isSame(batch, later.batches[i]));
}

/** But for machines that were made anew. */
function isSame(batch: Batch, later: Batch | undefined): boolean {
  const nodes = batch.nodes.map((node, i) => {
    const now = later?.nodes[i];
    return now?.name === node.name && now.uid !== node.uid ? now : node;
  });
  return JSON.stringify({ ...batch, nodes }) === JSON.stringify(later);
}
