// Rows of disasters: a command of proxyctl, what happens to it, the one command after it, and what is true then.
import { EXIT } from '../../src/core/errors.ts';
import { STEPS } from '../../src/core/run-state.ts';
import { columns } from '../scenarios/columns.ts';
import { lostBeyond, type Witness, type Witnessed } from '../scenarios/testbed.ts';
import { DISASTERS, type Disaster, KILL, type Kind, REBOOT, type When } from './disasters.ts';
import { deadNodes } from './living.ts';
import { sleep } from './shell.ts';
import { lastWords, type Place, type Stage } from './stage.ts';
import { ELSEWHERE } from './witness.ts';

export interface Strike {
  readonly kind: Kind;
  readonly when: When;
  /** Where the cluster stands at first, and where the command leads. */
  readonly from: Place;
  readonly to: Place;
  /** The command after it, where it did not get there itself. */
  readonly next: 'resume' | 'rollback';
}

/** Every step in both directions. Each way back begins where the way there ended, so little is done for its own sake. */
export function strikesInSteps(kind: Kind): Strike[] {
  return STEPS.flatMap((step, i): Strike[] => {
    const there = { kind, from: 'before', to: 'one' } as const;
    const rows: Strike[] = [
      { ...there, when: { step, after: 0 }, next: 'resume' },
      { kind, from: 'one', to: 'before', when: { step, after: 1000 }, next: i % 2 === 0 ? 'rollback' : 'resume' },
    ];
    return kind === KILL ? [...rows, { ...there, when: { step, after: 3000 }, next: 'rollback' }] : rows;
  });
}

export function nameOf({ kind, when, to, next }: Strike): string {
  const where = 'step' in when ? `in ${when.step}` : `all the time, seed ${when.seed}`;
  return `${kind} ${where}, on the way ${to === 'before' ? 'back' : 'there'}, then ${next}`;
}

/** What became of the commands of a row. */
interface Told {
  readonly happened: string;
  readonly exit: string;
  /** Empty where the first command was enough. */
  readonly next: string;
  readonly nextExit: string;
}

export interface StruckRow extends Witnessed, Told {
  readonly what: string;
  /** Empty when all is well. */
  readonly problems: readonly string[];
}

/** What a disaster may leave a command with; each is named in the README. */
const NAMED: readonly number[] = [EXIT.done, EXIT.halted, EXIT.rolledBack, EXIT.unreachable];
/** The exit code of a child that a signal ended. */
const SIGNALLED = -1;
/** Clients of a node that rebooted are watched for so long where no command follows. */
const AFTERWARDS_MS = 20_000;
const NO_COMMAND: Told = { happened: '', exit: '', next: '', nextExit: '' };
const NOTHING_SEEN: Witnessed = { tcp: 0, tcpFailed: 0, udp: 0, udpFailed: 0, keptBroken: 0, blind: 0, losses: [] };

/** Plays strikes on one stage and keeps what came of them. */
export class Play {
  readonly rows: StruckRow[] = [];
  private readonly stage: Stage;
  private readonly costs = new Map<Kind, Witnessed>();

  constructor(stage: Stage) {
    this.stage = stage;
  }

  /**
   * Plays one row; once more, on a new cluster, when it went wrong and a node of the machine stopped dead. Never throws:
   * whatever goes wrong stands in the row's problems.
   */
  async row(strike: Strike): Promise<StruckRow> {
    const row = this.keep(await this.attempt(strike));
    if (row.problems.length === 0) return row;
    try {
      const dead = await deadNodes();
      if (dead.length === 0) return row;
      console.log(`${dead.join(', ')} stopped dead: once more, on a new cluster`);
      await this.stage.setUp();
    } catch (error) {
      console.log(`no new cluster: ${message(error)}`);
      return row;
    }
    return this.keep(await this.attempt(strike));
  }

  private async attempt(strike: Strike): Promise<StruckRow> {
    const what = nameOf(strike);
    try {
      return { what, ...(await this.played(strike)) };
    } catch (error) {
      this.stage.leave();
      return { what, ...NO_COMMAND, ...NOTHING_SEEN, problems: [message(error)] };
    }
  }

  private keep(row: StruckRow): StruckRow {
    this.rows.push(row);
    // A suite of hours may be ended before its table.
    console.log(struckTable([row]));
    return row;
  }

  private async played(strike: Strike): Promise<Omit<StruckRow, 'what'>> {
    const { stage } = this;
    const cost = await this.costOf(strike.kind);
    await stage.bring(strike.from);
    stage.leave();
    const problems: string[] = [];
    // A reboot costs the clients on the node, and who dials a server there.
    const spared = { nodes: stage.nodes.slice(1), service: ELSEWHERE };
    const witness = await stage.bed.witness(strike.kind === REBOOT ? spared : {});
    const [told, seen] = await under(witness, () => this.commands(strike, problems));
    problems.push(...lostBeyond(seen, stage.bed.noise, cost));
    const end = told.next === 'rollback' ? 'before' : strike.to;
    await stage.expectAt(end).catch(error => problems.push(`not at '${end}': ${message(error)}`));
    return { ...told, ...seen, problems };
  }

  /** The command and what happens to it, and the one command after it if there is need of one. */
  private async commands(strike: Strike, problems: string[]): Promise<Told> {
    const { stage } = this;
    const disaster = DISASTERS[strike.kind](stage);
    const { code, happened } = await this.struck(strike, disaster, problems);
    await disaster.over().catch(error => problems.push(message(error)));
    const told = { ...NO_COMMAND, exit: exitName(code), happened: happened ?? '' };
    const need = code !== EXIT.done;
    const second = async () => (need ? { ...told, ...(await this.second(strike.next, problems)) } : told);
    if (strike.kind !== REBOOT) return second();
    // The label outlives the reboot; what it says is served, whether anybody goes on or not.
    await stage.expectServed().catch(error => problems.push(message(error)));
    const [end, seen] = await under(await stage.bed.witness({ nodes: [stage.node] }), async () => {
      if (!need) await sleep(AFTERWARDS_MS);
      return second();
    });
    problems.push(...lostBeyond(seen, stage.bed.noise).map(lost => `${stage.node} after its reboot: ${lost}`));
    return end;
  }

  private async struck({ to, kind, when }: Strike, disaster: Disaster, problems: string[]) {
    const run = this.stage.begin(to);
    try {
      const happened = await disaster.happen(run, when);
      const result = await run.result;
      if (happened === undefined) problems.push('the command ended before anything happened to it');
      const asMeant = kind === KILL ? result.code === SIGNALLED : NAMED.includes(result.code);
      if (!asMeant) problems.push(lastWords(result));
      return { code: result.code, happened };
    } finally {
      run.signal('SIGKILL');
    }
  }

  private async second(next: Strike['next'], problems: string[]): Promise<Pick<Told, 'next' | 'nextExit'>> {
    const result = await this.stage.bed.proxyctl(next, '--yes');
    if (result.code !== EXIT.done) problems.push(`${next}: ${lastWords(result)}`);
    return { next, nextExit: exitName(result.code) };
  }

  /** What a disaster costs clients where nothing migrates, measured once; nothing where it cannot cost them anything. */
  private async costOf(kind: Kind): Promise<Witnessed | undefined> {
    const known = this.costs.get(kind);
    const { alone } = DISASTERS[kind](this.stage);
    if (known || !alone) return known;
    await this.stage.bring('before');
    const [, seen] = await under(await this.stage.bed.witness(), alone);
    this.costs.set(kind, seen);
    this.keep({ what: `${kind}, nothing migrates`, ...NO_COMMAND, ...seen, problems: [] });
    return seen;
  }
}

/** Work under a witness, which ends with it whatever comes of it. */
async function under<T>(witness: Witness, work: () => Promise<T>): Promise<[T, Witnessed]> {
  const [done] = await Promise.allSettled([work()]);
  const seen = await witness.finished();
  if (done.status === 'rejected') throw done.reason;
  return [done.value, seen];
}

function exitName(code: number): string {
  if (code === SIGNALLED) return 'killed';
  return `${code} ${Object.entries(EXIT).find(([, value]) => value === code)?.[0] ?? 'unnamed'}`;
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const HEADS = [
  '',
  'struck',
  'exit',
  'then',
  'exit',
  'TCP',
  'failed',
  'UDP',
  'failed',
  'UDP direct',
  'kept broken',
  'verdict',
];

/** The rows as a table for people, and under it what was lost and what went wrong. */
export function struckTable(rows: readonly StruckRow[]): string {
  const cells = rows.map(row => [
    row.what,
    row.happened,
    row.exit,
    row.next,
    row.nextExit,
    String(row.tcp),
    String(row.tcpFailed),
    String(row.udp),
    String(row.udpFailed),
    row.direct ?? '',
    String(row.keptBroken),
    row.problems.length === 0 ? 'well' : 'NOT WELL',
  ]);
  const more = rows.flatMap(({ what, losses, problems }) => {
    const told = problems.length > 0 ? problems : losses;
    return told.map(line => `${what}: ${line}`);
  });
  return [...columns(HEADS, cells), ...more].join('\n');
}
