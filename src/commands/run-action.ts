// A changing action from its Lease to its last line: migrate, rollback and finalize run through here.
import { EXIT, type ExitCode } from '../core/errors.ts';
import type { RunEvent, RunOutcome } from '../core/journal.ts';
import { showProgress } from '../report/progress.ts';
import { summaryText } from '../report/run-text.ts';
import type { Engine } from '../run/engine.ts';
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

/** Runs `perform` with journal, progress and Lease around it; the Lease is given up whatever happens. */
export async function runAction(
  io: CommandIo,
  options: RunOptions,
  perform: (engine: Engine) => Promise<Ending>,
): Promise<ActionResult> {
  const { held } = options;
  // Until our fence stands on every object, the next one has to take over as we do.
  let sealed = !held.takenOver;
  try {
    return await journaled(io, options, async engine => {
      if (held.takenOver) await takeOver(engine);
      sealed = true;
      await writeTargets(engine);
      return perform(engine);
    });
  } finally {
    if (sealed) await held.release();
    else held.abandon();
  }
}

async function takeOver(engine: Engine): Promise<void> {
  const { run, driver } = engine;
  await phase(engine, 'take over', 'from a runner that did not give the Lease up', () => driver.seal(run));
}

async function journaled(
  io: CommandIo,
  options: RunOptions,
  perform: (engine: Engine) => Promise<Ending>,
): Promise<ActionResult> {
  const { engine, journal, services } = await openRun(options);
  const events: RunEvent[] = [];
  journal.subscribe(event => {
    events.push(event);
    if (io.options.format === 'json') io.out(JSON.stringify(event));
  });
  const progress = showProgress(journal, { stream: process.stderr, tty: io.interactive, color: io.options.color });
  let ending: Ending = { outcome: 'failed', reason: 'ended before it began', next: '' };
  try {
    journal.append(openedEvent(options));
    ending = await perform(engine);
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
    await progress.stop();
    if (io.options.format === 'text') io.err(summaryText(events));
    if (io.options.verbose) io.err(`journal: ${journal.path}`);
    journal.close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
