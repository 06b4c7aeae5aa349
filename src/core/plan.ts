import { z } from 'zod';
import { ClusterIdentity, IpFamily } from './inventory.ts';
import { ModeSchema } from './mode-schema.ts';
import { Playbook } from './playbook.ts';

export const PLAN_VERSION = 1;

export const PlannedNode = z.strictObject({
  name: z.string(),
  uid: z.string(),
  from: ModeSchema,
  /** Why it stands where it stands, in a few words: `canary`, `smallest new exposure`, `control plane last` ... */
  why: z.string(),
  /** Why it cannot be brought back to what it is now; such a node is flipped only when it was confirmed by name. */
  oneWay: z.string().optional(),
});
export type PlannedNode = z.infer<typeof PlannedNode>;

export const Batch = z.strictObject({
  id: z.string(),
  nodes: z.array(PlannedNode).min(1),
  /** Namespaces whose Services this batch exposes first. */
  namespaces: z.array(z.string()),
  /** `namespace/name` of the Services first exposed by this batch. */
  services: z.array(z.string()),
  /** Services exposed once this batch is done. */
  exposedAfter: z.number(),
  /** Node that goes back and flips again, to prove the way back, before the next batch. */
  rehearses: z.string().optional(),
  /** One node alone exposes more than the cap. */
  overCap: z.boolean(),
  /** Seconds, an estimate. */
  estimate: z.number(),
});
export type Batch = z.infer<typeof Batch>;

/** What the plan relied on; `migrate` compares each part and names the one that changed. Values are sha256 or plain text. */
export const Fingerprint = z.record(z.string(), z.string());
export type Fingerprint = z.infer<typeof Fingerprint>;

export const Plan = z.strictObject({
  kind: z.literal('Plan'),
  version: z.literal(PLAN_VERSION),
  /** sha256 of the plan without this field: an edited plan is refused. */
  id: z.string(),
  madeAt: z.iso.datetime(),
  cluster: ClusterIdentity,
  driver: z.string(),
  to: ModeSchema,
  /** Address families of the cluster: the new configuration names the NodePort addresses of these. */
  families: z.array(IpFamily).min(1),
  playbook: Playbook,
  batches: z.array(Batch),
  /** Nodes left alone, and why. */
  skipped: z.array(z.strictObject({ name: z.string(), why: z.string() })),
  /** Services reached from every node, exposed by the first batch whatever its nodes. */
  everywhere: z.array(z.string()),
  /** No plan under the same caps has fewer batches than this. */
  lowerBound: z.number(),
  /** What "exposed" meant here, for people. */
  exposure: z.string(),
  /** Options of the configuration that change or have no equivalent in the new mode. */
  notes: z.array(z.string()),
  fingerprint: Fingerprint,
});
export type Plan = z.infer<typeof Plan>;

/** The node of that name, whichever batch it is in. */
export function plannedNode({ batches }: Pick<Plan, 'batches'>, name: string): PlannedNode | undefined {
  return batches.flatMap(batch => batch.nodes).find(node => node.name === name);
}
