// Planted bugs go where code is that changes: what each of them replaces must be there, once.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MUTANTS } from './mutants.ts';

const ROOT = new URL('../..', import.meta.url).pathname;

it('each replaces what stands in its file once, and bears a name of its own', () => {
  const times = ({ file, find }: (typeof MUTANTS)[number]) =>
    readFileSync(join(ROOT, file), 'utf8').split(find).length - 1;
  expect(MUTANTS.filter(mutant => times(mutant) !== 1).map(({ id }) => id)).toEqual([]);
  expect(new Set(MUTANTS.map(({ id }) => id)).size).toBe(MUTANTS.length);
  expect(MUTANTS.length).toBeGreaterThanOrEqual(40);
});
