// The `gates` of a playbook: thresholds, times, what a red gate leads to.
import { z } from 'zod';
import { Duration, Soak } from './duration.ts';
import { MOMENTS } from './gate.ts';
import { HooksSchema, PrometheusSchema } from './playbook-outside.ts';

const fraction = z.number().gt(0).max(1);

/** What a gate that fails leads to, from the least to the most far-reaching. */
export const ON_RED = ['halt', 'node', 'batch', 'run'] as const;
export type OnRed = (typeof ON_RED)[number];
const OnRedSchema = z.enum(ON_RED);

/** What can be set for any gate. */
const GateSettings = z.strictObject({
  /** `false`: the gate is not asked. */
  enabled: z.boolean().default(true),
  /** `warning`: whatever the gate finds, or cannot see, is named and stops nothing. */
  severity: z.enum(['error', 'warning']).default('error'),
  /** When the gate is asked; some of the moments it has. */
  moments: z.array(z.enum(MOMENTS)).min(1).optional(),
  /** In place of `gates.onRed`. */
  onRed: OnRedSchema.optional(),
});

export const GatesSchema = z.strictObject({
  /** Time a flipped node is watched before the next one, on top of the gates. */
  soak: Soak.default(5),
  /** How long a gate may stay inconclusive or red before its verdict counts. */
  settle: Duration.default(20),
  /** Time for a kube-proxy to start and program its rules. */
  convergence: Duration.default(300),
  /**
   * How long rules in the kernel may be behind the API before it counts; kube-proxy's own minSyncPeriod and the time that its
   * syncs take are added.
   */
  lag: Duration.default(10),
  /**
   * What a gate that fails leads to: `halt` stops and leaves the node, `node` puts the node back and stops, `batch` puts back
   * the nodes of its batch, `run` every node of the run. What cannot be seen halts, whatever stands here.
   */
  onRed: OnRedSchema.default('node'),
  conntrack: z
    .strictObject({
      /** Shares of the connection table's maximum. */
      warn: fraction.default(0.6),
      fail: fraction.default(0.7),
      /** Red when the growth since the flip reaches `fail` within this time. */
      horizon: Duration.default(600),
      /** Failed insertions a minute that are let pass: packets of one flow that race, on any cluster. */
      insertFailures: z.number().nonnegative().default(10),
    })
    .prefault({}),
  probes: z
    .strictObject({
      /** Services probed from each node at most; the report says which were not. */
      services: z.int().positive().default(2000),
      /** Failed attempts in a row after which a Service counts as broken. */
      failures: z.int().positive().default(2),
    })
    .prefault({}),
  /** Share of a Service's ready endpoints lost since before the node or the batch. None left at all always fails. */
  readyEndpoints: z.strictObject({ warn: fraction.default(0.2), fail: fraction.default(0.5) }).prefault({}),
  /** By namespace, since before the node or the batch. */
  workloads: z
    .strictObject({
      /** Pods that restarted. */
      restarts: z
        .strictObject({ warn: z.int().positive().default(1), fail: z.int().positive().default(3) })
        .prefault({}),
      /** Share of the pods that are not ready and were, or are new. */
      unready: z.strictObject({ warn: fraction.default(0.1), fail: fraction.default(0.3) }).prefault({}),
    })
    .prefault({}),
  churn: z
    .strictObject({
      /** How long a node waits for rollouts in the namespaces that it reaches. */
      wait: Duration.default(600),
    })
    .prefault({}),
  /** ipvs connections are given so long to end before the left mode is swept. */
  drain: Duration.default(30),
  /** Limits of values that a Prometheus server has. */
  prometheus: PrometheusSchema.optional(),
  /** Checks of the operator: programs of this machine, or servers. */
  hooks: HooksSchema.default([]),
  /** By gate id. */
  settings: z.record(z.string(), GateSettings).default({}),
});
