// What every action of a run shares: who we are, what we drive, where we write down what we do.
import type { Clock } from '../core/clock.ts';
import type { KubeObject } from '../core/cluster.ts';
import type { Driver, RunContext, Runner, SeenPod } from '../core/driver.ts';
import { PodWillNotStart, WaitedInVain } from '../core/errors.ts';
import type { Reach } from '../core/exposure.ts';
import type { Finding, ForcedChange, Gate, Judgement, Look, Moment, NodeInFlip, Scope } from '../core/gate.ts';
import type { Inventory } from '../core/inventory.ts';
import type { Journal } from '../core/journal.ts';
import type { Mode } from '../core/mode.ts';
import type { Outside } from '../core/outside.ts';
import type { RunRecord } from '../core/run-state.ts';
import type { ServiceTruth } from '../core/service-truth.ts';
import type { Adjustment } from '../core/steering.ts';
import { askGates, Patience, type Standing } from './ask-gates.ts';
import { PodPace, Troubles } from './troubles.ts';

export const POLL_MS = 200;
/** Gates are asked again so that asking takes a tenth of the time, and at the latest after this: lists of large clusters are dear. */
const LONGEST_PAUSE_MS = 10_000;
/** A pause that lasts so much longer was none of ours. */
const STOOD_STILL_MS = 5_000;
/** Between two lines that say what the gates wait for. */
const SAY_MS = 5_000;

export interface Engine {
  readonly run: RunContext;
  readonly driver: Driver;
  readonly gates: readonly Gate[];
  readonly runGates: (gates: readonly Gate[], look: Look) => Promise<Judgement[]>;
  readonly journal: Journal;
  readonly inventory: Inventory;
  /** What each node reaches. */
  readonly reach: Reach;
  readonly outside: Outside;
  readonly watcherImage: string;
  /** Aborted by the first Ctrl-C, or by an operator elsewhere: stop at the next safe point. The reason is a Halt. `run.signal` is the hard one. */
  readonly stop: AbortSignal;
  /** Waits while an operator wants the run to stand still; for the time between two nodes. */
  readonly pausePoint: () => Promise<void>;
  /** What an operator wants changed of the plan, taken up or not. */
  readonly adjustment: () => Adjustment | undefined;
  /** The cluster as it is now. */
  readonly lookAgain: () => Promise<Inventory>;
  /** The run's record, the latest revision; `run.plan` is its plan. */
  readonly standing: { record: RunRecord };
  /** sha256 in hex. */
  readonly hash: (text: string) => string;
  /** The mode that each node of the run must be in now. */
  readonly expectedModes: Map<string, Mode>;
  readonly exposed: Set<string>;
  /** Nodes that a rollback is to leave as they are. */
  readonly skipped: ReadonlySet<string>;
  /** Addresses that the sweep must leave alone: ipvs.excludeCIDRs of the original configuration. */
  readonly excludeCIDRs: readonly string[];
  /** The original KubeProxyConfiguration, parsed. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  /** What the API says of Services. */
  readonly truth: ServiceTruth;
}

/** What judging takes of a run. */
export interface Judging {
  readonly run: Runner;
  readonly stop: Engine['stop'];
  readonly runGates: Engine['runGates'];
  readonly journal: Pick<Journal, 'append'>;
}

/** The run ends here; what was in hand is in a safe state. */
export class Halt extends Error {
  override readonly name = 'Halt';
  readonly outcome: 'halted' | 'stopped';
  constructor(outcome: 'halted' | 'stopped', reason: string) {
    super(reason);
    this.outcome = outcome;
  }
}

/** Throws the Halt when the run is to stop. */
export function stopPoint({ stop }: Pick<Engine, 'stop'>): void {
  if (!stop.aborted) return;
  throw stop.reason instanceof Halt ? stop.reason : new Halt('stopped', 'stopped by the operator');
}

/** Gates did not pass; these are their judgements. */
export class Red extends Error {
  override readonly name = 'Red';
  readonly judgements: readonly Judgement[];
  readonly moment: Moment;
  constructor(judgements: readonly Judgement[], moment: Moment) {
    super(reasonOf(judgements));
    this.judgements = judgements;
    this.moment = moment;
  }
}

export function reasonOf(judgements: readonly Judgement[]): string {
  const red = judgements.filter(j => j.verdict === 'fail');
  // What could not be seen matters only where nothing failed.
  const named = red.length > 0 ? red : judgements.filter(j => j.verdict === 'inconclusive');
  return named.map(j => `${j.gate}: ${describe(j.findings.filter(f => f.level !== 'warning'))}`).join('; ');
}

function describe(findings: readonly Finding[]): string {
  const shown = findings.slice(0, 3).map(f => `${f.subject} ${f.message}`);
  return shown.join(', ') + (findings.length > 3 ? ` and ${findings.length - 3} more` : '');
}

/** A `waitFor` that writes what it waits for into the journal once, and polls until there is a value or time is up. */
export function waiter(
  journal: Pick<Journal, 'append'>,
  clock: Clock,
  signal: AbortSignal,
  advice = "see 'proxyctl status', then 'proxyctl rollback'",
): Runner['waitFor'] {
  return async (what, seconds, done) => {
    const troubles = new Troubles();
    const seen: SeenPod = pod => troubles.see(pod, clock.monotonic());
    let end = clock.monotonic() + seconds * 1000;
    let said = false;
    for (;;) {
      signal.throwIfAborted();
      const value = await done(seen);
      if (value !== undefined) return value;
      const now = clock.monotonic();
      const because = troubles.text === undefined ? '' : `: ${troubles.text}`;
      if (now > end) throw new WaitedInVain(`waited ${seconds} s for ${what}${because}; ${advice}`);
      if (troubles.isHopeless(now)) throw new PodWillNotStart(`gave up waiting for ${what}${because}; ${advice}`);
      if (!said) journal.append({ event: 'waiting', for: what });
      said = true;
      const news = troubles.news(now);
      if (news !== undefined) journal.append({ event: 'waiting', for: `${what}: ${news}` });
      if (await stoodStill(clock, POLL_MS, signal)) end = clock.monotonic() + seconds * 1000;
    }
  };
}

/**
 * Sleeps. True when it woke so late that this process or its machine must have stood still: nobody looked meanwhile, and what is
 * waited for has its whole time again.
 */
async function stoodStill(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  const begun = clock.monotonic();
  await clock.sleep(ms, signal);
  return clock.monotonic() - begun > ms + STOOD_STILL_MS;
}

/** What a row of looks is about, and what gates saw before it. */
export interface About {
  readonly scope: Scope;
  readonly before: ReadonlyMap<string, unknown>;
  readonly change?: ForcedChange;
}

/** What gates may look at now. */
export function lookAt(engine: Engine, moment: Moment, { scope, before, change }: About, node?: NodeInFlip): Look {
  const { plan, cluster } = engine.run;
  return {
    moment,
    inventory: engine.inventory,
    to: plan.to,
    playbook: plan.playbook,
    cluster,
    outside: engine.outside,
    run: engine.run.id,
    ...(node ? { node } : {}),
    expectedModes: engine.expectedModes,
    exposed: engine.exposed,
    proxyConfig: engine.proxyConfig,
    scope,
    before,
    ...(change ? { change } : {}),
    truth: engine.truth,
  };
}

export interface JudgeOptions {
  moment: Moment;
  gates: readonly Gate[];
  look: () => Look;
  /** Seconds that a red verdict may last before it counts. */
  settle: number;
  /** Seconds that an inconclusive one may last. */
  patience: number;
  node?: string;
  /** The pod that the gates wait for: when it will not start, nobody waits for them any more. */
  pod?: () => Promise<KubeObject | undefined>;
  /** Nobody is harmed when the wait ends because the run is to stop. */
  stoppable?: boolean;
}

/** Runs the gates again and again until all pass; throws Red when one stays red or unseen for too long. */
export async function judgeUntilPassed(engine: Judging, options: JudgeOptions): Promise<Judgement[]> {
  const { clock, signal } = engine.run;
  const begun = clock.monotonic();
  const standing: Standing = new Map();
  let patience = new Patience(options, options.look().playbook, begun);
  const troubles = new PodLooks(options.pod);
  let redSince: number | undefined;
  let saidAt = begun;
  for (;;) {
    signal.throwIfAborted();
    const asked = clock.monotonic();
    const judgements = await askGates(engine, options, standing);
    const now = clock.monotonic();
    const open = judgements.filter(j => j.verdict !== 'pass');
    if (open.length === 0) return record(engine, options, judgements);
    // What stands in the kernel while a kube-proxy starts is not what it leads to.
    const red = open.some(j => j.verdict === 'fail') && !waitsForStart(open);
    redSince = red ? (redSince ?? now) : undefined;
    const settled = redSince !== undefined && now - redSince >= options.settle * 1000;
    const hopeless = await troubles.look(now);
    if (settled || hopeless || patience.isOver(open, now))
      throw new Red(
        record(engine, options, [...judgements, ...(hopeless ? [notStarting(hopeless, options)] : [])]),
        options.moment,
      );
    if (now - saidAt >= SAY_MS) {
      saidAt = now;
      const node = options.node === undefined ? {} : { node: options.node };
      engine.journal.append({ event: 'waiting', ...node, for: troubles.text ?? firstOf(open, options.node) });
    }
    if (options.stoppable) stopPoint(engine);
    const pause = Math.min(Math.max(POLL_MS, 9 * (now - asked)), LONGEST_PAUSE_MS);
    if (await stoodStill(clock, pause, signal)) {
      patience = new Patience(options, options.look().playbook, clock.monotonic());
      redSince = undefined;
    }
  }
}

/** Looks at the pod that gates wait for, now and then. */
class PodLooks {
  private readonly troubles = new Troubles();
  private readonly pod: JudgeOptions['pod'];
  private readonly pace = new PodPace();

  constructor(pod: JudgeOptions['pod']) {
    this.pod = pod;
  }

  get text(): string | undefined {
    return this.troubles.text;
  }

  /** Why it will not start, once that is so. */
  async look(now: number): Promise<string | undefined> {
    if (!this.pod || !this.pace.isDue(now)) return undefined;
    this.troubles.see(await this.pod(), now);
    return this.troubles.isHopeless(now) ? this.troubles.text : undefined;
  }
}

function notStarting(message: string, { node }: JudgeOptions): Judgement {
  return {
    gate: 'node-health',
    title: 'The kube-proxy that is waited for starts',
    hint: "'kubectl describe pod' and the log of the pod before it ended tell why",
    verdict: 'fail',
    findings: [{ level: 'error', subject: `node ${node}`, message: `kube-proxy will not serve: ${message}` }],
    summary: '',
  };
}

/** What stands in the way first, for the state line. */
function firstOf(open: readonly Judgement[], node: string | undefined): string {
  const [first] = open;
  const finding = first?.findings.find(f => f.level !== 'warning');
  const subject = finding && finding.subject !== `node ${node}` ? `${finding.subject} ` : '';
  const more = open.length > 1 ? ` (and ${open.length - 1} more gates)` : '';
  return `${first?.gate}: ${subject}${finding?.message ?? ''}${more}`;
}

/** Rules cannot be complete before the proxy that writes them has synced: red there is only "not yet". */
function waitsForStart(open: readonly Judgement[]): boolean {
  return open.some(j => (j.gate === 'convergence' || j.gate === 'effective-mode') && j.verdict === 'inconclusive');
}

function record(engine: Judging, options: JudgeOptions, judgements: Judgement[]): Judgement[] {
  for (const { gate, verdict, findings, summary } of judgements) {
    engine.journal.append({
      event: 'gate-judged',
      gate,
      moment: options.moment,
      ...(options.node ? { node: options.node } : {}),
      verdict,
      findings: [...findings],
      summary,
    });
  }
  return judgements;
}
