// A way through the kernel while it is being followed.
import { type Client, type Hop, MOST_ENDS, type PathEnd, type ServicePath } from '../core/service-path.ts';

export class PathDraft {
  hops: Hop[] = [];
  readonly ends = new Map<string, PathEnd>();
  readonly sourceRanges = new Set<string>();
  /** It was marked to be masqueraded. */
  marked = false;
  verdict: 'reject' | 'drop' | undefined;

  add(hop: Hop): void {
    this.hops.push(hop);
  }

  /** What the last hop does, besides what was said of it. */
  say(text: string): void {
    const last = this.hops.pop();
    if (!last) return;
    const does = last.does === undefined ? text : `${last.does}; ${text}`;
    this.hops.push({ ...last, does });
  }

  mark(): void {
    this.marked = true;
    this.say('marks it to be masqueraded');
  }

  refuse(verdict: 'reject' | 'drop'): void {
    this.verdict = verdict;
    this.say(verdict === 'reject' ? 'refuses it' : 'drops it');
  }

  end(end: PathEnd): void {
    this.ends.set(end.address, end);
  }

  spread(how: string): void {
    const count = this.ends.size;
    this.say(count === 1 ? 'leads to its one endpoint' : `picks one of ${count} endpoints ${how}`);
  }

  /** The hops since `before` led to nothing. */
  forget(before: number): void {
    this.hops = this.hops.slice(0, before);
  }

  path(key: string, client: Client, masquerade: ServicePath['masquerade']): ServicePath {
    const ends = [...this.ends.values()].toSorted((a, b) => (a.address < b.address ? -1 : 1));
    return {
      key,
      client,
      hops: this.hops,
      outcome: ends.length > 0 ? 'endpoints' : (this.verdict ?? 'nothing'),
      ends: ends.slice(0, MOST_ENDS),
      endpoints: ends.length,
      masquerade,
      ...(this.sourceRanges.size > 0 ? { sourceRanges: [...this.sourceRanges].sort() } : {}),
    };
  }
}

/** For where nothing of the mode is. */
export function noPath(key: string, client: Client): ServicePath {
  return new PathDraft().path(key, client, 'none');
}

export function affinityText(seconds: number | undefined): string {
  return seconds === undefined ? '' : `, and keeps a client with its own for ${seconds} s`;
}
