// How many of the probes of a node failed through its flip, by kind.
import type { NodeInFlip } from './gate.ts';
import { byDesign, isReopened, type Wishes } from './mode-differences.ts';
import type { ProbeTally } from './node-view.ts';
import type { Vantage } from './observation.ts';
import { KIND_LABELS, kindOfTarget, PROBE_KINDS, type ProbeKind } from './probe-kind.ts';
import { VANTAGES } from './vantage.ts';
import { count } from './words.ts';

export interface KindTally {
  readonly attempts: number;
  readonly failed: number;
}
export type KindTallies = Readonly<Partial<Record<ProbeKind, KindTally>>>;

export interface FlipTally extends KindTally {
  readonly kinds: KindTallies;
}

/**
 * Attempts since the mark from both vantages, and those that failed though their target was well before. What need not answer
 * in the new mode counts as neither.
 */
export function flipTally(look: Wishes, node: NodeInFlip): FlipTally {
  const kinds: Partial<Record<ProbeKind, KindTally>> = {};
  const add = (kind: ProbeKind, attempts: number, failed: number) => {
    const { [kind]: before = { attempts: 0, failed: 0 } } = kinds;
    kinds[kind] = { attempts: before.attempts + attempts, failed: before.failed + failed };
  };
  for (const vantage of VANTAGES) {
    const tally = node.view.rounds[vantage];
    for (const kind of PROBE_KINDS) {
      const attempts = tally?.kinds[kind];
      if (attempts !== undefined) add(kind, attempts, 0);
    }
    for (const [id, seen] of tally?.bad ?? []) {
      const { total } = seen;
      if (total === 0 || wasBad(node.baseline.rounds[vantage], id)) continue;
      if (isReopened(id, seen) || isMeant(look, node, vantage, id)) add(kindOfTarget(id), -total, 0);
      else add(kindOfTarget(id), 0, total);
    }
  }
  return { ...sumOf(kinds), kinds };
}

function isMeant(look: Wishes, node: NodeInFlip, vantage: Vantage, id: string): boolean {
  return byDesign(look, node, vantage, id) !== undefined;
}

/** A target that failed in the time before the flip. */
export function wasBad(baseline: ProbeTally | undefined, id: string): boolean {
  return (baseline?.bad.get(id)?.total ?? 0) > 0;
}

/** Both added up, kind by kind. */
export function addKinds(a: KindTallies, b: KindTallies): KindTallies {
  const sums: Partial<Record<ProbeKind, KindTally>> = { ...a };
  for (const kind of PROBE_KINDS) {
    const { [kind]: more } = b;
    const { [kind]: before } = a;
    if (more) sums[kind] = before ? sumOf({ a: before, b: more }) : more;
  }
  return sums;
}

function sumOf(tallies: Readonly<Record<string, KindTally | undefined>>): KindTally {
  const all = Object.values(tallies).filter(t => t !== undefined);
  const sum = (field: keyof KindTally) => all.reduce((total, tally) => total + tally[field], 0);
  return { attempts: sum('attempts'), failed: sum('failed') };
}

/** `0 of 2,417 connections failed: 2,100 ClusterIP TCP, 317 NodePort`; of a kind that failed, `3 of 317 NodePort`. */
export function tallyText({ attempts, failed }: KindTally, kinds: KindTallies): string {
  const parts = PROBE_KINDS.flatMap(kind => {
    const { [kind]: tally } = kinds;
    if (!tally) return [];
    const share = tally.failed > 0 ? `${number(tally.failed)} of ` : '';
    return [`${share}${number(tally.attempts)} ${KIND_LABELS[kind]}`];
  });
  const said = parts.length > 0 ? `: ${parts.join(', ')}` : '';
  return `${number(failed)} of ${count(attempts, 'connection')} failed${said}`;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
