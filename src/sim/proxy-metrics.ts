// kube-proxy's /metrics, with the names and labels of 1.36.
import type { Mode } from '../core/mode.ts';
import { GIT_VERSION } from './discovery.ts';

export const FAMILIES = ['IPv4', 'IPv6'] as const;
export type Family = (typeof FAMILIES)[number];

export interface SyncStats {
  /** Unix seconds; undefined before the first success. */
  lastSync: number | undefined;
  lastQueued: number | undefined;
  failures: number;
  syncs: number;
  /** All syncs together. */
  seconds: number;
}

type Sample = readonly [labels: string, value: number];

/** A metric without samples is absent, as in the real one. */
export function renderMetrics(
  mode: Mode,
  startedAt: number,
  stats: Record<Family, SyncStats>,
  pending: number,
): string {
  const lines: string[] = [];
  const add = (name: string, type: string, help: string, samples: readonly Sample[]) => {
    if (samples.length === 0) return;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`${name}${labels} ${goFloat(value)}`);
  };
  const byFamily = (read: (s: SyncStats) => number | undefined): Sample[] =>
    FAMILIES.flatMap(family => {
      const value = read(stats[family]);
      return value === undefined ? [] : [[`{ip_family="${family}"}`, value] as const];
    });
  const prefix = 'kubeproxy_sync_proxy_rules';
  add('kubernetes_build_info', 'gauge', "[ALPHA] A metric with a constant '1' value", [
    [`{git_version="${GIT_VERSION}",major="1",minor="36"}`, 1],
  ]);
  add('process_start_time_seconds', 'gauge', 'Start time of the process since unix epoch in seconds.', [
    ['', startedAt],
  ]);
  add(
    `${prefix}_last_timestamp_seconds`,
    'gauge',
    '[ALPHA] The last time proxy rules were successfully synced',
    byFamily(s => s.lastSync),
  );
  add(
    `${prefix}_last_queued_timestamp_seconds`,
    'gauge',
    '[ALPHA] The last time a sync of proxy rules was queued',
    byFamily(s => s.lastQueued),
  );
  add(`${prefix}_endpoint_changes_pending`, 'gauge', '[ALPHA] Pending proxy rules Endpoint changes', [['', pending]]);
  add(`${prefix}_service_changes_pending`, 'gauge', '[ALPHA] Pending proxy rules Service changes', [['', 0]]);
  lines.push(...histogram(`${prefix}_duration_seconds`, stats));
  if (mode !== 'ipvs') lines.push(...histogram('kubeproxy_sync_full_proxy_rules_duration_seconds', stats));
  // The series appear at the first failure.
  const failures = byFamily(s => (s.failures > 0 ? s.failures : undefined));
  const counter = mode === 'nftables' ? 'nftables_sync_failures_total' : 'iptables_restore_failures_total';
  add(`${prefix}_${counter}`, 'counter', '[ALPHA] Cumulative proxy sync failures', failures);
  return `${lines.join('\n')}\n`;
}

const BUCKETS = [0.001, 0.01, 0.1, 1, 10];

function histogram(name: string, stats: Record<Family, SyncStats>): string[] {
  const lines = [`# HELP ${name} [ALPHA] SyncProxyRules latency in seconds`, `# TYPE ${name} histogram`];
  for (const family of FAMILIES) {
    const { syncs, seconds } = stats[family];
    if (syncs === 0) continue;
    const mean = seconds / syncs;
    for (const le of BUCKETS) lines.push(`${name}_bucket{ip_family="${family}",le="${le}"} ${mean <= le ? syncs : 0}`);
    lines.push(`${name}_bucket{ip_family="${family}",le="+Inf"} ${syncs}`);
    lines.push(
      `${name}_sum{ip_family="${family}"} ${goFloat(seconds)}`,
      `${name}_count{ip_family="${family}"} ${syncs}`,
    );
  }
  return lines;
}

/** As Go's strconv writes the shortest form: an exponent from 1e+06 on. */
function goFloat(value: number): string {
  const size = Math.abs(value);
  return value !== 0 && (size >= 1e6 || size < 1e-4) ? exponent(value) : String(value);
}

function exponent(value: number): string {
  const [mantissa = '', power = ''] = value.toExponential().split('e');
  return `${mantissa}e${power[0]}${power.slice(1).padStart(2, '0')}`;
}
