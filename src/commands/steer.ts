// pause, abort and adjust: said to whoever runs the run, wherever that is.
import { adjustPlan } from '../core/adjust-plan.ts';
import type { Cluster } from '../core/cluster.ts';
import { Soak } from '../core/duration.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { RunRecord } from '../core/run-state.ts';
import { type Adjustment, adjustmentText, type Control, type Doing, doingOf, type Wish } from '../core/steering.ts';
import { escapeText } from '../report/escape.ts';
import { planText } from '../report/plan-text.ts';
import { begunBatches } from '../run/adjust.ts';
import { answer, ask, ended, leaseOf } from '../run/ask-runner.ts';
import { realClock } from '../run/clock.ts';
import { describeHolder } from '../run/lease.ts';
import { findRecord, refuseTooLarge } from '../run/record.ts';
import { type CommandIo, confirm } from './io.ts';
import { inventoryOf, openCluster, sha256, whoAmI } from './session.ts';

export interface SteerOptions {
  run?: string;
}

export interface AbortOptions extends SteerOptions {
  /** False with --no-wait. */
  wait?: boolean;
}

export interface AdjustOptions extends SteerOptions {
  batch?: string;
  batchNodes?: string;
  soak?: string;
  yes?: boolean;
}

/** The run that stands in the cluster, who runs it (empty when nobody does), and what its runner said last. */
interface Steered {
  readonly cluster: Cluster;
  readonly record: RunRecord;
  readonly runner: string;
  readonly doing: Doing | undefined;
}

export async function pauseCommand(io: CommandIo, options: SteerOptions): Promise<number> {
  return steer(io, options, async steered => {
    if (steered.runner === '') return standsStill(io, steered);
    const doing = await tell(io, steered, control => ({
      ...without(control, 'resumed'),
      pause: control.pause ?? wish(),
    }));
    const when = doing.paused ? 'is paused' : 'pauses after the node in hand';
    io.err(`run ${steered.record.run} ${when}; ${stateText(doing)}; 'proxyctl resume' lets it go on`);
    return EXIT.done;
  });
}

/** Waits until the runner has ended: what comes next, a rollback as a rule, would find it at work. */
export async function abortCommand(io: CommandIo, options: AbortOptions): Promise<number> {
  return steer(io, options, async steered => {
    if (steered.runner === '') return standsStill(io, steered);
    const doing = await tell(io, steered, control => ({ ...control, abort: wish() }));
    io.err(`run ${steered.record.run} stops at the next safe point; ${stateText(doing)}`);
    if (options.wait === false) {
      io.err("then 'proxyctl rollback' puts everything back, 'proxyctl resume' goes on");
      return EXIT.done;
    }
    const end = await ended(steered.cluster, realClock, state => io.err(stateText(state)));
    const how = end === 'silent' ? 'does not answer any more: whoever goes on takes over' : 'has ended';
    io.err(`its runner ${how}; 'proxyctl rollback' puts everything back, 'proxyctl resume' goes on`);
    return EXIT.done;
  });
}

export async function adjustCommand(io: CommandIo, options: AdjustOptions): Promise<number> {
  const change = adjustment(options);
  return steer(io, options, async steered => {
    const { cluster, record, runner, doing } = steered;
    const unended = doing && !doing.finished ? doing.action : 'migrate';
    if (runner !== '' && unended !== 'migrate') {
      const why = `${runner}, runs a ${unended} of run ${record.run}, which has no batches to come`;
      throw new ProxyctlError(`${why}; adjust it when that has ended, before 'proxyctl migrate' goes on`, EXIT.usage);
    }
    const inventory = await inventoryOf(cluster);
    const begun = await begunBatches({ cluster, plan: record.plan });
    const plan = adjustPlan(record.plan, change, { inventory, begun, hash: sha256 });
    refuseTooLarge({ ...record, plan });
    io.err(planText(plan, { width: io.width, paint: io.paint, verbose: io.options.verbose }));
    io.err(`begun already, and left as they are: ${[...begun].map(escapeText).join(', ') || 'none'}`);
    await confirm(io, cluster.identity, options.yes === true, 'adjust the run');
    if (runner === '') {
      await ask(cluster, realClock, control => ({ ...control, adjust: change }));
      // A resume would go on with what was left.
      const onward = unended === 'migrate' ? 'resume' : 'migrate';
      io.err(`run ${record.run} is planned so when it goes on: 'proxyctl ${onward}'`);
      return EXIT.done;
    }
    const heard = await tell(io, steered, control => ({ ...control, adjust: change }));
    io.err(`run ${record.run}: ${adjustmentText(change)}, from the next batch on; ${stateText(heard)}`);
    return EXIT.done;
  });
}

/** Lets a paused runner go on; undefined when it does not answer, and so has to be taken over from. */
export async function unpause(io: CommandIo, cluster: Cluster): Promise<Doing | undefined> {
  const change = await ask(cluster, realClock, control => ({ ...without(control, 'pause'), resumed: wish() }));
  io.err('asked the paused runner to go on');
  return answer(cluster, realClock, change);
}

async function steer(
  io: CommandIo,
  options: SteerOptions,
  perform: (steered: Steered) => Promise<number>,
): Promise<number> {
  const cluster = await openCluster(io);
  try {
    const record = await standingRun(cluster, options.run);
    const lease = await leaseOf(cluster);
    return await perform({ cluster, record, runner: lease ? describeHolder(lease) : '', doing: doingOf(lease) });
  } finally {
    cluster.close();
  }
}

/** The record of the run in the cluster, which has to be `run` where that is given. */
export async function standingRun(cluster: Cluster, run: string | undefined): Promise<RunRecord> {
  const record = await findRecord(cluster);
  if (!record) throw new ProxyctlError(`no run of proxyctl stands in this cluster`, EXIT.usage);
  if (run !== undefined && run !== record.run)
    throw new ProxyctlError(`the run in this cluster is ${record.run}, not ${run}`, EXIT.usage);
  return record;
}

function standsStill(io: CommandIo, { record }: Steered): number {
  io.err(`nothing to do: nobody runs ${record.run} now, it stands still`);
  io.err("'proxyctl resume' goes on, 'proxyctl rollback' puts everything back");
  return EXIT.done;
}

async function tell(
  io: CommandIo,
  { cluster, runner }: Steered,
  change: (control: Control) => Control,
): Promise<Doing> {
  io.err(`asking ${escapeText(runner)}`);
  const doing = await answer(cluster, realClock, await ask(cluster, realClock, change));
  if (doing) return doing;
  throw new ProxyctlError(
    `${runner}, does not answer; what you want stands on its Lease, should it wake; 'proxyctl resume' and 'proxyctl rollback' take over from a runner that is dead`,
    EXIT.runUnderWay,
  );
}

function stateText({ text, since }: Doing): string {
  return `now: ${escapeText(text)}, since ${escapeText(since.slice(0, 19))}Z`;
}

function wish(): Wish {
  return { by: whoAmI(), at: new Date().toISOString() };
}

function without(control: Control, key: 'pause' | 'resumed'): Control {
  const { [key]: _gone, ...rest } = control;
  return rest;
}

function adjustment({ batch, batchNodes, soak }: AdjustOptions): Adjustment {
  if (batch === undefined && batchNodes === undefined && soak === undefined)
    throw new ProxyctlError('adjust takes --batch, --batch-nodes or --soak: what is to be changed', EXIT.usage);
  return {
    ...wish(),
    ...(batch === undefined ? {} : { services: whole('--batch', batch) }),
    ...(batchNodes === undefined ? {} : { nodes: whole('--batch-nodes', batchNodes) }),
    ...(soak === undefined ? {} : { soak: seconds(soak) }),
  };
}

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ProxyctlError(`${flag} takes a whole number, 1 or more; got '${text}'`, EXIT.usage);
}

function seconds(text: string): number {
  const parsed = Soak.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new ProxyctlError(
    `--soak takes a duration such as 30s, 5m or 1h30m, of 12h at most; got '${text}'`,
    EXIT.usage,
  );
}
