// Kills in every step, in every way, now in this direction and now in that; `npm run test:crash` has them all.
import { describe, expect, it } from 'vitest';
import { STEPS } from '../../src/core/run-state.ts';
import { Matrix } from './matrix.ts';
import { type Case, DIRECTIONS, FOLLOW_UPS, play, pointsOf } from './sweep.ts';

/** Directions that are swept at every `npm test`; each step of each is killed at least once. */
const SWEPT = DIRECTIONS.filter(([from, to]) => from === 'nftables' || to === 'nftables');
/** Of the points of one step, so many are taken. */
const EACH = 1;

/** Points spread over the steps: of each step some, another kind in each direction. */
async function sample([from, to]: readonly [Case['from'], Case['to']], turn: number): Promise<Case[]> {
  const points = await pointsOf(from, to, 'migrate');
  const bySteps = Map.groupBy(
    points.map((point, killAt) => ({ ...point, killAt })),
    point => point.step,
  );
  return [...bySteps.values()].flatMap((own, s) =>
    Array.from({ length: EACH }, (_, i): Case => {
      const { killAt = 0 } = own[(7 * turn + 5 * s + 3 * i) % own.length] ?? {};
      return { from, to, action: 'migrate', killAt, followUp: FOLLOW_UPS[(turn + s + i) % 3] ?? 'resume' };
    }),
  );
}

describe('a run that is killed', () => {
  const matrix = new Matrix();
  it.each(SWEPT.map(([from, to], turn) => ({ from, to, turn })))(
    '$from -> $to goes on or goes back',
    {
      timeout: 120_000,
    },
    async ({ from, to, turn }) => {
      for (const one of await sample([from, to], turn)) {
        const point = await play(one).catch((error: Error) => {
          throw new Error(`${JSON.stringify(one)}: ${error.message}`);
        });
        matrix.add(one, point);
      }
    },
  );

  it('was killed in every step', () => {
    expect([...matrix.steps('migrate')]).toEqual(expect.arrayContaining([...STEPS]));
  });
});
