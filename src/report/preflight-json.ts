import type { Finding, Judgement, Moment } from '../core/gate.ts';
import { verdictOf } from '../core/gate.ts';
import type { ClusterIdentity } from '../core/inventory.ts';
import type { Mode } from '../core/mode.ts';
import { escapeJson } from './escape.ts';

export const PREFLIGHT_VERSION = 1;

/** What a preflight found, as data. Readers ignore fields that they do not know; a higher version is another format. */
export interface PreflightReport {
  readonly kind: 'Preflight';
  readonly version: typeof PREFLIGHT_VERSION;
  /** ISO 8601, UTC. */
  readonly madeAt: string;
  readonly cluster: ClusterIdentity;
  readonly to: Mode;
  readonly moment: Moment;
  readonly verdict: Judgement['verdict'];
  /** Findings by level, and gates that found nothing at all. */
  readonly counts: Readonly<Record<Finding['level'] | 'passed', number>>;
  readonly gates: readonly Judgement[];
}

interface PreflightFacts {
  readonly madeAt: string;
  readonly cluster: ClusterIdentity;
  readonly to: Mode;
  readonly judgements: readonly Judgement[];
}

export function preflightReport({ madeAt, cluster, to, judgements }: PreflightFacts): PreflightReport {
  const findings = judgements.flatMap(j => j.findings);
  const of = (level: Finding['level']) => findings.filter(f => f.level === level).length;
  return {
    kind: 'Preflight',
    version: PREFLIGHT_VERSION,
    madeAt,
    cluster,
    to,
    moment: 'preflight',
    verdict: verdictOf(findings),
    counts: {
      error: of('error'),
      inconclusive: of('inconclusive'),
      warning: of('warning'),
      passed: judgements.filter(j => j.findings.length === 0).length,
    },
    gates: judgements,
  };
}

/** One JSON document. */
export function preflightJson(report: PreflightReport): string {
  return `${escapeJson(JSON.stringify(report, null, 2))}\n`;
}
