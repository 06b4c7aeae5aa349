// What the connection table of a node tells over time, and how large kube-proxy makes it.
import { atLeast } from './mode.ts';
import type { ConntrackSample } from './observation.ts';
import { type KubeProxyConfiguration, sectionOf } from './proxy-config.ts';

/** Samples kept of a node; at one a second that is two minutes in full, and any longer time more coarsely. */
const MOST_SAMPLES = 120;
/** Growth that was seen for less is no trend: probes themselves fill the table at first. */
const FORECAST_SAMPLES = 10;
export const FORECAST_SECONDS = 20;

/** kube-proxy's own defaults. */
const DEFAULTS = { maxPerCore: 32_768, min: 131_072 } as const;
/** Cores ask for no more since 1.36; where they ask for more, `min` does not count: kubernetes pull request 137002. */
const MOST_BY_CORES = { size: 1_048_576, since: [1, 36] } as const;
/** Taken for kube-proxy's where nobody knows it. */
const USUAL_VERSION: readonly number[] = [1, 36];

/** The history with one more sample; when it is full every other sample goes, so that it always reaches back to the first. */
export function addSample(history: readonly ConntrackSample[], sample: ConntrackSample): ConntrackSample[] {
  const kept = history.length < MOST_SAMPLES ? history : history.filter((_, index) => index % 2 === 0);
  return [...kept, sample];
}

export type Forecast =
  /** Too little was seen to say anything. */
  | { readonly kind: 'none'; readonly samples: number; readonly seconds: number }
  | { readonly kind: 'level' }
  /** `limit` connections in so many seconds; `rate` in connections a second. */
  | { readonly kind: 'rises'; readonly seconds: number; readonly rate: number };

/**
 * When the table reaches `limit` connections if it goes on as in `samples`, oldest first. The slower one of the whole growth and
 * of its later half counts, so that what levels off is not taken for a rise.
 */
export function forecast(samples: readonly ConntrackSample[], limit: number): Forecast {
  const [first, last] = [samples[0], samples.at(-1)];
  const seconds = first && last ? timeOf(last) - timeOf(first) : 0;
  if (!first || !last || samples.length < FORECAST_SAMPLES || seconds < FORECAST_SECONDS)
    return { kind: 'none', samples: samples.length, seconds };
  const rate = Math.min(slope(samples), slope(samples.slice(Math.floor(samples.length / 2))));
  if (rate <= 0) return { kind: 'level' };
  return { kind: 'rises', seconds: Math.max(0, limit - last.count) / rate, rate };
}

/** Unix seconds of the node's clock. */
export function timeOf(sample: { t: string }): number {
  return Date.parse(sample.t) / 1000;
}

/** Connections a second, by least squares. */
function slope(samples: readonly ConntrackSample[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const times = samples.map(timeOf);
  const counts = samples.map(s => s.count);
  const [time, count] = [mean(times), mean(counts)];
  const over = times.reduce((sum, t, i) => sum + (t - time) * ((counts[i] ?? 0) - count), 0);
  const under = times.reduce((sum, t) => sum + (t - time) ** 2, 0);
  return under === 0 ? 0 : over / under;
}

/** What the table lost between two samples; undefined when a counter was not read, or began anew (a reboot). */
export interface Losses {
  /** Packets dropped because the table was full. The kernel counts a failed insertion as a drop as well. */
  readonly room: number;
  /** Connections evicted to make room. */
  readonly evicted: number;
  /** Connections that could not be inserted: two packets of one flow raced, as DNS questions sent in pairs do. */
  readonly notInserted: number;
}

export function lossesBetween(before: ConntrackSample, now: ConntrackSample): Losses | undefined {
  const drop = difference(before.drop, now.drop);
  const evicted = difference(before.earlyDrop, now.earlyDrop);
  const notInserted = difference(before.insertFailed, now.insertFailed);
  if (drop === undefined || evicted === undefined || notInserted === undefined) return undefined;
  return { room: Math.max(0, drop - notInserted), evicted, notInserted };
}

function difference(before: number | null, now: number | null): number | undefined {
  return before === null || now === null || now < before ? undefined : now - before;
}

/**
 * The size that a kube-proxy of this version sets at its start, by the parsed KubeProxyConfiguration: the larger of
 * conntrack.maxPerCore x cores, which is limited, and conntrack.min; undefined where it leaves the size alone (maxPerCore 0) or
 * the cores are not known. Source: pkg/proxy/conntrack/sysctls.go `getConntrackMax`.
 */
export function configuredSize(
  config: KubeProxyConfiguration,
  cores: number | null,
  version = USUAL_VERSION,
): number | undefined {
  const section = sectionOf(config, 'conntrack');
  const option = (name: keyof typeof DEFAULTS): number => {
    const { [name]: value } = section;
    return typeof value === 'number' ? value : DEFAULTS[name];
  };
  const maxPerCore = option('maxPerCore');
  if (maxPerCore === 0 || cores === null) return undefined;
  const byCores = maxPerCore * cores;
  const { size: most, since } = MOST_BY_CORES;
  return byCores > most && atLeast(version, since) ? most : Math.max(byCores, option('min'));
}

/**
 * Whether a start of kube-proxy makes a larger table smaller. Not from 1.23 to 1.28, nor since 1.38 (kubernetes pull requests
 * 103174, 120448, 142035). Late patches of 1.36 and 1.37 may have the last one: they are taken for the others.
 */
export function lowersSize(version = USUAL_VERSION): boolean {
  const keeps = atLeast(version, [1, 23]) && !atLeast(version, [1, 29]);
  return !keeps && !atLeast(version, [1, 38]);
}

/** How to make room: a table that `connections` fill to half, at least `least`, on a node with so many cores. */
export function advice(
  connections: number,
  cores: number | null,
  least: number = DEFAULTS.min,
  version = USUAL_VERSION,
): string {
  const size = Math.ceil(Math.max(connections * 2, least, DEFAULTS.min) / 65_536) * 65_536;
  const now = `sysctl -w net.netfilter.nf_conntrack_max=${size} net.netfilter.nf_conntrack_buckets=${size / 4}`;
  const perCore =
    cores === null ? '' : ` or conntrack.maxPerCore: ${Math.ceil(size / cores)} (the node has ${cores} cores)`;
  const limited = size > MOST_BY_CORES.size && atLeast(version, MOST_BY_CORES.since);
  const option = limited
    ? 'conntrack.maxPerCore: 0, which leaves the size to the node'
    : `conntrack.min: ${size}${perCore}`;
  return `on the node: ${now}; in kube-proxy's configuration, so that its next start keeps it: ${option}`;
}
