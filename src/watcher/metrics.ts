// The Prometheus text format, and what kube-proxy's metrics say. Source: kube-proxy 1.36 `pkg/proxy/metrics`.
import type { ProxySample } from '../core/observation.ts';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?\s*(\S+)(?:\s+-?\d+)?$/;
const LABEL = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;

/** Samples in their order; `wanted` spares reading the rest. Throws on a line that is neither sample nor comment. */
export function parseMetrics(text: string, wanted: (name: string) => boolean = () => true): Sample[] {
  const samples: Sample[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const first = /^[\w:]*/.exec(line)?.[0];
    if (first && !wanted(first)) continue;
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`not a metric: ${line.slice(0, 100)}`);
    samples.push({ name, labels: parseLabels(labels ?? '', line), value: parseValue(value, line) });
  }
  return samples;
}

function parseLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let at = 0; at < text.trimEnd().length; at = LABEL.lastIndex) {
    LABEL.lastIndex = at;
    const match = LABEL.exec(text);
    if (!match?.[1]) throw new Error(`not a metric: ${line.slice(0, 100)}`);
    labels[match[1]] = (match[2] ?? '').replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
  }
  return labels;
}

function parseValue(text: string, line: string): number {
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (Number.isNaN(value) && !/^nan$/i.test(text)) throw new Error(`not a metric: ${line.slice(0, 100)}`);
  return value;
}

const PREFIX = 'kubeproxy_sync_proxy_rules_';
// Not `nftables_cleanup_failures_total`: chains that nothing leads to could not be removed, and all rules are written anew.
const FAILURES = ['iptables_restore_failures_total', 'nftables_sync_failures_total'].map(name => PREFIX + name);
/** Each of them is among the restore failures, too. */
const PARTIAL_FAILURES = `${PREFIX}iptables_partial_restore_failures_total`;
// ipvs mode has no histogram of full syncs: all of its syncs are full.
const FULL_SYNC = 'kubeproxy_sync_full_proxy_rules_duration_seconds';
const ANY_SYNC = 'kubeproxy_sync_proxy_rules_duration_seconds';

export interface ProxyMetrics extends Pick<ProxySample, 'processStart' | 'families'> {
  /** Without the partial ones. */
  failures: number;
  partialFailures: number;
  /** Full syncs since the process began, by family: how many, and how many seconds in all. */
  syncs: Record<string, { count: number; seconds: number }>;
}

/** Throws when the text is not in the Prometheus format. Before Kubernetes 1.33 there is one family, `any`. */
export function proxySampleFrom(metricsText: string): ProxyMetrics {
  const wanted = (name: string) =>
    name.startsWith(PREFIX) || name.startsWith(FULL_SYNC) || name === 'process_start_time_seconds';
  const samples = parseMetrics(metricsText, wanted);
  const result: ProxyMetrics = { processStart: null, families: {}, failures: 0, partialFailures: 0, syncs: {} };
  const full = samples.some(({ name, value }) => name === `${FULL_SYNC}_count` && value > 0);
  const histogram = full ? FULL_SYNC : ANY_SYNC;
  for (const { name, labels, value } of samples) {
    const family = labels.ip_family || 'any';
    if (name === 'process_start_time_seconds') result.processStart = value;
    else if (FAILURES.includes(name)) result.failures += value;
    else if (name === PARTIAL_FAILURES) result.partialFailures += value;
    else if (name === `${PREFIX}last_timestamp_seconds`) familyOf(result, family).lastSync = value || null;
    else if (name === `${PREFIX}last_queued_timestamp_seconds`) familyOf(result, family).lastQueued = value || null;
    else if (name === `${histogram}_count`) syncsOf(result, family).count = value;
    else if (name === `${histogram}_sum`) syncsOf(result, family).seconds = value;
  }
  result.failures -= result.partialFailures;
  return result;
}

function familyOf(metrics: ProxyMetrics, family: string) {
  metrics.families[family] ??= { lastSync: null, lastQueued: null };
  return metrics.families[family];
}

function syncsOf(metrics: ProxyMetrics, family: string) {
  metrics.syncs[family] ??= { count: 0, seconds: 0 };
  return metrics.syncs[family];
}
