// A changing action from its Lease to its last line: migrate, rollback and finalize run through here.
import { EXIT, type ExitCode, ProxyctlError } from '../core/errors.ts';
import type { RunEvent, RunOutcome } from '../core/journal.ts';
import { showProgress } from '../report/progress.ts';
import { summaryText } from '../report/run-text.ts';
import { type Engine, Halt, stopPoint } from '../run/engine.ts';
import type { Held } from '../run/lease.ts';
import { GO_ON_OR_BACK } from '../run/on-red.ts';
import { type Ending, phase } from '../run/phase.ts';
import { revise } from '../run/record.ts';
import type { Steering } from '../run/steering.ts';
import type { CommandIo } from './io.ts';
import { openedEvent, openRun, type RunOptions, writeTargets } from './session.ts';

/** Time to remove watchers after a second Ctrl-C. */
const KILLED_MS = 5_000;

const CODES: Record<RunOutcome, ExitCode> = {
  done: EXIT.done,
  halted: EXIT.halted,
  'rolled back': EXIT.rolledBack,
  stopped: EXIT.stopped,
  failed: EXIT.internal,
};

export interface ActionResult {
  code: ExitCode;
  events: RunEvent[];
  ending: Ending;
}

/** Runs `perform` with journal and progress around it; the Lease is held by the caller. */
export async function runAction(
  io: CommandIo,
  options: RunOptions,
  perform: (engine: Engine) => Promise<Ending>,
): Promise<ActionResult> {
  return journaled(io, options, async engine => {
    if (options.held.takenOver) await takeOver(engine, options.held);
    await keepImage(engine, options);
    await writeTargets(engine);
    return perform(engine);
  });
}

/** What was named for this call is what a later one takes. */
async function keepImage(engine: Engine, { watcherImage }: RunOptions): Promise<void> {
  if (watcherImage === undefined || watcherImage === engine.standing.record.watcherImage) return;
  await revise(engine, { watcherImage });
}

async function takeOver(engine: Engine, held: Held): Promise<void> {
  const { run, driver } = engine;
  await phase(engine, 'take over', 'from a runner that did not give the Lease up', async () => {
    // Under another name than that one knows, who may have its delete in hand.
    await revise(engine, {});
    await driver.seal(run);
  });
  held.sealed();
}

async function journaled(
  io: CommandIo,
  options: RunOptions,
  perform: (engine: Engine) => Promise<Ending>,
): Promise<ActionResult> {
  const { engine, journal, services, steering } = await openRun(options);
  const events: RunEvent[] = [];
  journal.subscribe(event => {
    events.push(event);
    if (io.options.format === 'json') io.out(JSON.stringify(event));
  });
  const progress = showProgress(journal, { stream: process.stderr, tty: io.interactive, color: io.options.color });
  let ending: Ending = { outcome: 'failed', reason: 'ended before it began', next: '' };
  journal.failed.addEventListener('abort', () => {
    journal.append({ event: 'note', text: `${journal.failed.reason.message}; the run stops at the next safe point` });
  });
  closeWhenKilled(options);
  try {
    journal.append(openedEvent(options));
    stopPoint(engine);
    steering.start();
    ending = await perform(engine);
    if (ending.outcome === 'halted' || ending.outcome === 'stopped') await refuseSuperseded(options.held);
    return { code: CODES[ending.outcome], events, ending };
  } catch (error) {
    ending = endingOf(error, options, steering);
    // An aborted wait says only that it was; who took over is said by the Lease.
    options.held.lost.throwIfAborted();
    if (error instanceof Halt || options.kill.aborted) return { code: CODES[ending.outcome], events, ending };
    throw error;
  } finally {
    journal.append({ event: 'run-closed', outcome: ending.outcome, reason: ending.reason, next: ending.next });
    await services.stop();
    await steering.close(ending.outcome === 'done' || ending.outcome === 'rolled back');
    await progress.stop();
    if (io.options.format === 'text') io.err(summaryText(events, journal.path));
    else io.err(`journal: ${journal.path}`);
    journal.close();
  }
}

/** What looks red to a runner that was superseded is what the next one does. */
async function refuseSuperseded(held: Held): Promise<void> {
  try {
    await held.read();
  } catch (error) {
    // Out of reach: then nothing more can be told.
    if (!(error instanceof ProxyctlError)) throw error;
  }
  held.lost.throwIfAborted();
}

/** The second Ctrl-C does not wait for a server that is away: what removes the watchers gets a moment, no more. */
function closeWhenKilled({ kill, cluster }: RunOptions): void {
  kill.addEventListener('abort', () => {
    AbortSignal.timeout(KILLED_MS).addEventListener('abort', () => cluster.close());
  });
}

function endingOf(error: unknown, { action, held, kill }: RunOptions, steering: Steering): Ending {
  if (held.lost.aborted)
    return { outcome: 'stopped', reason: reasonOf(held.lost.reason), next: "'proxyctl status' tells where it stands" };
  const ahead = "'proxyctl finalize' goes on, 'proxyctl status' tells where it stands";
  const onward = action === 'finalize' ? ahead : GO_ON_OR_BACK;
  if (error instanceof Halt) return { outcome: error.outcome, reason: error.message, next: onward };
  const refused = error instanceof ProxyctlError && [EXIT.halted, EXIT.findings].some(code => code === error.exitCode);
  if (refused) return { outcome: 'halted', reason: error.message, next: onward };
  const either =
    "'proxyctl status' tells where it stands, 'proxyctl resume' goes on, 'proxyctl rollback' brings it back";
  const next = action === 'finalize' ? ahead : either;
  if (!kill.aborted) return { outcome: 'failed', reason: reasonOf(error), next };
  return { outcome: 'stopped', reason: `${reasonOf(kill.reason)}; in hand was: ${steering.state}`, next };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
