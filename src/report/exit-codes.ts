// Exit codes for people: what each means, and which of them a command may end with.
import { EXIT, type ExitCode } from '../core/errors.ts';
import { hang } from './layout.ts';

/** Columns, as the rest of a help text where the terminal does not say. */
const WIDTH = 80;

/** The table of the README. */
export const EXIT_WORDS: Record<ExitCode, string> = {
  [EXIT.done]: 'done, or nothing to do',
  [EXIT.findings]:
    'something was found or could not be seen, or stands in the way of a plan or a run; nothing was begun',
  [EXIT.halted]: 'halted by a gate, or by what somebody else changed; safe, resumable',
  [EXIT.rolledBack]:
    'a red gate made nodes go back (`gates.onRed`: `batch`, `run`); a rollback that was asked for ends with 0',
  [EXIT.stopped]: 'stopped by the operator, or not confirmed',
  [EXIT.stalePlan]:
    "the plan is stale, foreign or edited; the run is another version's, what it has to put back is gone, or its finalize has begun and undo is over",
  [EXIT.runUnderWay]: 'another run is under way, or stands in the cluster',
  [EXIT.usage]:
    'wrong usage; no run stands, for `pause`, `resume`, `abort` and `adjust` (to `rollback` and `finalize` that is nothing to do)',
  [EXIT.badFile]: 'bad playbook, plan or inventory file',
  [EXIT.unreachable]: 'cluster not reachable, or its API refused a request',
  [EXIT.internal]: 'our fault',
  [EXIT.notPermitted]: 'not permitted',
};

/** Every command may end with these. */
const ANY: ReadonlySet<number> = new Set([EXIT.usage, EXIT.unreachable, EXIT.internal, EXIT.notPermitted]);

const RUN = [EXIT.findings, EXIT.halted, EXIT.stopped, EXIT.stalePlan, EXIT.runUnderWay];
const MIGRATION = [...RUN, EXIT.rolledBack];
const STEERING = [EXIT.stalePlan, EXIT.runUnderWay];
const LOOK = [EXIT.findings, EXIT.stopped, EXIT.stalePlan, EXIT.runUnderWay];

/** What a command may end with besides 0 and `ANY`. */
const MAY: Record<string, readonly ExitCode[]> = {
  plan: [EXIT.findings, EXIT.badFile],
  preflight: [EXIT.findings, EXIT.badFile],
  verify: [...LOOK, EXIT.badFile],
  status: LOOK,
  trace: LOOK,
  rbac: [EXIT.badFile],
  migrate: [...MIGRATION, EXIT.badFile],
  resume: MIGRATION,
  pause: STEERING,
  abort: STEERING,
  adjust: [...STEERING, EXIT.findings, EXIT.stopped],
  rollback: RUN,
  finalize: RUN,
};

/** The codes of a command, all of them without one; for its help. */
export function exitText(command?: string): string {
  const may = new Set<number>([EXIT.done, ...(command === undefined ? [] : (MAY[command] ?? []))]);
  const rows = Object.entries(EXIT_WORDS).filter(([code]) => command === undefined || may.has(Number(code)));
  const lines = rows.flatMap(([code, words]) => hang(`  ${code.padEnd(4)}`, words.replaceAll('`', ''), WIDTH));
  const rest = command === undefined ? '' : ` (${[...ANY].join(', ')}: see 'proxyctl --help')`;
  return `\nExit codes${rest}:\n${lines.join('\n')}`;
}
