import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../core/clock.ts';

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal ? { signal } : {});
  },
};

/** Its `now` does not follow when somebody sets the machine's clock: what was seen before that stays older than what is seen after. */
export function steadyClock(): Clock {
  const origin = realClock.now() - realClock.monotonic();
  return { ...realClock, now: () => origin + realClock.monotonic() };
}
