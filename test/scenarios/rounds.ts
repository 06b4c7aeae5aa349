// `proxyctl verify --for` while it runs, round by round.
import type { Verification } from '../../src/core/verification.ts';
import type { CliResult } from './testbed.ts';

/** A proxyctl that runs. */
export interface Running {
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  signal(name: NodeJS.Signals): void;
  readonly result: Promise<CliResult>;
}

const LONGEST_MS = 600_000;
const POLL_MS = 100;

export class Rounds {
  private readonly running: Running;
  private ended: CliResult | undefined;
  /** Where in what it printed the next round begins. */
  private at = 0;

  constructor(running: Running) {
    this.running = running;
    running.result.then(
      result => (this.ended = result),
      () => undefined,
    );
  }

  /** The next round as soon as it is over. Throws when none comes any more. */
  async next(): Promise<Verification> {
    const end = performance.now() + LONGEST_MS;
    for (;;) {
      const [found] = this.arrived(1);
      if (found) return found;
      if (this.ended) throw new Error(`verify ended with ${this.ended.code}: ${this.ended.stderr.slice(-3000)}`);
      if (performance.now() > end) throw new Error(`no round of verify: ${this.running.stderr().slice(-3000)}`);
      await new Promise(done => setTimeout(done, POLL_MS));
    }
  }

  /** Rounds that are over by now and have not been given yet, `most` at most. */
  arrived(most = Number.POSITIVE_INFINITY): Verification[] {
    const text = this.running.stdout();
    const fresh: Verification[] = [];
    for (let end = text.indexOf('\n', this.at); end >= 0 && fresh.length < most; end = text.indexOf('\n', this.at)) {
      fresh.push(JSON.parse(text.slice(this.at, end)));
      this.at = end + 1;
    }
    return fresh;
  }

  /** Ends it as Ctrl-C does. */
  async end(): Promise<CliResult> {
    this.running.signal('SIGINT');
    return this.running.result;
  }
}
