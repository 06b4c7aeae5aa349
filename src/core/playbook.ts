import { z } from 'zod';
import { ModeSchema } from './mode-schema.ts';

export const PLAYBOOK_VERSION = 1;

const DURATION = 'a duration such as 30s, 5m or 1h30m';

/** A duration such as `30s`, `5m`, `1h30m`, or a number of seconds; parsed to seconds, and so fit to be read again. */
export const Duration = z
  .union([z.number().nonnegative(), z.string().regex(/^(?=\d)(\d+h)?(\d+m)?(\d+s)?$/, DURATION)], { error: DURATION })
  .transform(given => {
    if (typeof given === 'number') return given;
    const [, h, m, s] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(given) ?? [];
    return Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0);
  });

const fraction = z.number().gt(0).max(1);

/** The operator's wishes. Every field but `to` has a default, so `{}` plus a mode is a whole playbook. */
export const Playbook = z.strictObject({
  version: z.literal(PLAYBOOK_VERSION).default(PLAYBOOK_VERSION),
  /** What the playbook is for, shown with the plan. */
  title: z.string().max(200).optional(),
  from: ModeSchema.optional(),
  to: ModeSchema.optional(),
  batch: z
    .strictObject({
      /** At most so many Services newly exposed by one batch. */
      services: z.int().positive().default(50),
      /** At most so many nodes in one batch. */
      nodes: z.int().positive().default(10),
    })
    .prefault({}),
  order: z
    .strictObject({
      /** Node to flip first, alone; the planner chooses the one that exposes least when not given. */
      canary: z.string().optional(),
      /** Namespaces whose Services are exposed as late as the cap allows. */
      lastNamespaces: z.array(z.string()).default([]),
      /** At most so many nodes of one zone in a batch; no limit when not given. */
      nodesPerZone: z.int().positive().optional(),
      /** Nodes that are left alone. */
      exclude: z.array(z.string()).default([]),
    })
    .prefault({}),
  exposure: z
    .strictObject({
      /** Namespaces that call Services of other namespaces: `{shop: [payments]}`. */
      callers: z.record(z.string(), z.array(z.string())).default({}),
    })
    .prefault({}),
  options: z
    .strictObject({
      /** `preserve` writes nodePortAddresses so that NodePorts answer where they answered; `default` leaves it to the mode. */
      nodePortAddresses: z.enum(['preserve', 'default']).default('preserve'),
    })
    .prefault({}),
  gates: z
    .strictObject({
      /** Time a flipped node is watched before the next one, on top of the gates. */
      soak: Duration.default(5),
      /** How long a gate may stay inconclusive or red before its verdict counts. */
      settle: Duration.default(20),
      /** Time for a kube-proxy to start and program its rules. */
      convergence: Duration.default(300),
      conntrack: z.strictObject({ warn: fraction.default(0.6), fail: fraction.default(0.7) }).prefault({}),
      probes: z
        .strictObject({
          /** Services probed from each node at most; the report says which were not. */
          services: z.int().positive().default(2000),
          /** Failed attempts in a row after which a Service counts as broken. */
          failures: z.int().positive().default(2),
        })
        .prefault({}),
      /** ipvs connections are given so long to end before the left mode is swept. */
      drain: Duration.default(30),
    })
    .prefault({}),
  preflight: z
    .strictObject({
      /** Ids of checks whose errors were read and accepted; they become warnings. */
      accept: z.array(z.string()).default([]),
    })
    .prefault({}),
});
export type Playbook = z.infer<typeof Playbook>;
