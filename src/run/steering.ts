import type { Clock } from '../core/clock.ts';
import type { Journal, RunEvent } from '../core/journal.ts';
import { metadataOps } from '../core/metadata-ops.ts';
import { ANNOTATION_DOING } from '../core/names.ts';
import {
  type Adjustment,
  adjustmentText,
  type Control,
  controlOf,
  type Doing,
  lineText,
  type StateLine,
  stateLine,
  type Wish,
} from '../core/steering.ts';
import { Halt } from './engine.ts';
import type { Held } from './lease.ts';

/** Between two looks at the Lease. */
const LOOK_MS = 1_000;
const WAIT_MS = 200;

export interface SteeringOptions {
  readonly held: Held;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Aborts when nothing is to be waited for any more. */
  readonly signal: AbortSignal;
  readonly doing: Pick<Doing, 'action' | 'only'>;
  /** Times of the adjustments that the plan holds already. */
  readonly adjusted: ReadonlySet<string>;
}

/** Listens to what operators want of the run, and tells them what it does: both through its Lease. */
export class Steering {
  private readonly options: SteeringOptions;
  private readonly stopping = new AbortController();
  private readonly closing = new AbortController();
  private line: StateLine;
  private told = '';
  private heard = 0;
  private pause: Wish | undefined;
  private paused: Wish | undefined;
  private finished = false;
  private adjust: Adjustment | undefined;
  private looking: Promise<void> | undefined;

  constructor(options: SteeringOptions) {
    this.options = options;
    this.line = { where: '', text: 'begins', since: new Date(options.clock.now()).toISOString() };
    options.journal.subscribe(event => this.follow(event));
  }

  /** Aborts when an operator wants the run to stop at the next safe point; the reason is a Halt. */
  get stop(): AbortSignal {
    return this.stopping.signal;
  }

  /** What operators want changed, whether it has been done or not. */
  get adjustment(): Adjustment | undefined {
    return this.adjust;
  }

  /** What the run does or waits for now. */
  get state(): string {
    return lineText(this.line);
  }

  /** Looks at the Lease until it is closed. */
  start(): void {
    this.looking = this.look();
  }

  /** The last word is told before it resolves. `finished`: nothing of the action is left to do. */
  async close(finished: boolean): Promise<void> {
    this.finished = finished;
    this.closing.abort();
    await this.looking;
    await this.once();
  }

  /** Between two nodes: waits while the run is to pause, until it goes on or is to stop. */
  async pausePoint(stop: AbortSignal): Promise<void> {
    const { clock, journal, signal } = this.options;
    while (this.pause && !stop.aborted) {
      const { by } = this.pause;
      if (!this.paused) {
        this.paused = { by, at: new Date(clock.now()).toISOString() };
        journal.append({ event: 'waiting', for: `'proxyctl resume'; paused by ${by} since ${this.paused.at}` });
      }
      await clock.sleep(WAIT_MS, signal);
    }
    this.paused = undefined;
  }

  private follow(event: RunEvent): void {
    this.line = stateLine(this.line, event);
  }

  private async look(): Promise<void> {
    const signal = AbortSignal.any([this.options.signal, this.closing.signal]);
    while (!signal.aborted) {
      await this.once();
      // It ends with the run, early or not.
      await this.options.clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  private async once(): Promise<void> {
    const { held } = this.options;
    try {
      const lease = await held.read();
      if (!lease) return;
      this.hear(controlOf(lease));
      const text = this.doingText();
      if (text === this.told) return;
      await held.tell(metadataOps(lease, { annotations: { [ANNOTATION_DOING]: text } }));
      this.told = text;
    } catch {
      // The server is away, or the Lease is another's: asked again in a moment, and each write asks by itself.
    }
  }

  private doingText(): string {
    const { action, only } = this.options.doing;
    const doing: Doing = {
      action,
      ...(only === undefined ? {} : { only }),
      text: lineText(this.line),
      since: this.line.since,
      heard: this.heard,
      ...(this.paused ? { paused: this.paused } : {}),
      ...(this.finished ? { finished: true } : {}),
    };
    return JSON.stringify(doing);
  }

  private hear(control: Control): void {
    if (control.change === this.heard) return;
    const { journal, adjusted } = this.options;
    const { pause, resumed, abort, adjust } = control;
    if (pause && !this.pause) journal.append({ event: 'steered', what: 'pause', ...pause });
    if (this.pause && !pause && resumed) journal.append({ event: 'steered', what: 'resume', ...resumed });
    if (adjust && adjust.at !== this.adjust?.at && !adjusted.has(adjust.at))
      journal.append({ event: 'steered', what: 'adjust', by: adjust.by, at: adjust.at, to: adjustmentText(adjust) });
    this.pause = pause;
    this.adjust = adjust;
    if (abort && !this.stop.aborted) {
      journal.append({ event: 'steered', what: 'abort', ...abort });
      this.stopping.abort(new Halt('stopped', `stopped by ${abort.by}`));
    }
    this.heard = control.change;
  }
}
