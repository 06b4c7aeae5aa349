// One run of the CLI inside this process: it can be killed or frozen at every point where it touches the world.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { RunEvent } from '../../src/core/journal.ts';
import { type Owner, owner } from './virtual-time.ts';

/** Where a process can be killed: around each line of the journal, and around each write to the cluster. */
export const KINDS_OF_POINT = ['before-append', 'appended', 'synced', 'before-write', 'committed'] as const;
export type KindOfPoint = (typeof KINDS_OF_POINT)[number];

export interface Point {
  readonly kind: KindOfPoint;
  /** The event or the request: `step-intended warm node-1`, `PATCH nodes/node-1`. */
  readonly label: string;
  /** The step or phase that was intended last, `-` before the first; `back:warm` on a rehearsed way back, `again:warm` after it. */
  readonly step: string;
}

/** What happens in the code of a killed process; nobody outside sees it. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

/** What a process does, as the checker is told of it. */
export interface Listener {
  journal(process: SimProcess, event: RunEvent, durable: boolean): void;
}

/** Where processes run. */
export interface Machine {
  /** Its clock is wrong by so much, ms. */
  clockError: number;
}

export interface Surroundings {
  readonly listener: Listener;
  readonly machine: Machine;
}

export class SimProcess implements Owner {
  readonly name: string;
  dead = false;
  readonly points: Point[] = [];
  /** Ends its streams when it dies. */
  readonly ends = new Set<() => void>();
  /** What it printed. */
  output = '';
  private readonly listener: Listener;
  private readonly killAt: number;
  private step = '-';
  private readonly machine: Machine;
  private part: '' | 'back:' | 'again:' = '';
  private waiting: (() => void)[] | undefined;
  private readonly died = Promise.withResolvers<'killed'>();

  /** `killAt`: dies at its so many-th point, counted from 0. */
  constructor(name: string, { listener, machine }: Surroundings, killAt = Number.POSITIVE_INFINITY) {
    this.name = name;
    this.listener = listener;
    this.machine = machine;
    this.killAt = killAt;
  }

  get clockError(): number {
    return this.machine.clockError;
  }

  /** Resolves with the exit code, or 'killed'. */
  async run(main: () => Promise<number>): Promise<number | 'killed'> {
    const ended = owner.run(this, main).catch((error: unknown) => {
      if (this.dead) return 'killed' as const;
      throw error;
    });
    try {
      return await Promise.race([ended, this.died.promise]);
    } finally {
      // A process that has ended has no timers and no connections either.
      this.die();
    }
  }

  /** @throws Killed when this is where it dies. */
  point(kind: KindOfPoint, label: string): void {
    if (this.dead) throw new Killed();
    const at = this.points.push({ kind, label, step: this.step }) - 1;
    if (at !== this.killAt) return;
    this.die();
    throw new Killed();
  }

  die(): void {
    if (this.dead) return;
    this.dead = true;
    for (const end of this.ends) end();
    this.died.resolve('killed');
  }

  /** SIGSTOP; `thaw` is SIGCONT. */
  freeze(): void {
    this.waiting ??= [];
  }

  thaw(): void {
    const { waiting = [] } = this;
    this.waiting = undefined;
    for (const action of waiting) action();
  }

  get hold(): ((action: () => void) => void) | undefined {
    const { waiting } = this;
    return waiting && (action => void waiting.push(action));
  }

  heard(event: RunEvent, durable: boolean): void {
    if (event.event === 'rehearsal-started') this.part = 'back:';
    if (event.event === 'rehearsal-done') this.part = 'again:';
    if (event.event === 'batch-done') this.part = '';
    if (event.event === 'step-intended') this.step = `${this.part}${event.step}`;
    if (event.event === 'phase-started') this.step = event.phase;
    this.listener.journal(this, event, durable);
  }
}

const real = { writeSync: fs.writeSync, fsyncSync: fs.fsyncSync };

/** Journals of simulated processes go to `folder` and are points where they die. Returns what ends it. */
export function watchFiles(): () => void {
  let unsynced: RunEvent | undefined;
  const writeSync = (file: number, text: string) => {
    const process = owner.getStore();
    const event = eventOf(text);
    if (!(process instanceof SimProcess) || !event) return real.writeSync(file, text);
    const label = labelOf(event);
    process.point('before-append', label);
    const written = real.writeSync(file, text);
    unsynced = event;
    process.heard(event, false);
    process.point('appended', label);
    return written;
  };
  const fsyncSync = (file: number) => {
    const process = owner.getStore();
    if (!(process instanceof SimProcess) || !unsynced) return real.fsyncSync(file);
    process.heard(unsynced, true);
    process.point('synced', labelOf(unsynced));
  };
  Object.assign(fs, { writeSync, fsyncSync });
  syncBuiltinESMExports();
  return () => {
    Object.assign(fs, real);
    syncBuiltinESMExports();
  };
}

function eventOf(text: unknown): RunEvent | undefined {
  if (typeof text !== 'string' || !text.startsWith('{"t":')) return undefined;
  return JSON.parse(text) as RunEvent;
}

function labelOf(event: RunEvent): string {
  const parts: unknown[] = [event.event];
  if ('step' in event) parts.push(event.step);
  if ('phase' in event) parts.push(event.phase);
  if ('gate' in event) parts.push(event.moment, event.gate);
  if ('node' in event && event.node !== undefined) parts.push(event.node);
  else if ('batch' in event) parts.push(event.batch);
  return parts.join(' ');
}
