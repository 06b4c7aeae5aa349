// docs/promises.md names tests. It is true only as long as each of them is there, and nothing that has to be promised is left out.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MODES } from '../src/core/mode.ts';
import { FAULT_KINDS } from './crash/faults.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const PAGE = readFileSync(join(ROOT, 'docs/promises.md'), 'utf8');

interface Promised {
  readonly id: string;
  readonly cells: readonly string[];
}

/** Rows of the tables whose first cell is an id: `I1`, `S17`. */
const ROWS: Promised[] = PAGE.split('\n').flatMap(line => {
  const [, id = '', rest = ''] = /^\| ([IS]\d+) \|(.*)\|$/.exec(line) ?? [];
  return id === '' ? [] : [{ id, cells: rest.split(' | ').map(cell => cell.trim()) }];
});

/** `[title](../test/file.test.ts)`: a test, or a row of its table, by the words that stand in that file. */
const NAMED = [...PAGE.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+\.test\.ts)\)/g)].map(
  ([, title = '', file = '']) => [file, title] as const,
);

/** Titles of tests and of rows: whole texts in quotes at the beginning of a call, a list or a line. */
function titlesIn(file: string): Set<string> {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const quoted = /(?<=[([]\s*|^\s*)(?:'((?:[^'\\\n]|\\.)*)'|"([^"\n]*)"|`([^`\n]*)`)(?=\s*[,)\]])/gm;
  return new Set([...text.matchAll(quoted)].map(([, a, b, c]) => (a ?? b ?? c ?? '').replaceAll("\\'", "'")));
}

function ids(letter: string, last: number): string[] {
  return Array.from({ length: last }, (_, i) => `${letter}${i + 1}`);
}

describe('docs/promises.md', () => {
  it('has a row for every promise and every scenario, once and in order', () => {
    expect(ROWS.map(row => row.id)).toEqual([...ids('I', 13), ...ids('S', 48)]);
  });

  it('says of each how it is tested, or that it is not', () => {
    const silent = ROWS.filter(({ cells }) => !/\]\(\.\.\/test\/|`[a-zA-Z0-9 -]+`|not covered/.test(cells[1] ?? ''));
    expect(silent.map(row => row.id)).toEqual([]);
    expect(ROWS.filter(({ cells }) => cells.length !== 4 || cells.some(cell => cell === '')).map(r => r.id)).toEqual(
      [],
    );
  });

  it.each([...new Set(NAMED.map(([file]) => file))])('names tests that are in %s', file => {
    expect(existsSync(join(ROOT, file)), file).toBe(true);
    const titles = titlesIn(file);
    expect(NAMED.filter(([f, title]) => f === file && !titles.has(title)).map(([, title]) => title)).toEqual([]);
  });

  it('names every kind of fault that seeds play, and no other', () => {
    const known = FAULT_KINDS.map(kind => kind.id);
    const cells = ROWS.map(({ cells }) => cells[1] ?? '').join(' ');
    const named = new Set([...cells.matchAll(/`([^`]+)`/g)].map(([, id = '']) => id));
    expect(known.filter(id => !named.has(id))).toEqual([]);
    expect([...named].filter(id => !known.includes(id) && !MODES.some(mode => id.includes(mode)))).toEqual([]);
  });
});
