import { judgedMode } from '../core/evidence.ts';
import { defineGate, type Finding, type Look, type Moment } from '../core/gate.ts';
import type { Mode } from '../core/mode.ts';
import { asksForNode, type PrometheusQuery, type PrometheusSettings } from '../core/playbook-outside.ts';
import { askServer, instantValues } from '../core/prometheus.ts';
import { count } from '../core/words.ts';

/** So many nodes that have not flipped are asked for comparison. */
const MOST_OTHERS = 5;

/** The lowest and the highest value of a query, or why there is none. */
type Value = { readonly low: number; readonly high: number } | { readonly trouble: string };

interface Answer {
  readonly value: Value;
  /** Of nodes that have not flipped; absent when they are not compared with. */
  readonly others?: readonly Value[];
}

/** By the name of the query. */
type Seen = ReadonlyMap<string, Answer>;

export const prometheus = defineGate<Seen>({
  id: 'prometheus',
  title: 'Queries of Prometheus stay within their limits',
  hint: 'gates.prometheus in the playbook holds the queries; the server shows them over time',
  moments: ['before-node', 'prove', 'after-node', 'after-batch'],
  standsFor: 10,
  wanted: playbook => playbook.gates.prometheus !== undefined,
  compares: true,
  async observe(look) {
    const settings = look.playbook.gates.prometheus;
    const queries = settings?.queries.filter(query => isAsked(query, look.moment)) ?? [];
    const answers = queries.map(async query => [query.name, await answerTo(look, query, settings)] as const);
    return new Map(await Promise.all(answers));
  },
  judge(seen, look, before) {
    const queries = look.playbook.gates.prometheus?.queries.filter(query => isAsked(query, look.moment)) ?? [];
    const findings = queries.flatMap(query => {
      const answer = seen.get(query.name);
      return answer ? judgeQuery(query, { answer, before: before?.get(query.name), look }) : [];
    });
    const summary = queries.length === 0 ? 'no query' : `${count(queries.length, 'query', 'queries')} within limits`;
    return { findings, summary };
  },
});

function isAsked({ query, moments }: PrometheusQuery, moment: Moment): boolean {
  if (moment === 'after-batch' && asksForNode(query)) return false;
  return !moments || moments.some(m => m === moment);
}

/** Whether there is a before, and nodes to compare with. */
function isAfter(moment: Moment): boolean {
  return moment === 'after-node' || moment === 'after-batch';
}

async function answerTo(look: Look, query: PrometheusQuery, settings: PrometheusSettings | undefined): Promise<Answer> {
  const node = look.node?.name ?? '';
  const value = await askValue(look, settings, filled(query.query, node, look.node ? judgedMode(look) : look.to));
  if (query.maxAboveOthers === undefined || look.moment !== 'after-node') return { value };
  const from = look.node?.from;
  const names = [...look.expectedModes].flatMap(([name, mode]) => (name !== node && mode === from ? [name] : []));
  const others = names
    .slice(0, MOST_OTHERS)
    .map(name => askValue(look, settings, filled(query.query, name, from ?? look.to)));
  return { value, others: await Promise.all(others) };
}

function filled(query: string, node: string, mode: Mode): string {
  return query.replaceAll(/\$node\b/g, node).replaceAll(/\$mode\b/g, mode);
}

async function askValue(look: Look, settings: PrometheusSettings | undefined, query: string): Promise<Value> {
  try {
    const values = instantValues(await askServer(look.outside, settings, query));
    return {
      low: values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      high: values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
    };
  } catch (error) {
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
}

interface Case {
  readonly answer: Answer;
  readonly before: Answer | undefined;
  readonly look: Look;
}

function judgeQuery(query: PrometheusQuery, { answer, before, look }: Case): Finding[] {
  const subject = `query ${query.name}`;
  const { value, others } = answer;
  const said: Said[] = [];
  if ('trouble' in value) said.push(unseen(value.trouble));
  else {
    const { max, min, maxIncrease, maxAboveOthers } = query;
    if (max !== undefined && value.high > max) said.push(bad(`is ${text(value.high)}, more than ${text(max)}`));
    if (min !== undefined && value.low < min) said.push(bad(`is ${text(value.low)}, less than ${text(min)}`));
    if (maxIncrease !== undefined && isAfter(look.moment))
      said.push(...increase(query, maxIncrease, value, before?.value));
    if (maxAboveOthers !== undefined && others) said.push(...aboveOthers(query, maxAboveOthers, value, others));
  }
  return said.map(s => ({ ...s, subject }));
}

type Said = Pick<Finding, 'level' | 'message'>;
type Known = Exclude<Value, { trouble: string }>;

const bad = (message: string): Said => ({ level: 'error', message });
const unseen = (message: string): Said => ({ level: 'inconclusive', message });

function increase(query: PrometheusQuery, share: number, { high }: Known, before: Value | undefined): Said[] {
  if (!before) return [unseen('has no value of the time before')];
  if ('trouble' in before) return [unseen(`had no value before: ${before.trouble}`)];
  if (!tooMuch(query, high, before.high, share)) return [];
  return [bad(`is ${text(high)} and was ${text(before.high)} before; ${percent(share)} more may be`)];
}

function aboveOthers(query: PrometheusQuery, share: number, { high }: Known, others: readonly Value[]): Said[] {
  if (others.length === 0)
    return [{ level: 'warning', message: 'has no node left to be compared with: all have flipped' }];
  const known = others.flatMap(other => ('trouble' in other ? [] : [other.high])).sort((a, b) => a - b);
  // The upper one of two in the middle.
  const median = known[Math.floor(known.length / 2)];
  if (median === undefined) return [unseen('has no value of nodes that have not flipped')];
  if (!tooMuch(query, high, median, share)) return [];
  const nodes = count(known.length, 'node');
  return [bad(`is ${text(high)}, and ${text(median)} on ${nodes} not flipped yet; ${percent(share)} more may be`)];
}

function tooMuch({ ignoreBelow }: PrometheusQuery, value: number, other: number, share: number): boolean {
  return value > ignoreBelow && value > other + Math.abs(other) * share;
}

function text(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
