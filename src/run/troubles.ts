// What stands in the way of a pod that is waited for: when to say it, and when to give up.
import type { KubeObject } from '../core/cluster.ts';
import { PATIENCE, type PodTrouble, podTrouble } from '../core/pod-trouble.ts';

/** One that is not seen for so long is over: a container that crashes runs for moments, ms. */
const OVER_MS = 10_000;
/** Every pod is being created for a while, ms. */
const CREATING_MS = 15_000;
/** Between two looks at a pod that is waited for by other signs, ms. */
const LOOK_MS = 2_000;

/** When to look at such a pod, which takes a request each time. Times in ms. */
export class PodPace {
  private lookedAt: number;

  constructor(lookedAt = Number.NEGATIVE_INFINITY) {
    this.lookedAt = lookedAt;
  }

  /** True counts as a look. */
  isDue(now: number): boolean {
    if (now - this.lookedAt < LOOK_MS) return false;
    this.lookedAt = now;
    return true;
  }
}

export class Troubles {
  private trouble: PodTrouble | undefined;
  private since = 0;
  private seenAt = 0;
  private told = '';

  /** A look at the pod at `now`, ms. */
  see(pod: KubeObject | undefined, now: number): void {
    const seen = pod && podTrouble(pod);
    if (!seen) {
      if (now - this.seenAt > OVER_MS) this.trouble = undefined;
      return;
    }
    // Of two pods the one that has more than its beginning before it counts.
    if (seen.kind === 'creating' && this.trouble && now - this.seenAt <= OVER_MS && this.trouble.kind !== 'creating')
      return;
    if (seen.kind !== this.trouble?.kind) this.since = now;
    this.trouble = seen;
    this.seenAt = now;
  }

  /** What stands in the way, where it did not do so when this was asked last. */
  news(now: number): string | undefined {
    const { trouble } = this;
    if (!trouble || trouble.text === this.told) return undefined;
    if (trouble.kind === 'creating' && now - this.since < CREATING_MS) return undefined;
    this.told = trouble.text;
    return trouble.text;
  }

  /** What stands in the way; undefined where nothing does. */
  get text(): string | undefined {
    return this.trouble?.text;
  }

  /** It has lasted for so long that it will not go away by itself. */
  isHopeless(now: number): boolean {
    return this.trouble !== undefined && now - this.since > PATIENCE[this.trouble.kind] * 1000;
  }
}
