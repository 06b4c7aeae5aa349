import { canonicalJson } from '../core/canonical.ts';
import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { continues } from '../core/extend-plan.ts';
import { planIdOf, verifyPlan } from '../core/fingerprint.ts';
import type { Inventory } from '../core/inventory.ts';
import type { Plan } from '../core/plan.ts';
import type { Playbook } from '../core/playbook.ts';
import type { RunRecord } from '../core/run-state.ts';
import { noWayBack } from '../core/way-back.ts';
import { outsideLines } from '../report/outside-text.ts';
import { planLine, planText } from '../report/plan-text.ts';
import { realClock } from '../run/clock.ts';
import { fencedCluster } from '../run/fence.ts';
import { holding } from '../run/hold.ts';
import { migrate } from '../run/migrate.ts';
import { ensureNamespace, findRecord, refuseTooLarge, replaceRecord, writeRecord } from '../run/record.ts';
import { rememberConsent, showForeign } from './consent.ts';
import { type CommandIo, confirm } from './io.ts';
import { configOf, makePlan, playbookOf, targetOf, type Wishes } from './make-plan.ts';
import { type Standing, withNewcomers } from './newcomers.ts';
import { confirmOneWay, type OneWayOptions, refuseOddNames } from './one-way.ts';
import { originalsOf } from './originals.ts';
import { refuseOrphans } from './orphans.ts';
import { checkFirst } from './preflight.ts';
import { readPlan } from './read-file.ts';
import { runAction } from './run-action.ts';
import { holder, imageOf, inventoryOf, newRunId, openCluster, type RunOptions, sayImage, sha256 } from './session.ts';
import { signals } from './signals.ts';

export interface MigrateOptions extends Wishes, OneWayOptions {
  watcherImage?: string;
}

interface GoOnOptions extends OneWayOptions {
  to?: string;
  playbook?: string;
  watcherImage?: string;
  takeover?: boolean;
}

export async function migrateCommand(
  io: CommandIo,
  planFile: string | undefined,
  options: MigrateOptions,
): Promise<number> {
  // Everything that can be wrong with the input is said before anything is asked of the cluster.
  const playbook = playbookOf(options);
  if (planFile !== undefined) refuseBesidePlan(options);
  const given = planFile === undefined ? undefined : readPlan(planFile);
  const cluster = await openCluster(io);
  try {
    const inventory = await inventoryOf(cluster);
    const record = await findRecord(cluster);
    if (record) {
      refuseOtherWishes(record, options, playbook);
      return await goOn(io, { cluster, inventory, record, ...(given ? { given } : {}) }, options);
    }
    await refuseOrphans(cluster);
    const plan = given ?? makePlan(inventory, targetOf(inventory, playbook), playbook);
    if (given) refuseStale(given, inventory);
    if (plan.batches.length === 0) {
      io.err(`nothing to do: every node that can be flipped serves in mode ${plan.to}`);
      return EXIT.done;
    }
    await checkFirst(io, cluster, inventory, plan);
    const shown = given
      ? outsideLines(plan.playbook, io.width).join('\n')
      : planText(plan, { width: io.width, paint: io.paint, verbose: io.options.verbose });
    if (shown !== '') io.err(shown);
    const nodes = plan.batches.flatMap(batch => batch.nodes);
    refuseOddNames(nodes, options);
    refuseTooLarge(await firstRecord(cluster, inventory, plan));
    await confirmOneWay(io, nodes, options);
    io.err(planLine(plan));
    await confirm(io, cluster.identity, options.yes === true, 'migrate');
    const made = { ...(await firstRecord(cluster, inventory, plan)), ...imageOf(options) };
    await ensureNamespace(cluster, realClock);
    const hold = { cluster, clock: realClock, record, run: made.run, holder: holder(made.run) };
    return await holding(hold, async held => {
      await writeRecord(fencedCluster(cluster, held), made);
      return start(io, { cluster, inventory, record: made, held }, options);
    });
  } finally {
    cluster.close();
  }
}

/** Of a run that begins now. */
async function firstRecord(cluster: Cluster, inventory: Inventory, plan: Plan): Promise<RunRecord> {
  const originals = await originalsOf(cluster, inventory);
  const startedAt = new Date().toISOString();
  return { kind: 'RunRecord', version: 1, run: newRunId(), revision: 1, startedAt, plan, originals };
}

/** A plan says all of that itself. @throws ProxyctlError 64 */
function refuseBesidePlan({ to, batch, playbook }: Wishes): void {
  const [flag] = Object.entries({ '--to': to, '--batch': batch, '--playbook': playbook }).find(([, v]) => v) ?? [];
  if (flag === undefined) return;
  const why = `a plan file was made with a target, caps and a playbook, and ${flag} would change none of them`;
  throw new ProxyctlError(`${why}; leave it out, or make another plan with 'proxyctl plan'`, EXIT.usage);
}

/** What was typed would not be heeded: a run goes on by the playbook that it was planned with. @throws ProxyctlError 64 */
function refuseOtherWishes(
  { run, plan, adjusted }: RunRecord,
  { batch, playbook: file }: Wishes,
  wanted: Playbook,
): void {
  // Whoever repeats the call that began a run means that run, however it was adjusted since.
  if (adjusted) return;
  const rest = ({ to: _to, batch: _batch, ...others }: Playbook) => canonicalJson(others);
  const { services } = plan.playbook.batch;
  const other = [
    ...(batch !== undefined && wanted.batch.services !== services ? [`--batch ${services}`] : []),
    ...(file !== undefined && rest(wanted) !== rest(plan.playbook) ? ['another playbook'] : []),
  ];
  if (other.length === 0) return;
  const advice = "'proxyctl resume' goes on so, 'proxyctl adjust' changes caps and soak of a run";
  throw new ProxyctlError(
    `run ${run} stands in this cluster, begun with ${other.join(' and ')}; ${advice}`,
    EXIT.usage,
  );
}

/** A run stands in the cluster: go on with it, if that is what was asked for. */
export async function goOn(io: CommandIo, standing: Standing, options: GoOnOptions): Promise<number> {
  const { cluster, inventory, record, given } = standing;
  const adjusted = record.adjusted?.some(a => a.was === given?.id) === true;
  if (given && !adjusted && !continues(record.plan, given)) {
    throw new ProxyctlError(
      `run ${record.run} stands in this cluster with another plan; finalize it or roll it back first`,
      EXIT.runUnderWay,
    );
  }
  if (options.to !== undefined && options.to !== record.plan.to) {
    throw new ProxyctlError(
      `run ${record.run} to ${record.plan.to} stands in this cluster; 'proxyctl finalize' or 'proxyctl rollback' first, then migrate to ${options.to}`,
      EXIT.runUnderWay,
    );
  }
  io.err(`going on with run ${record.run} (to ${record.plan.to})`);
  sayImage(io, record, options);
  const own = options.playbook === undefined ? given?.playbook : playbookOf(options);
  showForeign(io, record, own, options.yes === true);
  const next = await withNewcomers(io, standing, options);
  await confirm(io, cluster.identity, options.yes === true, 'go on');
  const force = options.takeover === true;
  const { run } = record;
  return holding({ cluster, clock: realClock, record, run, holder: holder(run), force }, async held => {
    if (next !== record) await replaceRecord(fencedCluster(cluster, held), record, next);
    return start(io, { cluster, inventory, record: next, held }, options);
  });
}

type Started = Pick<RunOptions, 'cluster' | 'inventory' | 'record' | 'held'>;

async function start(io: CommandIo, started: Started, options: GoOnOptions): Promise<number> {
  rememberConsent(started.record);
  const { stop, kill, off } = signals(text => io.err(text));
  try {
    const run = { ...started, stop, kill, action: 'migrate' as const, ...imageOf(options) };
    return (await runAction(io, run, migrate)).code;
  } finally {
    off();
  }
}

/** Nodes that had a way back when the plan was made, and have none now. */
function closedWays(plan: Plan, inventory: Inventory): string[] {
  const facts = { proxy: inventory.proxy, config: configOf(inventory) };
  return plan.batches
    .flatMap(batch => batch.nodes)
    .flatMap(({ name, from, oneWay }) => {
      const node = inventory.nodes.find(n => n.name === name);
      const why = node && oneWay === undefined ? noWayBack(node, from, facts) : undefined;
      return why === undefined ? [] : [`node ${name} has no way back any more (${why})`];
    });
}

function refuseStale(plan: Plan, inventory: Inventory): void {
  if (plan.cluster.uid !== inventory.cluster.uid) {
    throw new ProxyctlError(
      `the plan is for cluster ${plan.cluster.context} (${plan.cluster.server}), not for this one; make a plan here`,
      EXIT.stalePlan,
    );
  }
  if (planIdOf(plan, sha256) !== plan.id)
    throw new ProxyctlError('the plan was edited after it was made; make a new one', EXIT.stalePlan);
  const changes = [...verifyPlan(plan, inventory, sha256), ...closedWays(plan, inventory)];
  if (changes.length > 0)
    throw new ProxyctlError(`the plan is stale: ${changes.join('; ')}; make a new one`, EXIT.stalePlan);
}
