import type { NodeIo } from '../core/node-io.ts';
import type { Observation } from '../core/observation.ts';

/** A line before it gets its time. */
export type NewObservation = Observation extends infer O ? (O extends Observation ? Omit<O, 't'> : never) : never;

const REPEAT_MS = 2000;

/** Prints observations. A watcher's log is followed over the network by one reader a node, so what stays the same is rare. */
export class Report {
  private readonly io: NodeIo;
  private readonly said = new Map<string, { text: string; at: number }>();

  constructor(io: NodeIo) {
    this.io = io;
  }

  print(observation: NewObservation): void {
    this.io.print(JSON.stringify({ t: new Date(this.io.now()).toISOString(), ...observation }));
  }

  /** Prints when `state` is not what it was under this key, or after REPEAT_MS. */
  printChanged(key: string, observation: NewObservation, state = JSON.stringify(observation)): void {
    const now = this.io.now();
    const last = this.said.get(key);
    if (last && last.text === state && now - last.at < REPEAT_MS && now >= last.at) return;
    this.said.set(key, { text: state, at: now });
    this.print(observation);
  }

  /** The same trouble at most every 5 s. */
  trouble(what: string, error: unknown): void {
    const text = (error instanceof Error ? error.message : String(error)).trim().slice(0, 500);
    this.printChanged(`trouble ${what} ${text}`, { kind: 'trouble', what, error: text });
    if (this.said.size > 1000) this.said.clear();
  }
}
