import { timeOf } from '../core/conntrack.ts';
import { nodeInFlip } from '../core/evidence.ts';
import { defineGate, type Finding, type Look, type NodeInFlip } from '../core/gate.ts';
import { nodeTime } from '../core/node-view.ts';
import type { ConntrackSample } from '../core/observation.ts';
import { askServer, instantSeries, type Series } from '../core/prometheus.ts';

/** The label that tells the figures of one answer apart. */
const FIGURE = 'figure';
/**
 * How well the time of a scrape is known on the node's clock, seconds: an answer may take 10 s to come, and the exporter is
 * read up to 10 s after the time that the scrape bears (the defaults of both).
 */
const SLACK = 20;
/**
 * How far a count may be from all that the watcher read about that time. What a second's sample does not see is small: a
 * connection that has ended stays in the table for 10 s at least. Tables with less than SMALL differ by chance.
 */
const SPREAD = 0.25;
const SMALL = 100;
/** Nobody scrapes less often than every two minutes, for after five Prometheus forgets a series; and one scrape may fail. */
const LATE = 180;

/** What one exporter tells; a figure that it lacks is absent. */
export interface Told {
  /** Its label `instance`; empty when it has none. */
  readonly instance: string;
  /** How many connections, as of so many seconds before the query was evaluated. */
  readonly count?: { readonly entries: number; readonly age: number };
  readonly limit?: number;
}

type Seen = { readonly told: readonly Told[] } | { readonly trouble: string };

/** Alerts on a full connection table rest on what node_exporter tells of it: whether that is so is seen before they are needed. */
export const nodeExporter = defineGate<Seen>({
  id: 'node-exporter',
  title: "What node_exporter tells of the connection table is the kernel's",
  hint: "node_exporter must run in the host's network namespace, and its series keep the instance that was scraped",
  moments: ['before-node', 'after-node'],
  standsFor: 10,
  wanted: playbook => playbook.gates.prometheus !== undefined,
  async observe(look) {
    const query = queryFor(nodeInFlip(look).name, look);
    try {
      return { told: toldBy(instantSeries(await askServer(look.outside, look.playbook.gates.prometheus, query))) };
    } catch (error) {
      return { trouble: error instanceof Error ? error.message : String(error) };
    }
  },
  judge(seen, look) {
    const without = (summary: string) => ({ findings: [], summary });
    // No reason to pause: nothing of a flip rests on this comparison. Where the server's word is needed the operator's own
    // queries are inconclusive; whoever made those lenient, or asks after batches only, is not stopped by one never asked for.
    if ('trouble' in seen) return without(`not compared, Prometheus gives no answer: ${seen.trouble}`);
    if (seen.told.length === 0)
      return without('not compared, node_exporter is not there: Prometheus has no series of it for this node');
    const node = nodeInFlip(look);
    const samples = node.view.conntrack.filter(sample => sample.max > 0);
    if (samples.length === 0) return without('not compared, the connection table has not been read');
    const compared = seen.told.map(told => compare(told, samples, node));
    // One that is right is enough for an alert. The others may be of a node of that name in another cluster.
    const [right] = compared.filter(c => c.wrong.length === 0).sort((a, b) => b.same.length - a.same.length);
    return right ? without(agreement(right)) : { findings: compared.map(c => finding(c, node)), summary: '' };
  },
});

/** PromQL for all that exporters of this node tell, by whichever of their labels names it. */
export function queryFor(name: string, { inventory: { nodes } }: Pick<Look, 'inventory'>): string {
  const others = nodes.filter(other => other.name !== name).map(other => hostPart(other.name));
  // Hosts call themselves by their short name or by the whole one, and nodes may be named either way.
  const host = hostPart(name);
  const names = others.includes(host) || /^[\d.]+$/.test(name) ? literal(name) : `${literal(host)}(\\.[^:]*)?`;
  const facts = nodes.find(node => node.name === name);
  const addresses = [...(facts?.internalIPs ?? []), ...(facts?.externalIPs ?? [])].map(literal);
  const instance = `(?i:\\[?(${[names, ...addresses].join('|')})\\]?(:[0-9]+)?)`;
  const figure = (id: string, series: (labels: string) => string) => {
    const byInstance = series(`{instance=~${JSON.stringify(instance)}}`);
    const byNode = series(`{node=${JSON.stringify(name)}}`);
    const byUname = `${series('')} and on (instance, job) node_uname_info{nodename=~${JSON.stringify(`(?i:${names})`)}}`;
    return `label_replace(${byInstance} or ${byNode} or ${byUname}, "${FIGURE}", "${id}", "", "")`;
  };
  return [
    figure('entries', labels => `node_nf_conntrack_entries${labels}`),
    figure('limit', labels => `node_nf_conntrack_entries_limit${labels}`),
    figure('scraped', labels => `timestamp(node_nf_conntrack_entries${labels})`),
  ].join(' or ');
}

function hostPart(name: string): string {
  return name.split('.')[0] ?? name;
}

/** A text as a regular expression of Go's, and of nothing else. */
function literal(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/** The figures of an answer by the exporter that they are of. */
function toldBy(series: readonly Series[]): Told[] {
  const exporters = Map.groupBy(series, ({ labels: { __name__, [FIGURE]: _, ...own } }) =>
    JSON.stringify(Object.entries(own).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
  const told = [...exporters.values()].map((figures): Told => {
    const of = (id: string) => figures.find(({ labels, value }) => labels[FIGURE] === id && Number.isFinite(value));
    const [entries, limit, scraped] = [of('entries'), of('limit'), of('scraped')];
    return {
      instance: figures[0]?.labels.instance ?? '',
      ...(entries && scraped && { count: { entries: entries.value, age: scraped.at - scraped.value } }),
      ...(limit && { limit: limit.value }),
    };
  });
  return told.filter(({ count, limit }) => count !== undefined || limit !== undefined);
}

interface Comparison {
  readonly instance: string;
  /** What agrees, what does not, and what could not be compared, in words. */
  readonly same: readonly string[];
  readonly wrong: readonly string[];
  readonly open: readonly string[];
}

function compare({ instance, count, limit }: Told, samples: readonly ConntrackSample[], node: NodeInFlip): Comparison {
  const then = count && nodeTime(node.view, node.now) / 1000 - count.age;
  const near = then === undefined ? samples : around(samples, then);
  const same: string[] = [];
  const wrong: string[] = [];
  const open: string[] = [];
  const limits = near.map(sample => sample.max);
  if (limit === undefined) open.push('there is no node_nf_conntrack_entries_limit');
  else if (limits.includes(limit)) same.push(`limit ${limit}`);
  else wrong.push(`a limit of ${limit} connections where the kernel's is ${span(limits)}`);
  const counts = near.map(sample => sample.count);
  if (!count || then === undefined) open.push('there is no node_nf_conntrack_entries');
  else if (!covers(samples, then)) open.push('the count was scraped while the watcher did not look');
  else if (isNear(count.entries, counts)) same.push(`count ${count.entries}`);
  else wrong.push(`${count.entries} connections where the kernel had ${span(counts)}`);
  if (count && count.age > LATE) wrong.push(`what was so ${Math.round(count.age)} s ago`);
  return { instance, same, wrong, open };
}

/** The samples within SLACK of a time of the node's clock, Unix seconds, with the last one before and the first one after. */
function around(samples: readonly ConntrackSample[], then: number): readonly ConntrackSample[] {
  const first = samples.findLastIndex(sample => timeOf(sample) <= then - SLACK);
  const last = samples.findIndex(sample => timeOf(sample) >= then + SLACK);
  return samples.slice(Math.max(0, first), last === -1 ? undefined : last + 1);
}

function covers(samples: readonly ConntrackSample[], then: number): boolean {
  const [first, last] = [samples[0], samples.at(-1)];
  return first !== undefined && last !== undefined && timeOf(first) <= then + SLACK && timeOf(last) >= then - SLACK;
}

function isNear(entries: number, counts: readonly number[]): boolean {
  const low = Math.min(...counts) * (1 - SPREAD) - SMALL;
  return entries >= low && entries <= Math.max(...counts) * (1 + SPREAD) + SMALL;
}

function span(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? String(low) : `${low} to ${high}`;
}

function agreement({ same, open }: Comparison): string {
  const said = same.length === 0 ? [] : [`${same.join(' and ')} as in the kernel`];
  return [...said, ...(open.length === 0 ? [] : [`not compared: ${open.join(', ')}`])].join('; ');
}

function finding({ instance, wrong }: Comparison, node: NodeInFlip): Finding {
  const who = instance === '' ? 'node_exporter' : `node_exporter at ${instance}`;
  const why = 'an exporter in another network namespace, a relabelled instance, or a stale scrape';
  const message = `${who} tells of ${wrong.join(' and of ')}: alerts on these series do not tell of this table (${why})`;
  return { level: 'warning', subject: `node ${node.name}`, message };
}
