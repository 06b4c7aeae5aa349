import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { type Journal, type NewEvent, RunEvent } from '../core/journal.ts';

export interface JournalFile extends Journal {
  readonly path: string;
  close(): void;
}

/** Events that must be on the disk before their effect begins. */
const DURABLE: ReadonlySet<RunEvent['event']> = new Set([
  'run-opened',
  'phase-started',
  'step-intended',
  'step-failed',
  'batch-done',
  'run-closed',
]);

/** Opens the journal of a run for appending; the folder is made, readable by its owner only. */
export function openJournal(path: string, run: string, clock: Clock): JournalFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, 'a', 0o600);
  const listeners: ((event: RunEvent) => void)[] = [];
  return {
    run,
    path,
    append(event: NewEvent) {
      const whole = RunEvent.parse({ t: new Date(clock.now()).toISOString(), run, ...event });
      writeSync(file, `${JSON.stringify(whole)}\n`);
      if (DURABLE.has(whole.event)) fsyncSync(file);
      for (const listener of listeners) listener(whole);
    },
    subscribe: listener => void listeners.push(listener),
    close: () => closeSync(file),
  };
}

/** The events of a journal; a torn last line is left out, a broken line before it is an error. */
export function readJournal(path: string): RunEvent[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  const events: RunEvent[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const parsed = RunEvent.safeParse(parse(line));
    if (parsed.success) events.push(parsed.data);
    else if (index < lines.length - 1) throw new Error(`${path}:${index + 1}: not an event of a journal`);
  }
  return events;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
