import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import type { Judgement } from '../../src/core/gate.ts';
import { mixedMode } from '../../src/gates/mixed-mode.ts';
import { type Engine, judgeUntilPassed } from '../../src/run/engine.ts';
import { look } from '../gates/looks.ts';

/** How often a gate that stays red is asked within its patience, when one look takes `lookMs`. */
async function asked(lookMs: number, seconds: number): Promise<number> {
  let time = 0;
  let looks = 0;
  const clock: Clock = {
    now: () => time,
    monotonic: () => time,
    sleep: async ms => {
      time += ms;
    },
  };
  const red: Judgement = { gate: 'g', title: '', hint: '', verdict: 'fail', findings: [], summary: '' };
  const engine = {
    run: { clock, signal: new AbortController().signal, plan: { playbook: look('after-batch').playbook } },
    journal: { append() {} },
    runGates: async () => {
      time += lookMs;
      looks++;
      return [red];
    },
  } as unknown as Engine;
  const options = { moment: 'after-batch' as const, gates: [mixedMode], look: () => look('after-batch') };
  await expect(judgeUntilPassed(engine, { ...options, settle: seconds, patience: seconds })).rejects.toThrow();
  return looks;
}

describe('gates that do not pass', () => {
  it('are asked often where asking is cheap', async () => {
    expect(await asked(1, 20)).toBeGreaterThan(90);
  });

  it('are asked a tenth of the time where it is dear, and more than once all the same', async () => {
    expect(await asked(500, 50)).toBeLessThanOrEqual(12);
    expect(await asked(4000, 20)).toBeGreaterThanOrEqual(2);
  });
});
