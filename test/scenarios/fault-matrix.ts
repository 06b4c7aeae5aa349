// How the rows of faults are run on a cluster, real or embedded: verify goes on all the time, faults come and go under it.
import type { Finding, Judgement, Verdict } from '../../src/core/gate.ts';
import { verdictOf } from '../../src/core/gate.ts';
import type { RunEvent } from '../../src/core/journal.ts';
import type { Mode } from '../../src/core/mode.ts';
import type { Verification } from '../../src/core/verification.ts';
import { type Fault, ROWS, type Row } from './fault-rows.ts';
import { Rounds, type Running } from './rounds.ts';
import type { CliResult } from './testbed.ts';

/** Rounds that begin after a fault within which it must be found. */
export const MOST_ROUNDS = 2;
/** Rounds of single nodes without a fault, while endpoints come and go. */
export const HEALTHY_ROUNDS = 50;
const RECOVERY_ROUNDS = 10;

export interface FaultTestbed {
  /** Nodes that may be harmed; each bears one fault at a time. */
  readonly nodes: readonly string[];
  /** What nobody knows how to do to this cluster's nodes. */
  readonly without: readonly Fault[];
  /** Starts `proxyctl` with these arguments in a process of its own. */
  start(...args: string[]): Running;
  /** The same, to its end. */
  proxyctl(...args: string[]): Promise<CliResult>;
  /** Resolves once the node has the fault; on a real node shell commands do it. Gives the Services (`namespace/name`) it strikes. */
  inject(fault: Fault, mode: Mode, node: string): Promise<readonly string[]>;
  /** Takes all faults away and resolves once every node serves as before. */
  heal(): Promise<void>;
  /** Endpoints of a Service come and go, until the call that it returns has resolved. */
  churn(): () => Promise<void>;
}

/** What is said of one node. */
interface Said {
  readonly verdict: Verdict;
  /** Gates with that verdict. */
  readonly gates: readonly string[];
  /** What they name: Services `namespace/name`, or the node. */
  readonly named: readonly string[];
}

export interface Outcome extends Said {
  readonly row: Row;
  readonly mode: Mode;
  readonly node: string;
  /** Services struck. */
  readonly struck: readonly string[];
  /** Rounds until it was found; undefined where it was not, or nobody counts. */
  readonly rounds?: number;
  /** From the fault until then. */
  readonly seconds?: number;
  /** Of a migration. */
  readonly code?: number;
  /** Why the fault could not be put on the node. */
  readonly error?: string;
}

export interface Health {
  /** Rounds of nodes without a fault, and those of them that were not well, with what was said. */
  readonly healthyRounds: number;
  readonly falseAlarms: readonly string[];
}

/**
 * Every fault that `verify` finds, as many at once as there are nodes, told as soon as it is known; then all nodes well while
 * endpoints come and go.
 */
export async function verifyFaults(
  bed: FaultTestbed,
  mode: Mode,
  playbook: string,
  tell: (outcome: Outcome) => void,
): Promise<Health> {
  const rounds = new Rounds(bed.start('verify', '--for', '8h', '--format', 'json', '--playbook', playbook));
  const faults = new Faults(bed, mode, rounds);
  try {
    await faults.allWell();
    const waiting = ROWS.filter((row): row is (typeof ROWS)[number] & Row => !('towards' in row)).filter(
      row => !bed.without.includes(row.fault),
    );
    while (waiting.length > 0) await faults.wave(waiting.splice(0, bed.nodes.length), tell);
    const stop = bed.churn();
    await faults.healthy(HEALTHY_ROUNDS).finally(stop);
    return faults;
  } finally {
    await bed.heal().finally(() => rounds.end());
  }
}

type Struck = { outcome: Outcome; readonly since: number };

class Faults implements Health {
  healthyRounds = 0;
  readonly falseAlarms: string[] = [];
  private readonly bed: FaultTestbed;
  private readonly mode: Mode;
  private readonly rounds: Rounds;

  constructor(bed: FaultTestbed, mode: Mode, rounds: Rounds) {
    this.bed = bed;
    this.mode = mode;
    this.rounds = rounds;
  }

  /** A fault on each of the first nodes, until all are found or it takes too long; then none, until all nodes are well. */
  async wave(rows: readonly Row[], tell: (outcome: Outcome) => void): Promise<void> {
    const { bed, rounds } = this;
    const harmed = bed.nodes.slice(0, rows.length);
    const struck: Struck[] = [];
    for (const [index, row] of rows.entries()) struck.push(await this.strike(row, harmed[index] ?? ''));
    this.catchUp(harmed);
    // The first one had begun before.
    for (let n = 0; n <= MOST_ROUNDS && struck.some(isOpen); n++) {
      const found = await rounds.next();
      this.judge(found, harmed);
      for (const one of struck.filter(isOpen)) one.outcome = told(one, found, Math.max(1, n));
    }
    for (const { outcome } of struck) tell(outcome);
    await bed.heal();
    this.catchUp(harmed);
    await this.allWell(harmed);
  }

  /** Rounds that were over while faults were put on nodes or taken away. */
  private catchUp(harmed: readonly string[]): void {
    for (const found of this.rounds.arrived()) this.judge(found, harmed);
  }

  private async strike(row: Row, node: string): Promise<Struck> {
    const { bed, mode } = this;
    const unseen: Outcome = { row, mode, node, struck: [], verdict: 'pass', gates: [], named: [] };
    try {
      const struck = await bed.inject(row.fault, mode, node);
      return { outcome: { ...unseen, struck }, since: performance.now() };
    } catch (error) {
      return { outcome: { ...unseen, error: String(error) }, since: performance.now() };
    }
  }

  /** Waits until a round finds nothing; those that were harmed may need some time. */
  async allWell(harmed: readonly string[] = this.bed.nodes): Promise<void> {
    let found: Verification | undefined;
    for (let n = 0; n < RECOVERY_ROUNDS; n++) {
      found = await this.rounds.next();
      this.judge(found, harmed);
      if (found.verdict === 'pass') return;
    }
    const said = found?.nodes.map(({ name }) => saidText(found, name));
    throw new Error(`not well in ${RECOVERY_ROUNDS} rounds: ${said?.filter(Boolean).join('; ')}`);
  }

  /** So many rounds of single nodes. */
  async healthy(wanted: number): Promise<void> {
    const before = this.healthyRounds + this.falseAlarms.length;
    while (this.healthyRounds + this.falseAlarms.length - before < wanted) this.judge(await this.rounds.next(), []);
  }

  /** All but the harmed nodes have to be well. */
  private judge(found: Verification, harmed: readonly string[]): void {
    for (const { name } of found.nodes.filter(node => !harmed.includes(node.name))) {
      const said = saidText(found, name);
      if (said === '') this.healthyRounds++;
      else this.falseAlarms.push(`${this.mode}, round ${found.round}: ${said}`);
    }
  }
}

const isOpen = ({ outcome: { rounds, error } }: Struck): boolean => rounds === undefined && error === undefined;

/** What a round says of a fault. */
function told({ outcome, since }: Struck, found: Verification, round: number): Outcome {
  const said = { ...outcome, ...saidIn(judgementsOf(found, outcome.node)) };
  if (!isFound(said)) return said;
  return { ...said, rounds: round, seconds: (performance.now() - since) / 1000 };
}

/** As its row wants it: verdict, gate and names. */
export function isFound({ row, verdict, gates, named, struck, node }: Omit<Outcome, 'mode'>): boolean {
  if (verdict !== row.verdict || !gates.some(gate => row.gates.includes(gate))) return false;
  const wanted = row.names === 'node' ? [node] : struck;
  return wanted.every(name => named.includes(name)) && (row.names !== 'service' || named.length === wanted.length);
}

function judgementsOf({ nodes, gates }: Verification, node: string): Judgement[] {
  const isOfNode = ({ subject }: Finding) => subject === `node ${node}`;
  return [
    ...(nodes.find(n => n.name === node)?.gates ?? []),
    ...gates.map(gate => ({ ...gate, findings: gate.findings.filter(isOfNode) })),
  ];
}

/** What a gate found, as `verify` gives it or a journal has it. */
interface Judged {
  readonly gate: string;
  readonly findings: readonly Pick<Finding, 'level' | 'subject'>[];
}

function saidIn(judgements: readonly Judged[]): Said {
  const verdict = verdictOf(judgements.flatMap(j => j.findings));
  const level = verdict === 'fail' ? 'error' : 'inconclusive';
  const said = judgements.flatMap(({ gate, findings }) =>
    findings.filter(f => f.level === level).map(({ subject }) => ({ gate, name: subject.replace(/^\w+ /, '') })),
  );
  return { verdict, gates: [...new Set(said.map(s => s.gate))], named: [...new Set(said.map(s => s.name))] };
}

/** Empty where nothing but warnings is said. */
function saidText(found: Verification, node: string): string {
  const open = judgementsOf(found, node).flatMap(({ gate, findings }) =>
    findings
      .filter(f => f.level !== 'warning')
      .map(({ level, subject, message }) => `${gate} ${level} ${subject} ${message}`),
  );
  return open.length === 0 ? '' : `${node}: ${open.join(', ')}`;
}

/** The table for people, a line a fault and mode. */
export function tableOf(outcomes: readonly Outcome[], label: string): string {
  const head = ['fault', 'mode', 'verdict', 'gates', 'named', 'rounds', 's'];
  const lines = outcomes.map(({ row, mode, verdict, gates, named, rounds, seconds }) => [
    row.fault,
    mode,
    verdict,
    gates.join(' '),
    named.length > 2 ? `${named.length} names` : named.join(' '),
    String(rounds ?? '-'),
    seconds?.toFixed(0) ?? '-',
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...lines].map(line => line[i]?.length ?? 0)));
  const text = (line: readonly string[]) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
  return [label, ...[head, ...lines].map(text)].join('\n');
}

/** A fault that stops a migration: one node alone is to be flipped, and what was begun is put back. */
export async function migrateFault(bed: FaultTestbed, mode: Mode, row: Row, playbook: string): Promise<Outcome> {
  const [node = ''] = bed.nodes;
  const struck = await bed.inject(row.fault, mode, node);
  try {
    const { code, stdout, seconds } = await bed.proxyctl(
      ...['migrate', '--to', row.towards ?? '', '--yes', '--playbook', playbook, '--format', 'json'],
    );
    const lines = stdout.split('\n').filter(line => line !== '');
    const judged = lines
      .map((line): RunEvent => JSON.parse(line))
      .flatMap(event => (event.event === 'gate-judged' ? [event] : []));
    return { row, mode, node, struck, code, ...saidIn(judged), seconds };
  } finally {
    await bed.heal();
    await bed.proxyctl('rollback', '--yes');
  }
}

/** Rows that a migration finds, from this mode. */
export const onTheWay = (mode: Mode): Row[] =>
  ROWS.filter((row): row is (typeof ROWS)[number] & Row => 'towards' in row && row.towards !== mode);
