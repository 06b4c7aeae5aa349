import { describe, expect, test } from 'vitest';
import type { Gate, Look, Verdict } from '../../src/core/gate.ts';

/** A look, its verdict, and what the findings say; without the last one there must be none. */
export type Row = [name: string, look: Look, verdict: Verdict, says?: RegExp];

/** The rows as tests of the gate: `level subject message fix`, a line each finding. */
export function table(gate: Gate, rows: readonly Row[]): void {
  describe(gate.id, () => {
    test.each(rows)('%s', async (_, at, verdict, says) => {
      const judgement = await gate.look(at);
      const text = judgement.findings
        .map(f => [f.level, f.subject, f.message, f.fix ?? []].flat().join(' '))
        .join('\n');
      expect([judgement.verdict, text]).toEqual([verdict, says ? expect.stringMatching(says) : '']);
    });
  });
}
