// Answers of Prometheus' HTTP API, /api/v1/query: https://prometheus.io/docs/prometheus/latest/querying/api/
import { z } from 'zod';
import type { Outside, OutsideAnswer } from './outside.ts';
import type { PrometheusSettings } from './playbook-outside.ts';

const sample = z.tuple([z.number(), z.string()]);

const Answer = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('success'),
    data: z.object({ resultType: z.string(), result: z.unknown() }),
    /** What the answer lacks, such as a store that Thanos could not ask. */
    warnings: z.array(z.string()).optional(),
  }),
  z.object({ status: z.literal('error'), errorType: z.string(), error: z.string() }),
]);

const Vector = z.array(z.object({ metric: z.record(z.string(), z.string()).default({}), value: sample }));

/** One series of an instant vector; a scalar is one without labels. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** When the query was evaluated, Unix seconds of the server's clock. */
  readonly at: number;
  readonly value: number;
}

/** What the server says to an instant query. Rejects when no answer came. */
export async function askServer(
  outside: Outside | undefined,
  settings: PrometheusSettings | undefined,
  query: string,
): Promise<OutsideAnswer> {
  if (!settings || !outside) throw new Error('nobody is there to ask');
  const { url: server, tokenEnv, tokenFile, caFile, timeout: seconds } = settings;
  const url = `${server.replace(/\/+$/, '')}/api/v1/query?query=${encodeURIComponent(query)}`;
  return outside.ask({ method: 'GET', url, tokenEnv, tokenFile, caFile, seconds });
}

/** The values of an instant query, at least one and all of them numbers. Throws an Error that says why there are none. */
export function instantValues(answer: OutsideAnswer): number[] {
  const values = seriesOf(dataOf(answer)).map(({ value }) => value);
  if (values.length === 0) throw new Error('the query gives no value');
  if (values.some(Number.isNaN)) throw new Error('the query gives NaN, as a division by zero does');
  return values;
}

/** The series of an instant query, perhaps none. Throws an Error that says why that is not known. */
export function instantSeries(answer: OutsideAnswer): Series[] {
  return seriesOf(dataOf(answer));
}

function dataOf({ status, body }: OutsideAnswer): { resultType: string; result?: unknown } {
  const answer = Answer.safeParse(parsed(body));
  if (!answer.success) throw new Error(`HTTP ${status}, and the answer is not one of Prometheus' API`);
  if (answer.data.status === 'error') throw new Error(`${answer.data.errorType}: ${answer.data.error}`);
  if (status !== 200) throw new Error(`HTTP ${status}`);
  const { data, warnings = [] } = answer.data;
  if (warnings.length > 0) throw new Error(`the answer may lack something: ${warnings.join('; ')}`);
  return data;
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function seriesOf({ resultType, result }: { resultType: string; result?: unknown }): Series[] {
  const scalar = resultType === 'scalar' ? sample.safeParse(result) : undefined;
  if (scalar?.success) return [seriesFrom({}, scalar.data)];
  const vector = resultType === 'vector' ? Vector.safeParse(result) : undefined;
  if (vector?.success) return vector.data.map(({ metric, value }) => seriesFrom(metric, value));
  throw new Error(`the query gives a ${resultType} where a scalar or an instant vector is needed`);
}

function seriesFrom(labels: Series['labels'], [at, text]: z.infer<typeof sample>): Series {
  return { labels, at, value: numberOf(text) };
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return text === '' ? Number.NaN : Number(text);
}
