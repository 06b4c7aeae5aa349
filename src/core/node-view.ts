// What is known of one node from its watchers' lines, reduced. Pure: the same lines give the same view.

import { addSample } from './conntrack.ts';
import type { Mode } from './mode.ts';
import type {
  ConntrackSample,
  KernelSample,
  Observation,
  Outcome,
  PathSample,
  ProbeRound,
  ProxySample,
  Vantage,
} from './observation.ts';
import { PROBE_KINDS, type ProbeKind } from './probe-kind.ts';
import { type RulesOnTheWay, type RulesView, takeRules } from './rules-view.ts';
import type { ServicePath } from './service-path.ts';

/** Probe results of one vantage since `since`. */
export interface ProbeTally {
  readonly since: string;
  /** Rounds begun and ended since then. */
  readonly rounds: number;
  /** Targets dialled in these rounds, and how many of which kind. */
  readonly attempts: number;
  readonly kinds: Kinds;
  /** By target id: attempts that were not ok, how many of the latest rounds in a row, and the last outcome. */
  readonly bad: ReadonlyMap<string, { total: number; inARow: number; outcome: Outcome }>;
  /** Connections to Services without endpoints: made, not refused, and how many of the latest in a row were not. */
  readonly refusals: { readonly asked: number; readonly silent: number; readonly silentInARow: number };
}

type Kinds = Readonly<Partial<Record<ProbeKind, number>>>;

export interface NodeView {
  readonly node: string;
  /** When the last line of each vantage was read, by our own clock (ms); undefined before the first. */
  readonly seenAt: Readonly<Partial<Record<Vantage, number>>>;
  readonly proxy: Readonly<Partial<Record<'main' | 'warm', ProxySample>>>;
  /** Node's clock, Unix seconds, when a kube-proxy process (by its start) was first seen with all its rules written. */
  readonly synced: Readonly<Partial<Record<'main' | 'warm', { readonly start: number; readonly at: number }>>>;
  readonly kernel?: KernelSample;
  /** What each mode's rules in the kernel do; a mode of which no whole look has come (any more) is not there. */
  readonly rules: Readonly<Partial<Record<Mode, RulesView>>>;
  /** Looks of which the last line has not come. */
  readonly rulesOnTheWay: RulesOnTheWay;
  /** Ways that were asked for, latest last; absent when none was. */
  readonly paths?: readonly { readonly mode: Mode; readonly path: ServicePath }[];
  /** Oldest first, bounded; the first one stays. */
  readonly conntrack: readonly ConntrackSample[];
  readonly rounds: Readonly<Partial<Record<Vantage, ProbeTally>>>;
  /**
   * Our clock minus the node's, in ms: the smallest difference seen, since a line's way to us only adds to it. Undefined
   * before the first line.
   */
  readonly offset?: number;
  /** What a watcher said it could not do, latest last, at most 20. */
  readonly troubles: readonly string[];
}

export function emptyView(node: string): NodeView {
  return {
    node,
    seenAt: {},
    proxy: {},
    synced: {},
    rules: {},
    rulesOnTheWay: {},
    conntrack: [],
    rounds: {},
    troubles: [],
  };
}

/** The view with one more line of the watcher at `vantage`, read at `now` (ms of our own clock). */
export function observe(view: NodeView, vantage: Vantage, line: Observation, now: number): NodeView {
  const offset = Math.min(view.offset ?? Number.POSITIVE_INFINITY, now - Date.parse(line.t));
  const seen: NodeView = { ...view, offset, seenAt: { ...view.seenAt, [vantage]: now } };
  switch (line.kind) {
    case 'proxy':
      return { ...seen, proxy: { ...view.proxy, [line.slot]: line }, synced: firstSync(view, line) };
    case 'kernel':
      return { ...seen, kernel: line };
    case 'rules':
      return { ...seen, ...takeRules(view, line) };
    case 'path':
      return { ...seen, paths: [...otherPaths(view, line), { mode: line.mode, path: line.path }] };
    case 'conntrack':
      return { ...seen, conntrack: addSample(view.conntrack, line) };
    case 'round':
      return { ...seen, rounds: { ...view.rounds, [line.vantage]: addRound(view.rounds[line.vantage], line) } };
    case 'trouble':
      return { ...seen, troubles: [...view.troubles, `${line.what}: ${line.error}`].slice(-20) };
    case 'hello':
    case 'sweep':
      return seen;
  }
}

function otherPaths({ paths = [] }: NodeView, { mode, path }: PathSample): NonNullable<NodeView['paths']> {
  const same = (other: ServicePath) => other.key === path.key && other.client === path.client;
  return paths.filter(known => known.mode !== mode || !same(known.path));
}

function firstSync(view: NodeView, { slot, processStart: start, families, t }: ProxySample): NodeView['synced'] {
  const syncs = Object.values(families).map(f => f.lastSync ?? 0);
  const whole = start !== null && syncs.length > 0 && syncs.every(s => s >= start);
  if (!whole || view.synced[slot]?.start === start) return view.synced;
  return { ...view.synced, [slot]: { start, at: Date.parse(t) / 1000 } };
}

/** The time of the node's clock at `now` of ours, ms. */
export function nodeTime(view: NodeView, now: number): number {
  return now - (view.offset ?? 0);
}

/** The view with the probe tallies begun anew at `now` (ms of our clock): for "since the flip" against "before it". */
export function restartRounds(view: NodeView, now: number): NodeView {
  const since = new Date(nodeTime(view, now)).toISOString();
  const empty = emptyTally(since);
  return { ...view, rounds: { host: empty, pod: empty } };
}

function emptyTally(since: string): ProbeTally {
  const refusals = { asked: 0, silent: 0, silentInARow: 0 };
  return { since, rounds: 0, attempts: 0, kinds: {}, bad: new Map(), refusals };
}

function addRound(tally: ProbeTally | undefined, round: ProbeRound): ProbeTally {
  const before = tally ?? emptyTally(round.began);
  // A round that began before the mark mixes two moments.
  if (round.began < before.since) return before;
  const bad = new Map(before.bad);
  const now = new Map(round.bad);
  for (const [id, entry] of bad) if (!now.has(id)) bad.set(id, { ...entry, inARow: 0 });
  for (const [id, outcome] of now) {
    const entry = bad.get(id);
    bad.set(id, { total: (entry?.total ?? 0) + 1, inARow: (entry?.inARow ?? 0) + 1, outcome });
  }
  const kinds = addKinds(before.kinds, round.dialled);
  const attempts = Object.values(kinds).reduce((sum, n) => sum + n, 0);
  const refusals = addRefusal(before.refusals, round.refusal);
  return { since: before.since, rounds: before.rounds + 1, attempts, kinds, bad, refusals };
}

function addKinds(before: Kinds, round: Kinds): Kinds {
  const kinds: Partial<Record<ProbeKind, number>> = { ...before };
  for (const kind of PROBE_KINDS) {
    const more = round[kind];
    if (more !== undefined) kinds[kind] = (kinds[kind] ?? 0) + more;
  }
  return kinds;
}

function addRefusal(before: ProbeTally['refusals'], outcome: Outcome | undefined): ProbeTally['refusals'] {
  if (outcome === undefined) return before;
  const silent = Number(outcome === 'timeout' || outcome === 'no answer');
  return {
    asked: before.asked + 1,
    silent: before.silent + silent,
    silentInARow: silent === 0 ? 0 : before.silentInARow + 1,
  };
}
