// What an operator wants changed of a run under way, made part of its plan and its record before the next batch begins.
import { adjustPlan } from '../core/adjust-plan.ts';
import type { RunContext } from '../core/driver.ts';
import type { RunEvent } from '../core/journal.ts';
import type { Plan } from '../core/plan.ts';
import { modeLabel, nodeState } from '../core/run-state.ts';
import { adjustmentText } from '../core/steering.ts';
import type { Engine } from './engine.ts';
import { revise, tooLarge } from './record.ts';

/** Batches of which a node was touched: what bears our label or a step. */
export async function begunBatches({ cluster, plan }: Pick<RunContext, 'cluster' | 'plan'>): Promise<Set<string>> {
  const touched = new Set<string>();
  for await (const node of cluster.list('Node')) {
    if (modeLabel(node) !== undefined || nodeState(node) !== undefined) touched.add(node.metadata.name);
  }
  return new Set(plan.batches.filter(batch => batch.nodes.some(node => touched.has(node.name))).map(batch => batch.id));
}

/** Takes up what was wanted since; `begun` are the batches of this process. Whether anything was. */
export async function takeUpAdjustment(engine: Engine, begun: ReadonlySet<string>): Promise<boolean> {
  const { journal, run, standing, hash } = engine;
  const change = engine.adjustment();
  if (!change || standing.record.adjusted?.some(done => done.at === change.at)) return false;
  const { record } = standing;
  const progress = {
    inventory: await engine.lookAgain(),
    begun: new Set([...begun, ...(await begunBatches(run))]),
    hash,
  };
  const plan = adjustPlan(record.plan, change, progress);
  const adjusted = [...(record.adjusted ?? []), { by: change.by, at: change.at, was: record.plan.id }];
  const why = `${adjustmentText(change)}, as ${change.by} wanted at ${change.at}`;
  const large = tooLarge({ ...record, plan, adjusted });
  if (large) {
    journal.append({ event: 'note', text: `not planned anew, ${why}: ${large}` });
    return false;
  }
  await revise(engine, { plan, adjusted });
  journal.append({ event: 'replanned', why, batches: batchesOf(plan) });
  return true;
}

/** The batches of a plan as the journal has them. */
export function batchesOf(plan: Plan): Extract<RunEvent, { event: 'replanned' }>['batches'] {
  return plan.batches.map(({ id, nodes, services, overCap }) => ({
    id,
    nodes: nodes.map(n => n.name),
    services: services.length,
    ...(overCap ? { overCap } : {}),
  }));
}
