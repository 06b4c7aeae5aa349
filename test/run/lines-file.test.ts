import { appendFileSync, mkdtempSync, readFileSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { realClock } from '../../src/run/clock.ts';
import { Halt } from '../../src/run/engine.ts';
import { openJournal } from '../../src/run/journal-file.ts';
import { LinesFile } from '../../src/run/lines-file.ts';

const path = () => join(mkdtempSync(join(tmpdir(), 'proxyctl-lines-')), 'lines');

describe('a file of lines', () => {
  it('loses the last line when a crash has torn it, and nothing else', () => {
    const at = path();
    new LinesFile(at).write('whole\n', true);
    for (const torn of ['x', `${'y'.repeat(200_000)}`]) {
      appendFileSync(at, torn);
      const file = new LinesFile(at);
      expect(readFileSync(at, 'utf8')).toBe('whole\n');
      file.close();
    }
    appendFileSync(at, 'torn');
    const file = new LinesFile(at);
    expect(file.write('näxt\n', false)).toBeUndefined();
    expect(readFileSync(at, 'utf8')).toBe('whole\nnäxt\n');
  });

  it('says why it takes nothing more', () => {
    const at = path();
    symlinkSync('/dev/full', at);
    expect(new LinesFile(at).write('line\n', false)?.code).toBe('ENOSPC');
  });
});

describe('a journal on a full disk', () => {
  it('tells its listeners all the same, and that the run has to end', () => {
    const at = path();
    symlinkSync('/dev/full', at);
    const journal = openJournal(at, 'r1', realClock);
    const heard: string[] = [];
    journal.subscribe(event => heard.push(event.event));
    expect(journal.failed.aborted).toBe(false);
    journal.append({ event: 'note', text: 'one' });
    journal.append({ event: 'note', text: 'two' });
    expect(heard).toEqual(['note', 'note']);
    expect(journal.failed.reason).toBeInstanceOf(Halt);
    expect(journal.failed.reason.message).toMatch(/no space is left.*XDG_STATE_HOME/);
  });

  it('that cannot be opened is refused in one line', () => {
    expect(() => openJournal('/dev/null/runs/events.jsonl', 'r1', realClock)).toThrow(
      /^the journal .* cannot be written/,
    );
  });
});
