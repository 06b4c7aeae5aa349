import type { ExpectStatic } from 'vitest';
import { isFound, MOST_ROUNDS, type Outcome } from './fault-matrix.ts';

/** A fault was found as its row wants it, and in time; a migration was halted by it. */
export function expectFound(outcome: Outcome, expect: ExpectStatic): void {
  const { row, mode, node, struck, verdict, gates, named, code } = outcome;
  expect.soft(outcome.error, row.fault).toBeUndefined();
  const about = `${row.fault} in ${mode} mode, on ${node}, strikes ${struck.join(', ') || 'no Service'}`;
  const wanted = { verdict: row.verdict, gates: row.gates, names: row.names, found: true };
  expect
    .soft({ verdict, gates, named, found: isFound(outcome) }, `${about}; wanted ${JSON.stringify(wanted)}`)
    .toMatchObject({
      verdict: row.verdict,
      found: true,
    });
  if (row.towards === undefined) expect.soft(outcome.rounds, about).toBeLessThanOrEqual(MOST_ROUNDS);
  else expect.soft(code, about).toBe(21);
}
