// Kills in every step, in every way, now in this direction and now in that; `npm run test:crash` has them all.
import { describe, expect, it } from 'vitest';
import { STEPS } from '../../src/core/run-state.ts';
import type { Action } from './bed.ts';
import { Matrix } from './matrix.ts';
import { KINDS_OF_POINT } from './sim-process.ts';
import { type Case, DIRECTIONS, FOLLOW_UPS, play, pointsOf } from './sweep.ts';

/** Steps and phases that a command went through in any direction: what has to be killed. */
const known = new Map<Action, Set<string>>();

/** Points spread over the steps of a command: in each direction every other step, another kind of point in each. */
async function sample(
  [from, to]: (typeof DIRECTIONS)[number],
  turn: number,
  what: Pick<Case, 'action' | 'rehearse'>,
): Promise<Case[]> {
  const { action, rehearse } = what;
  const points = await pointsOf({ from, to, ...what });
  // Of a rehearsed run only what another has not.
  const meant = points.map((point, killAt) => ({ ...point, killAt })).filter(p => !rehearse || p.step.includes(':'));
  known.set(action, new Set([...(known.get(action) ?? []), ...meant.map(point => point.step)]));
  const bySteps = Map.groupBy(meant, point => point.step);
  // The other two commands are each killed in three directions: in each of them a third of the steps.
  const [every, first] = rehearse ? [3, turn] : action === 'migrate' ? [2, turn] : [3, turn >> 1];
  return [...bySteps.values()].flatMap((own, s): Case[] => {
    if ((s + first) % every !== 0) return [];
    const { killAt = 0 } = own[(7 * turn + 5 * s) % own.length] ?? {};
    const followUps = action !== 'rollback' ? FOLLOW_UPS : FOLLOW_UPS.filter(f => f !== 'back');
    return [{ from, to, ...what, killAt, followUp: followUps[(turn + s) % followUps.length] ?? 'resume' }];
  });
}

describe('a run that is killed', () => {
  const matrix = new Matrix();
  it.each(DIRECTIONS.map(([from, to], turn) => ({ from, to, turn })))(
    '$from -> $to goes on or goes back',
    {
      timeout: 600_000,
    },
    async ({ from, to, turn }) => {
      const cases: Case[] = [];
      const other: Action = turn % 2 === 0 ? 'rollback' : 'finalize';
      for (const what of [{ action: 'migrate' }, { action: 'migrate', rehearse: true }, { action: other }] as const)
        cases.push(...(await sample([from, to], turn, what)));
      for (const one of cases) {
        const point = await play(one).catch((error: Error) => {
          throw new Error(`${JSON.stringify(one)}: ${error.message}`);
        });
        if (point) matrix.add(one, point);
      }
    },
  );

  it('was killed in every step', () => {
    expect([...matrix.steps('migrate')]).toEqual(
      expect.arrayContaining([...STEPS, ...STEPS.map(step => `back:${step}`)]),
    );
    for (const [action, steps] of known) expect([...matrix.steps(action)].sort(), action).toEqual([...steps].sort());
    expect([...matrix.kinds()].sort()).toEqual([...KINDS_OF_POINT].sort());
  });
});
