import type { Access, KubeObject } from '../core/cluster.ts';
import { StatusError } from './status.ts';

/** A mutating admission webhook: what is to be stored instead. */
export type Webhook = (object: KubeObject, before: KubeObject) => KubeObject;

/** What goes wrong with every `every`th matching request, at most `times` times. One of the five ways. */
export interface ApiFault {
  every: number;
  /** Answered with this HTTP status and not carried out. */
  status?: number;
  /** Goes with a status, as the header of that name; 429 says `1` when it is not given, and nothing when it is empty. */
  retryAfter?: string;
  /** The connection breaks before anything was done. */
  reset?: boolean;
  /** Carried out so many milliseconds late. */
  delayMs?: number;
  /** Carried out, then the connection breaks. */
  lostAnswer?: boolean;
  /** Carried out, and half of the answer arrives as if it were all of it. */
  truncated?: boolean;
  verb?: Access['verb'];
  /** Plural, with subresource: `pods`, `pods/log`. */
  resource?: string;
  times?: number;
  /** Told each time, before anything else happens to the request. */
  strikes?: () => void;
}

export interface DenyRule {
  verb: Access['verb'];
  resource: string;
  namespace?: string;
}

interface Asked {
  readonly verb: string;
  readonly resource: string;
  readonly namespace?: string | undefined;
}

export class ApiFaults {
  private readonly faults = new Set<{ fault: ApiFault; seen: number; done: number }>();
  private readonly rules = new Set<DenyRule>();
  private readonly webhooks = new Set<Webhook>();
  /** Open watches tell of changes so many ms late; those that are open while it is infinite say nothing any more. */
  watchLag = 0;

  /** Returns what takes it away again. */
  add(fault: ApiFault): () => void {
    const entry = { fault, seen: 0, done: 0 };
    this.faults.add(entry);
    return () => this.faults.delete(entry);
  }

  deny(rule: DenyRule): () => void {
    this.rules.add(rule);
    return () => this.rules.delete(rule);
  }

  denied({ verb, resource, namespace }: Asked): boolean {
    return [...this.rules].some(
      rule =>
        rule.verb === verb &&
        rule.resource === resource &&
        (rule.namespace === undefined || rule.namespace === namespace),
    );
  }

  /** Asked of every object that is patched or replaced, before it is stored. Returns what takes it away again. */
  webhook(webhook: Webhook): () => void {
    this.webhooks.add(webhook);
    return () => this.webhooks.delete(webhook);
  }

  admitted(object: KubeObject, before: KubeObject): KubeObject {
    return [...this.webhooks].reduce((next, webhook) => webhook(next, before), object);
  }

  /** The faults that hit this request. */
  hit({ verb, resource }: Asked): ApiFault[] {
    const hits: ApiFault[] = [];
    for (const entry of this.faults) {
      const { fault } = entry;
      if ((fault.verb ?? verb) !== verb || (fault.resource ?? resource) !== resource) continue;
      if (entry.done >= (fault.times ?? Number.POSITIVE_INFINITY) || ++entry.seen % fault.every !== 0) continue;
      entry.done++;
      fault.strikes?.();
      hits.push(fault);
    }
    return hits;
  }
}

const REASONS: Record<number, string> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** What a request is refused with, and its header Retry-After; undefined where none of these faults refuses it. */
export function refusalOf(hits: readonly ApiFault[]): { error: StatusError; retryAfter?: string } | undefined {
  const refusing = hits.find(hit => hit.status !== undefined);
  if (refusing?.status === undefined) return undefined;
  const { status, retryAfter = status === 429 ? '1' : undefined } = refusing;
  const error = new StatusError(status, REASONS[status] ?? 'InternalError', `simulated fault: HTTP ${status}`);
  return retryAfter === undefined ? { error } : { error, retryAfter };
}
