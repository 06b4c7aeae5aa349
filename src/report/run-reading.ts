// What a journal says, reduced. Pure: the same events give the same reading, finished or not.
import type { RunEvent, RunOutcome } from '../core/journal.ts';
import { addKinds, type KindTallies } from '../core/probe-tally.ts';

type Opened = Extract<RunEvent, { event: 'run-opened' }>;
export type GateEvent = Extract<RunEvent, { event: 'gate-judged' }>;

export interface RunReading {
  /** The action that was opened last; undefined in a journal that begins elsewhere. */
  readonly opened: Opened | undefined;
  /** Undefined while it goes on, or when it was killed. */
  readonly closed: { readonly outcome: RunOutcome; readonly reason: string; readonly next: string } | undefined;
  readonly batches: ReadonlySet<string>;
  /** Batch that was begun and not finished. */
  readonly openBatch: string | undefined;
  /** Services exposed by the batches that are done, and those that the open batch adds at most. */
  readonly exposed: number;
  readonly exposing: number;
  readonly flipped: ReadonlySet<string>;
  readonly returned: ReadonlySet<string>;
  /** The way back that was rehearsed; without `seconds` it was begun and not proven. */
  readonly rehearsal: { readonly node: string; readonly seconds?: number } | undefined;
  readonly attempts: number;
  readonly failed: number;
  readonly kinds: KindTallies;
  /** Seconds between each opening and its end, and kube-proxy's own of these. */
  readonly seconds: number;
  readonly proxySeconds: number;
  /** Verdicts that were not a pass, in order. */
  readonly gates: readonly GateEvent[];
  readonly notes: readonly string[];
}

/** Reads one run's events, all its actions together: what a rollback returns, the migration before it had flipped. */
export function readRun(events: readonly RunEvent[]): RunReading {
  const batches = new Set<string>();
  const flipped = new Set<string>();
  const returned = new Set<string>();
  const sizes = new Map<string, number>();
  const sums = { exposed: 0, attempts: 0, failed: 0, proxySeconds: 0 };
  const notes: string[] = [];
  let kinds: KindTallies = {};
  let opened: Opened | undefined;
  let closed: RunReading['closed'];
  let openBatch: string | undefined;
  let rehearsal: RunReading['rehearsal'];
  for (const event of events) {
    switch (event.event) {
      case 'run-opened':
        opened = event;
        closed = undefined;
        for (const batch of event.batches) sizes.set(batch.id, batch.services);
        break;
      case 'batch-started':
        openBatch = event.batch;
        break;
      case 'batch-done':
        batches.add(event.batch);
        openBatch = undefined;
        sums.exposed = event.exposed;
        break;
      case 'node-done':
        flipped.add(event.node);
        returned.delete(event.node);
        sums.attempts += event.attempts;
        sums.failed += event.failed;
        kinds = addKinds(kinds, event.kinds ?? {});
        sums.proxySeconds += event.proxySeconds;
        break;
      case 'node-restarted':
        sums.proxySeconds += event.proxySeconds;
        break;
      case 'node-back':
        flipped.delete(event.node);
        returned.add(event.node);
        break;
      case 'rehearsal-started':
        rehearsal = { node: event.node };
        break;
      case 'rehearsal-done':
        rehearsal = { node: event.node, seconds: event.seconds };
        break;
      case 'note':
        notes.push(event.text);
        break;
      case 'replanned':
        if (opened) opened = { ...opened, batches: event.batches };
        for (const batch of event.batches) sizes.set(batch.id, batch.services);
        break;
      case 'run-closed':
        closed = { outcome: event.outcome, reason: event.reason, next: event.next };
        break;
    }
  }
  const gates = events.filter(e => e.event === 'gate-judged').filter(e => e.verdict !== 'pass');
  const exposing = openBatch === undefined ? 0 : (sizes.get(openBatch) ?? 0);
  return {
    opened,
    closed,
    batches,
    openBatch,
    exposing,
    flipped,
    returned,
    rehearsal,
    gates,
    notes,
    kinds,
    seconds: secondsOf(events),
    ...sums,
  };
}

/** Time between an opening and its end, summed; the pauses between two actions are nobody's work. */
function secondsOf(events: readonly RunEvent[]): number {
  let begun: number | undefined;
  let last = 0;
  let sum = 0;
  for (const event of events) {
    const t = Date.parse(event.t);
    if (event.event === 'run-opened') {
      if (begun !== undefined) sum += last - begun;
      begun = t;
    }
    last = t;
    if (event.event === 'run-closed' && begun !== undefined) {
      sum += t - begun;
      begun = undefined;
    }
  }
  if (begun !== undefined) sum += last - begun;
  return sum / 1000;
}
