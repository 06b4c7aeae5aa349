// A run by seed: a cluster, an operator, and what goes wrong meanwhile. Once nothing goes wrong any more, it must come to an end.
import type { MODES } from '../../src/core/mode.ts';
import { Random } from '../../src/sim/random.ts';
import { objectsOf } from '../scenarios/embedded-testbed.ts';
import { differences } from '../scenarios/testbed.ts';
import { type Action, type Bed, REHEARSING, withBed } from './bed.ts';
import { FAULT_KINDS, type FaultKind } from './faults.ts';
import { DIRECTIONS, expectMode } from './sweep.ts';

/** Longer than any lag, backoff or silence that a fault may leave behind. */
const HEALING_MS = 90_000;
const MOST_TRIES = 4;
/** One seed of so many rehearses the way back. */
const REHEARSED_EVERY = 4;
/** Exit codes that a run may end with while things go wrong. */
const GOOD_ENDS = new Set([0, 20, 21, 22, 23, 24, 25, 69, 77]);

export interface Played {
  readonly faults: readonly string[];
  readonly codes: readonly string[];
  readonly virtualSeconds: number;
}

/** Plays one seed; with `only`, nothing goes wrong but that. Throws with the invariant that was broken, what the end state lacks, or that there is no end. */
export function playSeed(seed: number, only?: string): Promise<Played> {
  const random = new Random(seed * 7919 + 1);
  const [mode, to] = random.pick(DIRECTIONS);
  const slowest = random.pick([1, 5, 40]);
  const latency = (r: Random) => 1 + r.int(slowest);
  const size = { nodes: 2 + random.int(2), services: 5 + random.int(4), namespaces: 2 };
  const wishes = seed % REHEARSED_EVERY === 0 ? { playbook: REHEARSING } : {};
  return withBed({ mode, to, seed, latency, ...size, ...wishes }, bed => new Story(bed, random, only).tell());
}

class Story {
  private readonly bed: Bed;
  private readonly random: Random;
  private readonly kinds: readonly FaultKind[];
  private readonly faults: FaultKind[] = [];
  private readonly codes: string[] = [];
  private healed = false;

  constructor(bed: Bed, random: Random, only: string | undefined) {
    this.bed = bed;
    this.random = random;
    this.kinds = only === undefined ? FAULT_KINDS : FAULT_KINDS.filter(kind => kind.id === only);
  }

  async tell(): Promise<Played> {
    const { bed, random, faults } = this;
    const before = objectsOf(bed.sim);
    bed.checker.disturbed = true;
    const trouble = this.makeTrouble();
    const first =
      random.int(8) === 0
        ? await this.twoRunners()
        : await this.run('migrate', random.int(3) === 0 ? random.int(400) : undefined);
    if (first !== 0 && random.int(2) === 0) await this.run(random.pick(['migrate', 'rollback'] as const));
    for (const clear of await trouble) clear();
    this.healed = true;
    await bed.sleep(HEALING_MS);
    await this.toTheEnd(before);
    return { faults: faults.map(f => f.id), codes: this.codes, virtualSeconds: bed.time.elapsed / 1000 };
  }

  /** Strikes at moments of their own; gives what ends them. */
  private async makeTrouble(): Promise<(() => void)[]> {
    const { bed, random } = this;
    const clears: (() => void)[] = [];
    const count = random.int(4);
    for (let i = 0; i < count; i++) {
      await bed.sleep(random.int(15_000));
      const kind = random.pick(this.kinds);
      this.faults.push(kind);
      const clear = kind.strike(bed, random);
      if (random.int(2) === 0) clears.push(clear);
      else setTimeout(clear, 2000 + random.int(40_000));
    }
    return clears;
  }

  /** One is stopped in the middle, as a laptop that sleeps; another takes over; then the first wakes. */
  private async twoRunners(): Promise<number | 'killed'> {
    const { bed, random } = this;
    const sleeper = bed.process('the one that slept');
    const first = this.run('migrate', undefined, sleeper);
    await bed.sleep(2000 + random.int(15_000));
    sleeper.freeze();
    const second = this.run(random.pick(['migrate', 'rollback'] as const));
    await bed.sleep(16_000 + random.int(20_000));
    sleeper.thaw();
    await first;
    return second;
  }

  private async run(action: Action, killAt?: number, process = this.bed.process(action, killAt)) {
    const code = await this.bed.run(process, action);
    this.codes.push(`${action} ${code}`);
    const good = this.healed ? new Set<unknown>([0, 20, 21, 24, 'killed']) : new Set<unknown>([...GOOD_ENDS, 'killed']);
    if (!good.has(code)) throw this.failure(`${action} ended with ${code}`, process.output);
    return code;
  }

  /** All is well again: a rollback, or finalize where everything was flipped, ends the run. */
  private async toTheEnd(before: ReadonlyMap<string, string>): Promise<void> {
    const { bed, random } = this;
    const finishing = random.int(3) === 0 && (await this.run('migrate')) === 0;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (finishing && (await this.run('finalize')) === 0) return this.expectModes(bed.options.to);
      if (bed.checker.isCommitted) continue;
      if ((await this.run('rollback')) === 0) {
        await bed.sleep(5000);
        this.expectModes(bed.options.mode);
        return this.expectAsBefore(before);
      }
      await bed.sleep(20_000);
    }
    if (this.faults.some(fault => fault.flips) && this.codes.at(-1)?.endsWith(' 21')) return;
    throw this.failure('I12: no end');
  }

  private expectModes(mode: (typeof MODES)[number]): void {
    if (this.faults.some(fault => fault.flips)) return;
    try {
      expectMode(this.bed, mode);
    } catch (error) {
      throw this.failure(error instanceof Error ? error.message : String(error));
    }
  }

  private expectAsBefore(before: ReadonlyMap<string, string>): void {
    const { bed, faults } = this;
    if (faults.some(f => f.foreign)) return;
    const left = differences(before, objectsOf(bed.sim));
    if (left.length > 0) throw this.failure(`I7: not as before:\n${left.join('\n').slice(0, 1500)}`);
  }

  private failure(message: string, output = ''): Error {
    const story = `faults: ${this.faults.map(f => f.id).join(', ')}; ${this.codes.join(', ')}`;
    return new Error(`${message}\n${story}\n${this.bed.checker.broken.join('\n')}\n${output.slice(-2500)}`);
  }
}
