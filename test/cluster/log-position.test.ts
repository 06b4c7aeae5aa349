import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LogPosition } from '../../src/cluster/log-position.ts';

/** A log of two streams that stand up to a second out of order, with lines that repeat. */
const logs = fc
  .array(
    fc.record({
      step: fc.integer({ min: 0, max: 1500 }),
      late: fc.integer({ min: 0, max: 900 }),
      text: fc.constantFrom('a', 'b', ''),
    }),
    {
      maxLength: 60,
    },
  )
  .map(entries => {
    let clock = Date.parse('2026-01-01T00:00:00Z');
    return entries.map(({ step, late, text }) => {
      clock += step;
      return `${new Date(clock - late).toISOString()} ${text}`;
    });
  });

test('however often the connection breaks, each line comes once and in order', () => {
  fc.assert(
    fc.property(logs, fc.array(fc.nat({ max: 60 }), { maxLength: 8 }), (log, breaks) => {
      const position = new LogPosition();
      const got: string[] = [];
      for (const end of [...breaks.toSorted((a, b) => a - b), log.length]) {
        const since = position.resume();
        const from = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since);
        for (const line of log.slice(0, end).filter(l => Date.parse(l.slice(0, 24)) >= from)) {
          const fresh = position.accept(line);
          if (fresh !== undefined) got.push(fresh);
        }
      }
      expect(got).toEqual(log.map(line => line.slice(25)));
    }),
  );
});

test('a line without a timestamp is passed on', () => {
  expect(new LogPosition().accept('unable to retrieve container logs')).toBe('unable to retrieve container logs');
});
