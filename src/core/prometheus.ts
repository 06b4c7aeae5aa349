// Answers of Prometheus' HTTP API, /api/v1/query: https://prometheus.io/docs/prometheus/latest/querying/api/
import { z } from 'zod';
import type { OutsideAnswer } from './outside.ts';

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

const Vector = z.array(z.object({ value: sample }));

/** The address of a query at the server's. */
export function queryUrl(server: string, query: string): string {
  return `${server.replace(/\/+$/, '')}/api/v1/query?query=${encodeURIComponent(query)}`;
}

/** The values of an instant query, at least one and all of them numbers. Throws an Error that says why there are none. */
export function instantValues({ status, body }: OutsideAnswer): number[] {
  const answer = Answer.safeParse(parsed(body));
  if (!answer.success) throw new Error(`HTTP ${status}, and the answer is not one of Prometheus' API`);
  if (answer.data.status === 'error') throw new Error(`${answer.data.errorType}: ${answer.data.error}`);
  if (status !== 200) throw new Error(`HTTP ${status}`);
  const { data, warnings = [] } = answer.data;
  if (warnings.length > 0) throw new Error(`the answer may lack something: ${warnings.join('; ')}`);
  const values = samplesOf(data).map(([, text]) => numberOf(text));
  if (values.length === 0) throw new Error('the query gives no value');
  if (values.some(Number.isNaN)) throw new Error('the query gives NaN, as a division by zero does');
  return values;
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function samplesOf({ resultType, result }: { resultType: string; result?: unknown }): z.infer<typeof sample>[] {
  const scalar = resultType === 'scalar' ? sample.safeParse(result) : undefined;
  if (scalar?.success) return [scalar.data];
  const vector = resultType === 'vector' ? Vector.safeParse(result) : undefined;
  if (vector?.success) return vector.data.map(({ value }) => value);
  throw new Error(`the query gives a ${resultType} where a scalar or an instant vector is needed`);
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return text === '' ? Number.NaN : Number(text);
}
