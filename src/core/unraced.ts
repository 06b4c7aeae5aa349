import type { Clock } from './clock.ts';
import { ApiError } from './errors.ts';

const TRIES = 8;

interface Trying {
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/**
 * Attempts a read and the write that rests on it, again where somebody wrote in between: the server answers 409 to an outdated
 * version and 422 to a failed test.
 */
export async function unraced<T>({ clock, signal }: Trying, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const raced = error instanceof ApiError && (error.status === 409 || error.status === 422);
      if (!raced || tries >= TRIES) throw error;
      await clock.sleep(50 * tries, signal);
    }
  }
}
