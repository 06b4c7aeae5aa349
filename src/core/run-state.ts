// What a run keeps in the cluster, so that another machine can go on or go back.
import { z } from 'zod';
import type { KubeObject } from './cluster.ts';
import { ModeSchema } from './mode-schema.ts';
import { ANNOTATION_EPOCH, ANNOTATION_STATE, LABEL_MODE } from './names.ts';
import { Plan } from './plan.ts';

/** Steps of a flip, in their order. */
export const STEPS = ['watch', 'warm', 'prove', 'release', 'prove-alone', 'sweep', 'hand-over', 'verify'] as const;
export const Step = z.enum([...STEPS, 'done']);
export type Step = z.infer<typeof Step>;

/** Annotation of a node in a run: the last step that was intended. */
export const NodeState = z.object({
  run: z.string(),
  from: ModeSchema,
  to: ModeSchema,
  step: Step,
});
export type NodeState = z.infer<typeof NodeState>;

/** The state of a node object, or undefined where there is none or another version wrote it. */
export function nodeState(node: KubeObject): NodeState | undefined {
  const text = node.metadata.annotations?.[ANNOTATION_STATE];
  if (text === undefined) return undefined;
  try {
    const parsed = NodeState.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

export function modeLabel(node: KubeObject): string | undefined {
  return node.metadata.labels?.[LABEL_MODE];
}

/** What a runner writes onto each object that it changes. */
export function fenceOf({ id, epoch }: { readonly id: string; readonly epoch: number }): string {
  return `${id}/${epoch}`;
}

/** The epoch of the run's last writer of an object; 0 where no runner of this run has written. */
export function epochOn({ metadata }: KubeObject, run: string): number {
  const [writer, epoch] = (metadata.annotations?.[ANNOTATION_EPOCH] ?? '').split('/');
  return writer === run ? Number(epoch) || 0 : 0;
}

const shape = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});
const object = z.custom<KubeObject>(value => shape.safeParse(value).success, 'an API object');

/** The immutable record of a run: its plan and what stood there before. */
export const RunRecord = z.strictObject({
  kind: z.literal('RunRecord'),
  version: z.literal(1),
  run: z.string(),
  /** Counts up when the plan changes: nodes that joined, an adjustment. The highest counts. */
  revision: z.int().positive(),
  startedAt: z.iso.datetime(),
  /** Adjustments that the plan holds, with the id of the plan before. */
  adjusted: z.array(z.strictObject({ by: z.string(), at: z.iso.datetime(), was: z.string() })).optional(),
  /** The node on which the way back was proven, and when. */
  rehearsed: z.strictObject({ node: z.string(), at: z.iso.datetime() }).optional(),
  /** The image of the watchers that was named last with --watcher-image: whoever goes on needs it too. */
  watcherImage: z.string().optional(),
  plan: Plan,
  originals: z.strictObject({
    daemonSet: object,
    configMap: object,
    configKey: z.string(),
    configPath: z.string(),
  }),
});
export type RunRecord = z.infer<typeof RunRecord>;
