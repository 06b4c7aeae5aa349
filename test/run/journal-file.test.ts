import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../src/core/journal.ts';
import { realClock } from '../../src/run/clock.ts';
import { openJournal } from '../../src/run/journal-file.ts';
import { readJournal } from './read-journal.ts';

function fresh() {
  const path = join(mkdtempSync(join(tmpdir(), 'proxyctl-journal-')), 'runs', 'events.jsonl');
  return { path, journal: openJournal(path, 'r1', realClock) };
}

describe('a journal', () => {
  it('is read back as it was written, and told to listeners', () => {
    const { path, journal } = fresh();
    const heard: RunEvent[] = [];
    journal.subscribe(event => heard.push(event));
    journal.append({ event: 'note', text: 'first' });
    journal.append({ event: 'batch-started', batch: 'batch-1' });
    journal.close();
    expect(readJournal(path)).toEqual(heard);
    expect(heard).toMatchObject([{ event: 'note', run: 'r1', text: 'first' }, { event: 'batch-started' }]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('refuses what is no event, before it is written', () => {
    const { path, journal } = fresh();
    // @ts-expect-error a note has a text
    expect(() => journal.append({ event: 'note' })).toThrow();
    journal.close();
    expect(readFileSync(path, 'utf8')).toBe('');
  });
});
