/** Time as the engine sees it: the real one, or a simulator's. */
export interface Clock {
  /** Milliseconds since the epoch, for display and for comparing with what nodes report. */
  now(): number;
  /** Milliseconds that never jump, for durations and deadlines. */
  monotonic(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
