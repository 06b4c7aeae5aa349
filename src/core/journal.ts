// What was intended and what came of it, in order. One JSON object a line on disk; progress and reports are readings of it.
import { z } from 'zod';
import { ClusterIdentity } from './inventory.ts';
import { ModeSchema } from './mode-schema.ts';
import { PROBE_KINDS } from './probe-kind.ts';

const JOURNAL_VERSION = 1;

const finding = z.object({
  level: z.enum(['error', 'inconclusive', 'warning']),
  subject: z.string(),
  message: z.string(),
  fix: z.string().optional(),
});

export const RunOutcome = z.enum(['done', 'halted', 'rolled back', 'stopped', 'failed']);
export type RunOutcome = z.infer<typeof RunOutcome>;

const batch = z.object({
  id: z.string(),
  nodes: z.array(z.string()),
  services: z.number(),
  /** Its node alone exposes more than the cap. */
  overCap: z.boolean().optional(),
});

const at = { t: z.iso.datetime(), run: z.string() };

export const RunEvent = z.discriminatedUnion('event', [
  z.object({
    ...at,
    event: z.literal('run-opened'),
    v: z.literal(JOURNAL_VERSION),
    action: z.enum(['migrate', 'rollback', 'finalize']),
    cluster: ClusterIdentity,
    to: ModeSchema.nullable(),
    epoch: z.number(),
    batches: z.array(batch),
  }),
  z.object({ ...at, event: z.literal('phase-started'), phase: z.string(), title: z.string() }),
  z.object({ ...at, event: z.literal('phase-done'), phase: z.string() }),
  z.object({ ...at, event: z.literal('batch-started'), batch: z.string() }),
  z.object({ ...at, event: z.literal('batch-done'), batch: z.string(), exposed: z.number() }),
  z.object({
    ...at,
    event: z.literal('step-intended'),
    batch: z.string(),
    node: z.string(),
    step: z.string(),
    to: ModeSchema,
  }),
  z.object({
    ...at,
    event: z.literal('step-done'),
    batch: z.string(),
    node: z.string(),
    step: z.string(),
    seconds: z.number(),
  }),
  z.object({
    ...at,
    event: z.literal('step-failed'),
    batch: z.string(),
    node: z.string(),
    step: z.string(),
    error: z.string(),
  }),
  /** What the run waits for, in words; the last one is the state line. */
  z.object({ ...at, event: z.literal('waiting'), node: z.string().optional(), for: z.string() }),
  z.object({
    ...at,
    event: z.literal('gate-judged'),
    gate: z.string(),
    moment: z.string(),
    node: z.string().optional(),
    verdict: z.enum(['pass', 'fail', 'inconclusive']),
    findings: z.array(finding),
    summary: z.string(),
  }),
  z.object({
    ...at,
    event: z.literal('node-done'),
    batch: z.string(),
    node: z.string(),
    mode: ModeSchema,
    seconds: z.number(),
    /** Of these, the seconds that kube-proxy itself took to stop and to start, measured on the node. */
    proxySeconds: z.number(),
    /** Probe attempts from the node through the flip, and those that failed though their target was well before. */
    attempts: z.number(),
    failed: z.number(),
    /** The same by kind of target. */
    kinds: z
      .partialRecord(z.enum(PROBE_KINDS), z.strictObject({ attempts: z.number(), failed: z.number() }))
      .optional(),
  }),
  /** A kube-proxy started anew in the mode it had, under the original DaemonSet; `batch` is absent for nodes that joined. */
  z.object({
    ...at,
    event: z.literal('node-restarted'),
    batch: z.string().optional(),
    node: z.string(),
    mode: ModeSchema,
    seconds: z.number(),
    /** Of these, the seconds that kube-proxy itself took to stop and to start, measured on the node. */
    proxySeconds: z.number(),
  }),
  z.object({ ...at, event: z.literal('node-back'), batch: z.string(), node: z.string(), mode: ModeSchema }),
  /** The node is brought back to see whether that works; `seconds` is what the way back took. */
  z.object({ ...at, event: z.literal('rehearsal-started'), batch: z.string(), node: z.string() }),
  z.object({
    ...at,
    event: z.literal('rehearsal-done'),
    batch: z.string(),
    node: z.string(),
    seconds: z.number(),
  }),
  z.object({ ...at, event: z.literal('note'), text: z.string() }),
  /** What an operator wanted of the run, from wherever; `at` by their clock. */
  z.object({
    ...at,
    event: z.literal('steered'),
    what: z.enum(['pause', 'resume', 'abort', 'adjust']),
    by: z.string(),
    at: z.iso.datetime(),
    /** What was to be changed. */
    to: z.string().optional(),
  }),
  /** From here these are the batches, those that have begun first; `why` in words. */
  z.object({ ...at, event: z.literal('replanned'), why: z.string(), batches: z.array(batch) }),
  z.object({ ...at, event: z.literal('run-closed'), outcome: RunOutcome, reason: z.string(), next: z.string() }),
]);
export type RunEvent = z.infer<typeof RunEvent>;

/** What a caller writes: the journal adds the time and the run. */
export type NewEvent = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, 't' | 'run'> : never) : never;

export interface Journal {
  readonly run: string;
  /** Durable before it returns; listeners are told afterwards. */
  append(event: NewEvent): void;
  /** Listeners must not throw and must not block. */
  subscribe(listener: (event: RunEvent) => void): void;
}
