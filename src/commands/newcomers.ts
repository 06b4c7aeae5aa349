import type { Cluster } from '../core/cluster.ts';
import { extendPlan } from '../core/extend-plan.ts';
import type { Judgement } from '../core/gate.ts';
import type { Inventory, NodeFacts } from '../core/inventory.ts';
import type { Batch, Plan, PlannedNode } from '../core/plan.ts';
import type { RunRecord } from '../core/run-state.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from '../report/escape.ts';
import { tooLarge } from '../run/record.ts';
import type { CommandIo } from './io.ts';
import { configOf } from './make-plan.ts';
import { namesIn } from './node-names.ts';
import type { OneWayOptions } from './one-way.ts';
import { judgePreflight, showFindings } from './preflight.ts';
import { sha256 } from './session.ts';

/** A run that stands in the cluster, and the plan file that was given with the call. */
export interface Standing {
  readonly cluster: Cluster;
  readonly inventory: Inventory;
  readonly record: RunRecord;
  readonly given?: Plan;
}

/** Nodes that are left out of the run, and why, by name. */
type LeftOut = ReadonlyMap<string, string>;

/**
 * The record to go on with: further batches for nodes that joined since the plan was made, and those that were made anew in the
 * place of the old ones, shown and checked as a new plan is. Who cannot be flipped is left out and named: the standing plan goes
 * on. The same record when nobody is added, or when a plan file says what to do.
 */
export async function withNewcomers(io: CommandIo, standing: Standing, options: OneWayOptions): Promise<RunRecord> {
  const { record, given } = standing;
  if (given) return record;
  const { plan, left, judgements } = await extended(standing, options);
  const added = addedBy(plan, record.plan);
  if (added.length > 0) showFindings(io, standing.inventory, plan, judgements);
  for (const line of leftLines(standing, left, added)) io.err(escapeText(line));
  if (added.length === 0) return record;
  const next = { ...record, revision: record.revision + 1, plan };
  const large = tooLarge(next);
  if (large) {
    io.err(`the run goes on without those who joined: ${large}`);
    return record;
  }
  io.err(`${count(added.flatMap(batch => batch.nodes).length, 'node')} joined since the plan was made:`);
  for (const { id, nodes, services } of added) {
    const which = few(nodes.map(node => `${node.name} (${node.from})`));
    const isFurther = !record.plan.batches.some(batch => batch.id === id);
    const exposing = isFurther ? `exposing ${count(services.length, 'further Service')}` : 'made anew';
    io.err(`  ${id}: ${escapeText(which)}, ${exposing}`);
  }
  return next;
}

interface Extended {
  readonly plan: Plan;
  readonly left: LeftOut;
  /** Preflight of those who are added. */
  readonly judgements: readonly Judgement[];
}

/** The plan with everybody whom preflight has nothing against. */
async function extended({ cluster, inventory, record }: Standing, options: OneWayOptions): Promise<Extended> {
  const left = new Map<string, string>();
  for (;;) {
    const rest = { ...inventory, nodes: inventory.nodes.filter(node => !left.has(node.name)) };
    const plan = extendPlan(record.plan, rest, sha256, configOf(inventory));
    const nodes = addedBy(plan, record.plan).flatMap(batch => batch.nodes);
    if (nodes.length === 0) return { plan: record.plan, left, judgements: [] };
    const names = new Set(nodes.map(node => node.name));
    const theirs = { ...inventory, nodes: inventory.nodes.filter(node => names.has(node.name)) };
    const judgements = await judgePreflight(theirs, plan.to, plan.playbook, cluster);
    const unfit = [...refusedOf(judgements, names), ...withoutWayBack(nodes, options)];
    if (unfit.length === 0) return { plan, left, judgements };
    for (const [name, why] of unfit) if (!left.has(name)) left.set(name, why);
  }
}

/** The batches with what is new in them. */
function addedBy(plan: Plan, before: Plan): Batch[] {
  const known = new Set(before.batches.flatMap(batch => batch.nodes.map(node => node.uid)));
  return plan.batches
    .map(batch => ({ ...batch, nodes: batch.nodes.filter(node => !known.has(node.uid)) }))
    .filter(batch => batch.nodes.length > 0);
}

/** Errors of preflight by node; one that is about no single node is about all of them. */
function refusedOf(judgements: readonly Judgement[], names: ReadonlySet<string>): [name: string, why: string][] {
  return judgements
    .filter(judgement => judgement.verdict === 'fail')
    .flatMap(({ gate, findings }) => findings.filter(f => f.level === 'error').map(finding => ({ gate, ...finding })))
    .flatMap(({ gate, subject, message }) => {
      const name = subject.replace(/^node /, '');
      if (names.has(name)) return [[name, `${gate}: ${message}`] as [string, string]];
      return [...names].map((each): [string, string] => [each, `${gate}: ${subject}: ${message}`]);
    });
}

function withoutWayBack(nodes: readonly PlannedNode[], { oneWay }: OneWayOptions): [name: string, why: string][] {
  const named = new Set(namesIn(oneWay));
  return nodes.flatMap(({ name, oneWay: why }): [string, string][] =>
    why === undefined || named.has(name) ? [] : [[name, `has no way back: ${why}; --one-way ${name} flips it`]],
  );
}

/** Who is not in the plan and does not come into it now. */
function leftLines({ inventory, record: { plan } }: Standing, left: LeftOut, added: readonly Batch[]): string[] {
  const known = new Set([...plan.batches, ...added].flatMap(batch => batch.nodes.map(node => node.uid)));
  const skipped = new Set(plan.skipped.map(node => node.name));
  const lines = inventory.nodes.flatMap(node => {
    if (known.has(node.uid) || node.os !== 'linux') return [];
    const why = left.get(node.name) ?? (skipped.has(node.name) ? undefined : waitsFor(node));
    return why === undefined ? [] : [`  ${node.name}: ${why}`];
  });
  if (lines.length === 0) return [];
  const who = count(
    lines.length,
    'node joined since the plan was made and is',
    'nodes joined since the plan was made and are',
  );
  return [`${who} left out; the next call looks again:`, ...lines];
}

function waitsFor({ ready, mode }: NodeFacts): string | undefined {
  if (!ready) return 'not Ready';
  return mode === 'unknown' ? 'the mode of its kube-proxy is not known' : undefined;
}
