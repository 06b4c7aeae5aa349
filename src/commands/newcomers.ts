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
 * The record to go on with: further batches for nodes that joined since the plan was made, and those that were made anew in the
 * place of the old ones, shown and checked as a new plan is. The same record when there are none, or when a plan file says what to do.
 */
export async function withNewcomers(io: CommandIo, standing: Standing, options: OneWayOptions): Promise<RunRecord> {
  const { cluster, inventory, record, given } = standing;
  const plan = given ? record.plan : extendPlan(record.plan, inventory, sha256, configOf(inventory));
  if (plan === record.plan) return record;
  const known = new Set(record.plan.batches.flatMap(batch => batch.nodes.map(node => node.uid)));
  const added = plan.batches
    .map(batch => ({ ...batch, nodes: batch.nodes.filter(node => !known.has(node.uid)) }))
    .filter(batch => batch.nodes.length > 0);
  const nodes = added.flatMap(batch => batch.nodes);
  const names = new Set(nodes.map(node => node.name));
  await checkFirst(io, cluster, { ...inventory, nodes: inventory.nodes.filter(n => names.has(n.name)) }, plan);
  io.err(`${count(names.size, 'node')} joined since the plan was made:`);
  for (const { id, nodes: its, services } of added) {
    const which = few(its.map(node => `${node.name} (${node.from})`));
    const isFurther = !record.plan.batches.some(batch => batch.id === id);
    const exposing = isFurther ? `exposing ${count(services.length, 'further Service')}` : 'made anew';
    io.err(`  ${id}: ${escapeText(which)}, ${exposing}`);
  }
  await confirmOneWay(io, nodes, options);
  return { ...record, revision: record.revision + 1, plan };
}
