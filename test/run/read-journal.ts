import { readFileSync } from 'node:fs';
import { RunEvent } from '../../src/core/journal.ts';

/** The events of a journal; a torn last line is left out, any other line that is no event is an error. */
export function readJournal(path: string): RunEvent[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map(line => RunEvent.parse(JSON.parse(line)));
}
