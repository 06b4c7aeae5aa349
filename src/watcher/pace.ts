import type { NodeIo } from '../core/node-io.ts';

/** Sleeps; an abort ends it early, without an error. */
export async function pause(io: NodeIo, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  try {
    await io.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

export interface Pace {
  readonly intervalMs: number;
  /** Of the time that the work may take at most: of a processor's, or of the clock's where other programs do the work. */
  readonly share: number;
  readonly cost: 'cpu' | 'clock';
  readonly nudge?: Nudge;
}

/**
 * Calls `work` until aborted, starts at least `intervalMs` apart, and never more than its share: the node has its own work to
 * do, and a slow node is looked at less often.
 */
export async function every(io: NodeIo, pace: Pace, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  const { intervalMs, share, cost, nudge } = pace;
  while (!signal.aborted) {
    const began = io.now();
    const cpu = io.cpu();
    await work();
    // The clock may be set meanwhile.
    const took = Math.min(Math.max(io.now() - began, 0), 60_000);
    const spent = cost === 'cpu' ? io.cpu() - cpu : took;
    const wait = Math.max(intervalMs - took, spent / share - took, 1);
    await (nudge ? nudge.pause(io, wait, signal) : pause(io, wait, signal));
  }
}

/** Calls `work` for all items, at most `limit` at once; the first error ends it. */
export async function eachAtMost<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

/** Cuts short the pause of a loop when something happened that it should look at. */
export class Nudge {
  private next = new AbortController();

  now(): void {
    this.next.abort();
  }

  /** A nudge since the last pause counts too. */
  async pause(io: NodeIo, ms: number, signal: AbortSignal): Promise<void> {
    await pause(io, ms, AbortSignal.any([signal, this.next.signal]));
    this.next = new AbortController();
  }
}
