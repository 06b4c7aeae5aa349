// Rows of disasters: a command of proxyctl, what happens to it, the one command after it, and what is true then.
import { EXIT } from '../../src/core/errors.ts';
import { STEPS } from '../../src/core/run-state.ts';
import { columns } from '../scenarios/columns.ts';
import { lostBeyond, type Witness, type Witnessed } from '../scenarios/testbed.ts';
import { DISASTERS, type Disaster, KILL, type Kind, REBOOT, type When } from './disasters.ts';
import { deadNodes } from './living.ts';
import type { RealRunning } from './proxyctl.ts';
import { sleep } from './shell.ts';
import { lastWords, type Place, type Stage } from './stage.ts';
import { ELSEWHERE } from './witness.ts';

/** One disaster, and the command after it, where the one that it struck does not go on. */
export interface Blow {
  readonly when: When;
  readonly next: 'resume' | 'rollback';
}

export interface Strike {
  readonly kind: Kind;
  /** Where the cluster stands at first, and where the command leads. */
  readonly from: Place;
  readonly to: Place;
  /** One after the other: each strikes what goes on after the one before. */
  readonly blows: readonly Blow[];
}

/** The way there with a disaster in each step, and the way back; and, for kills, a way back after each single one on the way there. */
export function strikesInSteps(kind: Kind): Strike[] {
  const there = { kind, from: 'before', to: 'one' } as const;
  // Between these modes nothing is swept: a command that is not killed is in its next step by then.
  const steps = kind === KILL ? STEPS : STEPS.filter(step => step !== 'sweep');
  const back: Strike = {
    kind,
    from: 'one',
    to: 'before',
    blows: steps.map((step, i) => ({ when: { step, after: 1000 }, next: i % 2 === 0 ? 'rollback' : 'resume' })),
  };
  const rows: Strike[] = [{ ...there, blows: steps.map(step => ({ when: { step, after: 0 }, next: 'resume' })) }, back];
  const single = STEPS.map(
    (step): Strike => ({ ...there, blows: [{ when: { step, after: 3000 }, next: 'rollback' }] }),
  );
  return kind === KILL ? [...rows, ...single] : rows;
}

const whenName = (when: When): string => ('step' in when ? `in ${when.step}` : `all the time, seed ${when.seed}`);

export function nameOf({ kind, blows, to }: Strike): string {
  const [first] = blows;
  const where = first && blows.length === 1 ? `${whenName(first.when)}, then ${first.next}` : 'in every step';
  return `${kind} on the way ${to === 'before' ? 'back' : 'there'}, ${where}`;
}

/** What became of one blow. */
interface Told {
  readonly happened: string;
  /** How the command that it struck ended; empty where it went on to the next blow. */
  readonly exit: string;
}

export interface StruckRow extends Witnessed {
  readonly what: string;
  readonly told: readonly Told[];
  /** How the last command ended. */
  readonly end: string;
  /** Empty when all is well. */
  readonly problems: readonly string[];
}

interface Struck extends Pick<StruckRow, 'told' | 'end'> {
  /** Where the commands should have led. */
  readonly at: Place;
}

/** What a disaster may leave a command with; each is named in the README. */
const NAMED: readonly number[] = [EXIT.done, EXIT.halted, EXIT.rolledBack, EXIT.unreachable];
/** The exit code of a child that a signal ended. */
const SIGNALLED = -1;
/** Clients of a node that rebooted are watched for so long once all is over. */
const AFTERWARDS_MS = 20_000;
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
      return { what, told: [], end: '', ...NOTHING_SEEN, problems: [message(error)] };
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
    const [struck, seen] = await under(witness, () => this.commands(strike, problems));
    problems.push(...lostBeyond(whileReady(seen), stage.bed.noise, cost && times(cost, strike.blows.length)));
    if (strike.kind === REBOOT) problems.push(...(await this.afterwards()));
    await stage.expectAt(struck.at).catch(error => problems.push(`not at '${struck.at}': ${message(error)}`));
    return { told: struck.told, end: struck.end, ...seen, problems };
  }

  /** The command, what happens to it and to those that go on after it, and the last one. */
  private async commands({ kind, to, blows }: Strike, problems: string[]): Promise<Struck> {
    const { stage } = this;
    const told: Told[] = [];
    let run = stage.begin(to);
    let last: Blow | undefined;
    let over = Promise.resolve();
    /** How it ended, and what goes on after it, once the cluster has got over the last blow. */
    const goOn = async (next: Blow['next']): Promise<RealRunning> => {
      const result = await run.result;
      const asMeant = kind === KILL ? result.code === SIGNALLED : NAMED.includes(result.code);
      if (!asMeant) problems.push(lastWords(result));
      const struck = told.pop();
      if (struck) told.push({ ...struck, exit: `${exitName(result.code)}, then ${next}` });
      await over;
      return stage.bed.start(next, '--yes', '--format', 'json');
    };
    try {
      for (const blow of blows) {
        const disaster = DISASTERS[kind](stage);
        let happened = await disaster.happen(run, blow.when);
        if (happened === undefined && last) {
          run = await goOn(last.next);
          happened = await disaster.happen(run, blow.when);
        }
        if (happened === undefined) {
          problems.push(`nothing happened ${whenName(blow.when)}: the command ended before`);
          break;
        }
        told.push({ happened: `${whenName(blow.when)}, ${happened}`, exit: '' });
        over = this.gotOver(disaster, kind, problems);
        last = blow;
      }
      const isDone = (await run.result).code === EXIT.done;
      if (!isDone && last) run = await goOn(last.next);
      const result = await run.result;
      await over;
      if (result.code !== EXIT.done) problems.push(lastWords(result));
      const at = !isDone && last?.next === 'rollback' ? 'before' : to;
      return { told, end: exitName(result.code), at };
    } finally {
      run.signal('SIGKILL');
    }
  }

  /** Never rejects: what goes wrong stands in the problems. */
  private async gotOver(disaster: Disaster, kind: Kind, problems: string[]): Promise<void> {
    try {
      await disaster.over();
      // The label outlives the reboot; what it says is served, whether anybody goes on or not.
      if (kind === REBOOT) await this.stage.expectServed();
    } catch (error) {
      problems.push(message(error));
    }
  }

  /** Clients on the node that rebooted are served again. */
  private async afterwards(): Promise<string[]> {
    const { bed, node } = this.stage;
    const [, seen] = await under(await bed.witness({ nodes: [node] }), () => sleep(AFTERWARDS_MS));
    return lostBeyond(seen, bed.noise).map(lost => `${node} after its reboots: ${lost}`);
  }

  /** What a disaster costs clients where nothing migrates, measured once; nothing where it cannot cost them anything. */
  private async costOf(kind: Kind): Promise<Witnessed | undefined> {
    const known = this.costs.get(kind);
    const { alone } = DISASTERS[kind](this.stage);
    if (known || !alone) return known;
    await this.stage.bring('before');
    const [, seen] = await under(await this.stage.bed.witness(), alone);
    this.costs.set(kind, seen);
    this.keep({ what: `${kind}, nothing migrates`, told: [], end: '', ...seen, problems: [] });
    return seen;
  }
}

/** Work under a witness, which ends with it whatever comes of it. */
export async function under<T>(witness: Witness, work: () => Promise<T>): Promise<[T, Witnessed]> {
  const [done] = await Promise.allSettled([work()]);
  const seen = await witness.finished();
  if (done.status === 'rejected') throw done.reason;
  return [done.value, seen];
}

/** Without what failed while the disaster had a server called unready. */
function whileReady(seen: Witnessed): Witnessed {
  const { tcpFailed = 0, udpFailed = 0 } = seen.unready ?? {};
  return { ...seen, tcpFailed: seen.tcpFailed - tcpFailed, udpFailed: seen.udpFailed - udpFailed };
}

/** `55, 55 of them while a server was unready`. */
function failed(all: number, unready = 0): string {
  return unready === 0 ? String(all) : `${all}, ${unready} of them while a server was unready`;
}

/** What so many disasters of one kind cost. */
function times(cost: Witnessed, count: number): Witnessed {
  const { tcpFailed, udpFailed, keptBroken } = cost;
  return { ...cost, tcpFailed: tcpFailed * count, udpFailed: udpFailed * count, keptBroken: keptBroken * count };
}

function exitName(code: number): string {
  if (code === SIGNALLED) return 'killed';
  return `${code} ${Object.entries(EXIT).find(([, value]) => value === code)?.[0] ?? 'unnamed'}`;
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const HEADS = ['', 'blows', 'end', 'TCP', 'failed', 'UDP', 'failed', 'UDP direct', 'kept broken', 'verdict'];

/** The rows as a table for people, and under it what happened, what was lost and what went wrong. */
export function struckTable(rows: readonly StruckRow[]): string {
  const cells = rows.map(row => [
    row.what,
    String(row.told.length),
    row.end,
    String(row.tcp),
    failed(row.tcpFailed, row.unready?.tcpFailed),
    String(row.udp),
    failed(row.udpFailed, row.unready?.udpFailed),
    row.direct ?? '',
    String(row.keptBroken),
    row.problems.length === 0 ? 'well' : 'NOT WELL',
  ]);
  const more = rows.flatMap(({ what, told, losses, problems }) => {
    const blows = told.map(({ happened, exit }) => `${happened}: ${exit === '' ? 'went on' : exit}`);
    return [...blows, ...(problems.length > 0 ? problems : losses)].map(line => `${what}: ${line}`);
  });
  return [...columns(HEADS, cells), ...more].join('\n');
}
