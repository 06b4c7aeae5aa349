// What a verification found, as data.
import { type Judgement, type Verdict, verdictOf } from './gate.ts';
import type { ClusterIdentity } from './inventory.ts';
import type { EffectiveMode } from './mode.ts';

export const VERIFICATION_VERSION = 1;

export interface NodeVerification {
  readonly name: string;
  readonly mode: EffectiveMode;
  readonly verdict: Verdict;
  readonly gates: readonly Judgement[];
}

/** Readers ignore fields that they do not know; a higher version is another format. */
export interface Verification {
  readonly kind: 'Verification';
  readonly version: typeof VERIFICATION_VERSION;
  /** ISO 8601, UTC. */
  readonly madeAt: string;
  /** Which of several that follow one another, from 1; absent where there is one only. */
  readonly round?: number;
  readonly cluster: ClusterIdentity;
  readonly verdict: Verdict;
  /** Services with an error, and the nodes on which they have it. */
  readonly broken: readonly { readonly service: string; readonly nodes: readonly string[] }[];
  readonly nodes: readonly NodeVerification[];
  /** Gates that look at all nodes together. */
  readonly gates: readonly Judgement[];
  /** Services that were not probed, for want of room: their rules were compared all the same. */
  readonly notProbed: readonly string[];
}

export type Verified = Pick<Verification, 'madeAt' | 'round' | 'cluster' | 'gates' | 'notProbed'> & {
  readonly nodes: readonly Omit<NodeVerification, 'verdict'>[];
};

/** Puts together what was found. Nothing looked at is nothing known. */
export function verification({ nodes, gates, ...rest }: Verified): Verification {
  const judged = nodes.map(node => ({ ...node, verdict: verdictOf(node.gates.flatMap(g => g.findings)) }));
  const all = [...nodes.flatMap(node => node.gates), ...gates];
  const verdict = nodes.length === 0 ? 'inconclusive' : verdictOf(all.flatMap(g => g.findings));
  return {
    kind: 'Verification',
    version: VERIFICATION_VERSION,
    ...rest,
    verdict,
    broken: brokenServices(nodes),
    nodes: judged,
    gates,
  };
}

function brokenServices(nodes: Verified['nodes']): Verification['broken'] {
  const broken = new Map<string, Set<string>>();
  for (const { name, gates } of nodes) {
    for (const { level, subject } of gates.flatMap(g => g.findings)) {
      if (level !== 'error' || !subject.startsWith('service ')) continue;
      const service = subject.slice('service '.length);
      broken.set(service, (broken.get(service) ?? new Set()).add(name));
    }
  }
  return [...broken]
    .map(([service, on]) => ({ service, nodes: [...on] }))
    .sort((a, b) => (a.service < b.service ? -1 : 1));
}
