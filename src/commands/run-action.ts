// A changing action from its Lease to its last line: migrate, rollback and finalize run through here.
import { EXIT, type ExitCode } from '../core/errors.ts';
import type { RunEvent, RunOutcome } from '../core/journal.ts';
import { showProgress } from '../report/progress.ts';
import { summaryText } from '../report/run-text.ts';
import type { Engine } from '../run/engine.ts';
import type { Ending } from '../run/phase.ts';
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
  const { engine, journal } = await openRun(options);
  const events: RunEvent[] = [];
  journal.subscribe(event => {
    events.push(event);
    if (io.options.format === 'json') io.out(JSON.stringify(event));
  });
  const progress = showProgress(journal, { stream: process.stderr, tty: io.interactive, color: io.options.color });
  let ending: Ending = { outcome: 'failed', reason: 'ended before it began', next: '' };
  try {
    journal.append(openedEvent(options));
    await writeTargets(engine);
    ending = await perform(engine);
    return { code: CODES[ending.outcome], events, ending };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const next = "'proxyctl status' tells where it stands, 'proxyctl rollback' brings it back";
    ending = { outcome: engine.run.signal.aborted ? 'stopped' : 'failed', reason, next };
    if (engine.run.signal.aborted && !options.held.lost.aborted) return { code: EXIT.stopped, events, ending };
    throw error;
  } finally {
    journal.append({ event: 'run-closed', outcome: ending.outcome, reason: ending.reason, next: ending.next });
    await progress.stop();
    if (io.options.format === 'text') io.err(summaryText(events));
    if (io.options.verbose) io.err(`journal: ${journal.path}`);
    journal.close();
    await options.held.release();
  }
}
