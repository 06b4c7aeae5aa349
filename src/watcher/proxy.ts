// Looks at one kube-proxy where it answers.
import type { NodeIo } from '../core/node-io.ts';
import type { ProxySample } from '../core/observation.ts';
import type { HostPort, ProxyAddresses } from '../core/proxy-address.ts';
import { type ProxyMetrics, proxySampleFrom } from './metrics.ts';

const TIMEOUT_MS = 3000;

/** Text of /proxyMode; undefined when nothing answers. */
export async function proxyMode(io: NodeIo, { metrics }: ProxyAddresses): Promise<string | undefined> {
  return (await get(io, metrics, '/proxyMode')).body?.trim();
}

/** The last known length of a full sync, by looking at its histogram again and again. */
export class SyncSeconds {
  private before: ProxyMetrics['syncs'] = {};
  private start: number | null = null;
  private readonly last = new Map<string, number>();

  /** Seconds, both families in sum; null before the first sync. */
  next({ syncs, processStart }: Pick<ProxyMetrics, 'syncs' | 'processStart'>): number | null {
    if (processStart !== this.start) {
      this.before = {};
      this.last.clear();
    }
    for (const [family, { count, seconds }] of Object.entries(syncs)) {
      const { count: known = 0, seconds: knownSeconds = 0 } = this.before[family] ?? {};
      if (count > known) this.last.set(family, (seconds - knownSeconds) / (count - known));
    }
    this.before = syncs;
    this.start = processStart;
    return this.last.size === 0 ? null : [...this.last.values()].reduce((a, b) => a + b);
  }
}

export type ProxyState = Omit<ProxySample, 't' | 'kind' | 'slot' | 'syncSeconds'> & { syncs: ProxyMetrics['syncs'] };

/** `troubles` names what answered without making sense; that nothing answers at all is a state, not a trouble. */
export async function lookAtProxy(
  io: NodeIo,
  at: ProxyAddresses,
): Promise<{ state: ProxyState; troubles: [string, string][] }> {
  const [mode, metrics, healthz] = await Promise.all([
    get(io, at.metrics, '/proxyMode'),
    get(io, at.metrics, '/metrics'),
    get(io, at.healthz, '/healthz'),
  ]);
  const up = [mode, metrics, healthz].some(answer => answer.status !== null);
  const troubles: [string, string][] = [];
  if (up && mode.error !== undefined) troubles.push(['/proxyMode', mode.error]);
  if (up && metrics.error !== undefined) troubles.push(['/metrics', metrics.error]);
  let parsed: ProxyMetrics | undefined;
  if (metrics.body !== undefined) {
    try {
      parsed = proxySampleFrom(metrics.body);
    } catch (error) {
      troubles.push(['/metrics', error instanceof Error ? error.message : String(error)]);
    }
  }
  return {
    troubles,
    state: {
      up,
      mode: mode.body?.trim() ?? null,
      processStart: parsed?.processStart ?? null,
      families: parsed?.families ?? {},
      failures: parsed?.failures ?? null,
      partialFailures: parsed?.partialFailures ?? null,
      healthz: healthz.status,
      syncs: parsed?.syncs ?? {},
    },
  };
}

interface Answer {
  /** Null when nothing answered. */
  status: number | null;
  /** Of a 200 only. */
  body?: string;
  error?: string;
}

async function get(io: NodeIo, at: HostPort, path: string): Promise<Answer> {
  try {
    const { status, body } = await io.httpGet(at, path, TIMEOUT_MS);
    return status === 200 ? { status, body } : { status, error: `HTTP status ${status}` };
  } catch (error) {
    return { status: null, error: error instanceof Error ? error.message : String(error) };
  }
}
