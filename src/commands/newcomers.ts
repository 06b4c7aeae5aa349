import type { Cluster } from '../core/cluster.ts';
import { extendPlan } from '../core/extend-plan.ts';
import type { Inventory } from '../core/inventory.ts';
import type { Plan } from '../core/plan.ts';
import type { RunRecord } from '../core/run-state.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from '../report/escape.ts';
import type { CommandIo } from './io.ts';
import { configOf } from './make-plan.ts';
import { confirmOneWay, type OneWayOptions } from './one-way.ts';
import { checkFirst } from './preflight.ts';
import { sha256 } from './session.ts';

/** A run that stands in the cluster, and the plan file that was given with the call. */
export interface Standing {
  readonly cluster: Cluster;
  readonly inventory: Inventory;
  readonly record: RunRecord;
  readonly given?: Plan;
}

/**
 * The record to go on with: further batches for nodes that joined since the plan was made, shown and checked as a new plan is.
 * The same record when there are none, or when a plan file says what to do.
 */
export async function withNewcomers(io: CommandIo, standing: Standing, options: OneWayOptions): Promise<RunRecord> {
  const { cluster, inventory, record, given } = standing;
  const plan = given ? record.plan : extendPlan(record.plan, inventory, sha256, configOf(inventory));
  const further = plan.batches.slice(record.plan.batches.length);
  if (further.length === 0) return record;
  const names = new Set(further.flatMap(batch => batch.nodes.map(node => node.name)));
  await checkFirst(io, cluster, { ...inventory, nodes: inventory.nodes.filter(n => names.has(n.name)) }, plan);
  io.err(`${count(names.size, 'node')} joined since the plan was made:`);
  for (const { id, nodes, services } of further) {
    const which = few(nodes.map(node => `${node.name} (${node.from})`));
    io.err(`  ${id}: ${escapeText(which)}, exposing ${count(services.length, 'further Service')}`);
  }
  await confirmOneWay(
    io,
    further.flatMap(batch => batch.nodes),
    options,
  );
  return { ...record, revision: record.revision + 1, plan };
}
