import type { Clock } from '../core/clock.ts';
import { type Journal, type NewEvent, RunEvent } from '../core/journal.ts';
import { diskTrouble } from './disk-trouble.ts';
import { Halt } from './engine.ts';
import { LinesFile } from './lines-file.ts';

export interface JournalFile extends Journal {
  readonly path: string;
  /** Aborts when an event could not be written; the reason is a Halt. Events are told to listeners all the same. */
  readonly failed: AbortSignal;
  close(): void;
}

/** Events that must be on the disk before their effect begins. */
const DURABLE: ReadonlySet<RunEvent['event']> = new Set([
  'run-opened',
  'phase-started',
  'step-intended',
  'step-failed',
  'rehearsal-started',
  'rehearsal-done',
  'batch-done',
  'run-closed',
]);

/** Opens the journal of a run for appending; its folder is made. @throws ProxyctlError when there is no writing there. */
export function openJournal(path: string, run: string, clock: Clock): JournalFile {
  const file = openLines(path);
  const failing = new AbortController();
  const listeners: ((event: RunEvent) => void)[] = [];
  return {
    run,
    path,
    failed: failing.signal,
    append(event: NewEvent) {
      const whole = RunEvent.parse({ t: new Date(clock.now()).toISOString(), run, ...event });
      const trouble = file.write(`${JSON.stringify(whole)}\n`, DURABLE.has(whole.event));
      for (const listener of listeners) listener(whole);
      if (trouble) failing.abort(new Halt('halted', diskTrouble(`the journal ${path}`, trouble).message));
    },
    subscribe: listener => void listeners.push(listener),
    close: () => file.close(),
  };
}

function openLines(path: string): LinesFile {
  try {
    return new LinesFile(path);
  } catch (cause) {
    throw diskTrouble(`the journal ${path}`, cause);
  }
}
