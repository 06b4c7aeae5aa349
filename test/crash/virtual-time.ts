// Time, chance and files of this process, replaced while a scenario runs: nothing waits, and the same seed gives the same run.
// The code under test knows nothing of it. Not even network or disk may be waited for; what needs them is replaced as well.
import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import timersPromises from 'node:timers/promises';
import { Random } from '../../src/sim/random.ts';
import { Calendar, VirtualTimer } from './calendar.ts';

/** What belongs to one simulated process: its timers do not ring while it is frozen, and never after it was killed. */
export interface Owner {
  readonly dead: boolean;
  /** The machine's clock is wrong by so much, ms. */
  readonly clockError: number;
  /** Takes an action until the owner thaws; undefined when it is not frozen. */
  readonly hold: ((action: () => void) => void) | undefined;
}

/** The simulated process that the running code belongs to; nobody's for the cluster's own. */
export const owner = new AsyncLocalStorage<Owner | undefined>();

const EPOCH = Date.UTC(2026, 0, 1);
const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  Date: globalThis.Date,
  random: Math.random,
  timeout: AbortSignal.timeout,
  sleep: timersPromises.setTimeout,
  randomBytes: crypto.randomBytes,
  readFile: fsPromises.readFile,
  access: fsPromises.access,
  createReadStream: fs.createReadStream,
  setImmediate: globalThis.setImmediate,
};

export class VirtualTime {
  private readonly calendar = new Calendar();
  private ms = 0;
  private readonly random: Random;
  /** Timers that have rung. */
  rung = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  /** Milliseconds since the scenario began. */
  get elapsed(): number {
    return this.ms;
  }

  /**
   * Runs `work` to its end; `between` is called after each thing that happened. Throws when nothing can happen any more, or
   * when it takes longer than `limitMs` of virtual time.
   */
  async run<T>(work: () => Promise<T>, between: () => void, limitMs: number): Promise<T> {
    this.install();
    try {
      let over = false;
      const result = work().finally(() => {
        over = true;
      });
      result.catch(() => undefined);
      for (;;) {
        await new Promise<void>(resolve => void real.setImmediate(resolve));
        between();
        if (over) return await result;
        const timer = this.calendar.next();
        if (!timer) throw new Error('nothing can happen any more, and the scenario is not over');
        this.ms = Math.max(this.ms, timer.at);
        if (this.ms > limitMs) throw new Error(`not over after ${limitMs / 1000} s of virtual time`);
        this.rung++;
        timer.ring();
      }
    } finally {
      uninstall();
    }
  }

  private install(): void {
    const after = (ms: number, action: () => void, every?: number) => this.after(ms, action, every);
    const time = () => EPOCH + Math.floor(this.ms) + (owner.getStore()?.clockError ?? 0);
    const cancel = (timer: unknown, otherwise: (timer: never) => void) =>
      timer instanceof VirtualTimer ? timer.cancel() : otherwise(timer as never);
    const set = (action: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => after(ms, () => action(...args));
    const repeat = (action: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
      after(ms, () => action(...args), Math.max(1, ms));
    class VirtualDate extends real.Date {
      constructor(...args: unknown[]) {
        super(...((args.length === 0 ? [time()] : args) as [number]));
      }
      static override now(): number {
        return time();
      }
    }
    Object.assign(globalThis, {
      setTimeout: set,
      setInterval: repeat,
      clearTimeout: (timer: unknown) => cancel(timer, real.clearTimeout),
      clearInterval: (timer: unknown) => cancel(timer, real.clearInterval),
      Date: VirtualDate,
    });
    performance.now = () => this.ms;
    Math.random = () => this.random.next();
    // One for all: making it takes longer than what is done with it.
    const late = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
    AbortSignal.timeout = (ms: number) => {
      const controller = new AbortController();
      after(ms, () => controller.abort(late));
      return controller.signal;
    };
    Object.assign(timersPromises, { setTimeout: sleeper(after) });
    Object.assign(crypto, {
      randomBytes: (n: number) => Buffer.from(Array.from({ length: n }, () => this.random.int(256))),
    });
    Object.assign(fsPromises, {
      readFile: async (path: string, encoding: BufferEncoding) => fs.readFileSync(path, encoding),
      access: async (path: string, mode: number) => fs.accessSync(path, mode),
    });
    Object.assign(fs, {
      createReadStream: async function* (path: string) {
        yield fs.readFileSync(path);
      },
    });
    syncBuiltinESMExports();
  }

  private after(ms: number, action: () => void, every?: number): VirtualTimer {
    const whose = owner.getStore();
    const inContext = AsyncLocalStorage.bind(action);
    const ring = () => {
      if (whose?.dead) return;
      if (whose?.hold) whose.hold(inContext);
      else inContext();
    };
    const wait = Number.isFinite(ms) && ms > 0 ? ms : 0;
    return this.calendar.add(this.ms + wait, ring, every);
  }
}

type After = (ms: number, action: () => void) => VirtualTimer;

function sleeper(after: After) {
  return (ms = 0, value?: unknown, options: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      const { signal } = options;
      const refuse = () => {
        timer?.cancel();
        reject(new DOMException('The operation was aborted', 'AbortError'));
      };
      let timer: VirtualTimer | undefined;
      if (signal?.aborted) return refuse();
      timer = after(ms, () => {
        signal?.removeEventListener('abort', refuse);
        resolve(value);
      });
      signal?.addEventListener('abort', refuse, { once: true });
    });
}

function uninstall(): void {
  const { setTimeout, clearTimeout, setInterval, clearInterval } = real;
  Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval, Date: real.Date });
  Reflect.deleteProperty(performance, 'now');
  Math.random = real.random;
  AbortSignal.timeout = real.timeout;
  Object.assign(timersPromises, { setTimeout: real.sleep });
  Object.assign(crypto, { randomBytes: real.randomBytes });
  Object.assign(fsPromises, { readFile: real.readFile, access: real.access });
  Object.assign(fs, { createReadStream: real.createReadStream });
  syncBuiltinESMExports();
}
