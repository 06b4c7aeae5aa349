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
  /** Of the time, once the nudge says that something changed. */
  readonly shareAfterChange?: number;
}

/**
 * Calls `work` until aborted, starts at least `intervalMs` apart, and never more than its share: the node has its own work to
 * do, and a slow node is looked at less often.
 */
export async function every(io: NodeIo, pace: Pace, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  const { intervalMs, share, cost, nudge, shareAfterChange = share } = pace;
  while (!signal.aborted) {
    const began = io.now();
    const cpu = io.cpu();
    await work();
    // The clock may be set meanwhile.
    const took = Math.min(Math.max(io.now() - began, 0), 60_000);
    const spent = cost === 'cpu' ? io.cpu() - cpu : took;
    const waitFor = (part: number) => Math.max(intervalMs - took, spent / part - took, 1);
    const wait = waitFor(share);
    await (nudge ? nudge.pause(io, { wait, afterChange: waitFor(shareAfterChange) }, signal) : pause(io, wait, signal));
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

/** Cuts short the pause of a loop when something happened that it should look at. What came since the last pause counts too. */
export class Nudge {
  private urgent = new AbortController();
  private change = new AbortController();

  /** The pause is over. */
  now(): void {
    this.urgent.abort();
  }

  /** The pause is over as soon as it has lasted for `afterChange`. */
  changed(): void {
    this.change.abort();
  }

  /** Times in ms; `afterChange` is no longer than `wait`. */
  async pause(io: NodeIo, { wait, afterChange }: { wait: number; afterChange: number }, signal: AbortSignal) {
    const ended = AbortSignal.any([signal, this.urgent.signal]);
    await pause(io, afterChange, ended);
    await pause(io, wait - afterChange, AbortSignal.any([ended, this.change.signal]));
    this.urgent = new AbortController();
    this.change = new AbortController();
  }
}
