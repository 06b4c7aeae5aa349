// A changing action from its Lease to its last line: migrate, rollback and finalize run through here.
import { EXIT, type ExitCode, ProxyctlError } from '../core/errors.ts';
import type { RunEvent, RunOutcome } from '../core/journal.ts';
import { showProgress } from '../report/progress.ts';
import { summaryText } from '../report/run-text.ts';
import type { Engine } from '../run/engine.ts';
import type { Held } from '../run/lease.ts';
import { type Ending, phase } from '../run/phase.ts';
import type { CommandIo } from './io.ts';
import { openedEvent, openRun, type RunOptions, writeTargets } from './session.ts';

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
    await writeTargets(engine);
    return perform(engine);
  });
}

async function takeOver(engine: Engine, held: Held): Promise<void> {
  const { run, driver } = engine;
  await phase(engine, 'take over', 'from a runner that did not give the Lease up', () => driver.seal(run));
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
  try {
    journal.append(openedEvent(options));
    steering.start();
    ending = await perform(engine);
    if (ending.outcome === 'halted' || ending.outcome === 'stopped') await refuseSuperseded(options.held);
    return { code: CODES[ending.outcome], events, ending };
  } catch (error) {
    const reason = reasonOf(options.held.lost.aborted ? options.held.lost.reason : error);
    const next = "'proxyctl status' tells where it stands, 'proxyctl rollback' brings it back";
    ending = { outcome: engine.run.signal.aborted ? 'stopped' : 'failed', reason, next };
    // An aborted wait says only that it was; who took over is said by the Lease.
    options.held.lost.throwIfAborted();
    if (engine.run.signal.aborted) return { code: EXIT.stopped, events, ending };
    throw error;
  } finally {
    journal.append({ event: 'run-closed', outcome: ending.outcome, reason: ending.reason, next: ending.next });
    await services.stop();
    await steering.close();
    await progress.stop();
    if (io.options.format === 'text') io.err(summaryText(events));
    if (io.options.verbose) io.err(`journal: ${journal.path}`);
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

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
