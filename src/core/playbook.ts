import { z } from 'zod';
import { ModeSchema } from './mode-schema.ts';
import { GatesSchema } from './playbook-gates.ts';

export const PLAYBOOK_VERSION = 1;

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
  /** `canary`: the first node is flipped, brought back and flipped again, each behind all gates, before the next batch. */
  rehearse: z.enum(['none', 'canary']).default('none'),
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
  gates: GatesSchema.prefault({}),
  preflight: z
    .strictObject({
      /** Ids of checks whose errors were read and accepted; they become warnings. */
      accept: z.array(z.string()).default([]),
    })
    .prefault({}),
});
export type Playbook = z.infer<typeof Playbook>;
