import { planIdOf } from './fingerprint.ts';
import type { Inventory } from './inventory.ts';
import type { Batch, Plan, PlannedNode } from './plan.ts';
import { planMigration } from './planner.ts';
import type { Playbook } from './playbook.ts';
import { type Adjustment, adjustmentText } from './steering.ts';
import { few } from './words.ts';

/** What a run has come to when its plan is adjusted. */
export interface Progress {
  readonly inventory: Inventory;
  /** Ids of the batches of which a node was touched: they stay as they are. */
  readonly begun: ReadonlySet<string>;
  readonly hash: (text: string) => string;
}

/**
 * The plan with other caps and another soak for what has not begun. New caps pack the nodes of those batches anew; the Services
 * that the begun batches expose are not counted again. Nodes that are gone or were made anew are left out, and noted.
 */
export function adjustPlan(plan: Plan, change: Adjustment, progress: Progress): Plan {
  const playbook = adjusted(plan.playbook, change);
  const repack = change.services !== undefined || change.nodes !== undefined;
  const { batches, lost } = repack ? packRest(plan, playbook, progress) : { batches: plan.batches, lost: [] };
  const notes = [
    ...plan.notes,
    `adjusted by ${change.by} at ${change.at}: ${adjustmentText(change)}`,
    ...(lost.length > 0 ? [`left out since, because they are gone or were made anew: ${few(lost)}`] : []),
  ];
  const skipped = [...plan.skipped, ...lost.map(name => ({ name, why: 'gone or made anew during the run' }))];
  const next: Plan = { ...plan, playbook, batches, notes, skipped };
  return { ...next, id: planIdOf(next, progress.hash) };
}

function adjusted(playbook: Playbook, { services, nodes, soak }: Adjustment): Playbook {
  const { batch, gates } = playbook;
  return {
    ...playbook,
    batch: { services: services ?? batch.services, nodes: nodes ?? batch.nodes },
    gates: { ...gates, soak: soak ?? gates.soak },
  };
}

function packRest(
  plan: Plan,
  playbook: Playbook,
  { inventory, begun, hash }: Progress,
): { batches: Batch[]; lost: string[] } {
  const kept = plan.batches.filter(batch => begun.has(batch.id));
  const rest = new Map(plan.batches.filter(b => !begun.has(b.id)).flatMap(b => b.nodes.map(n => [n.name, n] as const)));
  const there = inventory.nodes.filter(node => rest.get(node.name)?.uid === node.uid);
  const lost = [...rest.keys()].filter(name => !there.some(node => node.name === name));
  if (there.length === 0) return { batches: kept, lost };
  const meant = new Set(there.map(node => node.name));
  const { canary, ...order } = playbook.order;
  // Nothing has begun: somebody goes ahead, and who that is does not change.
  const first = kept.length === 0 && canary !== undefined && meant.has(canary) ? { canary } : {};
  const exclude = inventory.nodes.filter(node => !meant.has(node.name)).map(node => node.name);
  const more = planMigration({
    // What the plan said of a node holds: whether it may be flipped now is asked when its turn comes.
    inventory: {
      ...inventory,
      nodes: inventory.nodes.map(n =>
        meant.has(n.name) ? { ...n, ready: true, mode: rest.get(n.name)?.from ?? n.mode } : n,
      ),
    },
    playbook: { ...playbook, order: { ...order, ...first, exclude } },
    to: plan.to,
    driver: plan.driver,
    madeAt: plan.madeAt,
    hash,
    begun: new Set(kept.flatMap(batch => batch.nodes.map(node => node.name))),
  });
  const before = kept.at(-1)?.exposedAfter ?? 0;
  const used = new Set(kept.map(batch => batch.id));
  const batches = more.batches.map(batch => ({
    ...batch,
    nodes: batch.nodes.map(node => withWayBack(node, rest.get(node.name))),
    id: freeId(used),
    exposedAfter: before + batch.exposedAfter,
  }));
  return { batches: [...kept, ...batches], lost };
}

/** What was found, and confirmed, of its way back when the plan was made. */
function withWayBack({ oneWay: _, ...node }: PlannedNode, planned: PlannedNode | undefined): PlannedNode {
  return planned?.oneWay === undefined ? node : { ...node, oneWay: planned.oneWay };
}

function freeId(used: Set<string>): string {
  let n = used.size + 1;
  while (used.has(`batch-${n}`)) n++;
  used.add(`batch-${n}`);
  return `batch-${n}`;
}
