import { fingerprintOf, planIdOf } from './fingerprint.ts';
import type { Inventory } from './inventory.ts';
import type { Batch, Plan } from './plan.ts';
import { type PlanInput, planMigration } from './planner.ts';

/**
 * The plan with further batches for nodes that it does not hold and that can be flipped now: those that joined since, or are
 * Ready by now. The plan itself when there are none. Its own batches stay as they are, so a run under way can go on with it.
 * Services that its batches expose are not counted again, but for the caps of the new batches.
 */
export function extendPlan(
  plan: Plan,
  inventory: Inventory,
  hash: (text: string) => string,
  proxyConfig?: PlanInput['proxyConfig'],
): Plan {
  const planned = new Set(plan.batches.flatMap(batch => batch.nodes.map(node => node.name)));
  const { to, playbook, driver } = plan;
  // Nodes of the plan are on their way already, whatever they serve in now; what serves in an unknown mode waits.
  const nodes = inventory.nodes
    .map(node => (planned.has(node.name) ? { ...node, mode: to } : node))
    .filter(node => node.mode !== 'unknown');
  const order = { ...playbook.order };
  delete order.canary;
  const more = planMigration({
    inventory: { ...inventory, nodes },
    // The way back was proven, or is to be, on a node of the plan.
    playbook: { ...playbook, order, rehearse: 'none' },
    to,
    driver,
    madeAt: inventory.takenAt,
    hash,
    proxyConfig,
  });
  if (more.batches.length === 0) return plan;
  const batches = [...plan.batches, ...further(plan, more.batches)];
  const added = new Set(more.batches.flatMap(batch => batch.nodes.map(node => `node/${node.name}`)));
  const parts = Object.entries(fingerprintOf(inventory)).filter(([part]) => added.has(part));
  const extended: Plan = {
    ...plan,
    batches,
    skipped: more.skipped.filter(node => !planned.has(node.name)),
    fingerprint: { ...plan.fingerprint, ...Object.fromEntries(parts) },
  };
  return { ...extended, id: planIdOf(extended, hash) };
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

/** Whether `later` is `plan` with or without further batches. */
export function continues(later: Plan, plan: Plan): boolean {
  if (later.id === plan.id) return true;
  const same = later.to === plan.to && later.madeAt === plan.madeAt && later.cluster.uid === plan.cluster.uid;
  return same && plan.batches.every((batch, i) => JSON.stringify(batch) === JSON.stringify(later.batches[i]));
}
