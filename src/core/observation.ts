// What watchers print: one JSON object a line. The embedded cluster prints the same lines.
import { z } from 'zod';
import { MODES } from './mode.ts';
import { PROBE_KINDS } from './probe-kind.ts';
import { CLIENTS } from './service-path.ts';
import { OBSERVATION_VERSION, VANTAGES } from './vantage.ts';

export type { Vantage } from './vantage.ts';

const Vantage = z.enum(VANTAGES);

/** One target of the service probes; written by proxyctl into the watchers' ConfigMap. */
export const ProbeTarget = z.strictObject({
  /** As `targetId` makes it. */
  id: z.string(),
  /** An address, or one of NODE_ADDRESSES. */
  address: z.string(),
  port: z.number(),
  protocol: z.enum(['TCP', 'UDP']),
  /** The Service has ready endpoints, so an answer is due; without any it must be refused. */
  endpoints: z.boolean(),
});
export type ProbeTarget = z.infer<typeof ProbeTarget>;

/** The file that tells watchers what to probe. */
export const ProbeTargets = z.strictObject({ version: z.literal(1), targets: z.array(ProbeTarget) });
export type ProbeTargets = z.infer<typeof ProbeTargets>;

export const Outcome = z.enum([
  'ok',
  'refused',
  'timeout',
  'unreachable',
  'reset',
  /** UDP: as good as a timeout. */
  'no answer',
  /** DNS: an error, or no address. Hairpin: somebody else answered. Health check node port: no 200, and no 503 without endpoints. */
  'wrong answer',
  /** Connections that session affinity should have kept together reached different endpoints. */
  'moved',
]);
export type Outcome = z.infer<typeof Outcome>;

/** Rules of one mode on a node, in one address family or both. */
export const ModeRules = z.strictObject({
  /** The mode's rules are there at all. */
  present: z.boolean(),
  /** Addresses and ports the mode serves here: ClusterIP, external and load balancer addresses; NodePorts apart. */
  servicePorts: z.number(),
  /** Probe target ids whose address and port the mode's rules do not hold; absent when it was not compared. */
  missing: z.array(z.string()).optional(),
  /** Traces of the mode outside the allow-list (kubelet's own chains): chain, table, set, device and virtual server names. */
  traces: z.array(z.string()),
});
export type ModeRules = z.infer<typeof ModeRules>;

/** What the watchers' rules lines hold; the type of it is the other side's, src/core/service-rules.ts. */
const ServiceRule = z.object({
  key: z.string(),
  endpoints: z.array(z.string()).readonly(),
  fromCluster: z.array(z.string()).readonly().exactOptional(),
  empty: z.enum(['reject', 'drop']).exactOptional(),
  affinitySeconds: z.number().exactOptional(),
  sourceRanges: z.array(z.string()).readonly().exactOptional(),
});

/** What the watchers' path lines hold; the type of it is the other side's, src/core/service-path.ts. */
const ServicePath = z.object({
  key: z.string(),
  client: z.enum(CLIENTS),
  hops: z
    .array(
      z.object({
        kind: z.enum(['hook', 'chain', 'map', 'set', 'device', 'server']),
        table: z.enum(['nat', 'filter']).exactOptional(),
        name: z.string(),
        does: z.string().exactOptional(),
      }),
    )
    .readonly(),
  outcome: z.enum(['endpoints', 'reject', 'drop', 'nothing']),
  ends: z.array(z.object({ address: z.string(), chain: z.string().exactOptional() })).readonly(),
  endpoints: z.number(),
  masquerade: z.enum(['all', 'self', 'none']),
  sourceRanges: z.array(z.string()).readonly().exactOptional(),
  legacy: z.literal(true).exactOptional(),
});

const family = z.strictObject({
  /** Unix seconds; null while the series is absent, that is before the first success. */
  lastSync: z.number().nullable(),
  lastQueued: z.number().nullable(),
});

const base = { t: z.iso.datetime() };

export const Observation = z.discriminatedUnion('kind', [
  z.object({
    ...base,
    kind: z.literal('hello'),
    v: z.literal(OBSERVATION_VERSION),
    node: z.string(),
    vantage: Vantage,
    /** Where this watcher answers for its own probe Service; absent where it does not. */
    echo: z.string().optional(),
  }),
  /** A kube-proxy as its own ports describe it. `main` listens on the configured ports, `warm` on the warm ones. */
  z.object({
    ...base,
    kind: z.literal('proxy'),
    slot: z.enum(['main', 'warm']),
    /** False when nothing answers. */
    up: z.boolean(),
    /** Text of /proxyMode. */
    mode: z.string().nullable(),
    /** Unix seconds. */
    processStart: z.number().nullable(),
    /** By ip_family as the metrics label it (`IPv4`, `IPv6`); one entry `any` before Kubernetes 1.33. */
    families: z.record(z.string(), family),
    /** Syncs that failed to write the rules, partial ones left out; null when /metrics could not be read. */
    failures: z.number().nullable(),
    /** Changes that iptables mode failed to write; the next sync is a full one, until one of these is done. */
    partialFailures: z.number().nullable(),
    /** HTTP status of /healthz, null when nothing answers. Necessary, never sufficient. */
    healthz: z.number().nullable(),
    /** Seconds that kube-proxy's full syncs took, the last one known. */
    syncSeconds: z.number().nullable(),
  }),
  z.object({
    ...base,
    kind: z.literal('conntrack'),
    count: z.number(),
    max: z.number(),
    /** Since the boot; null when they could not be read. */
    drop: z.number().nullable(),
    earlyDrop: z.number().nullable(),
    insertFailed: z.number().nullable(),
    /** Processors online, by which kube-proxy sizes the table. */
    cores: z.number().nullable(),
  }),
  z.object({
    ...base,
    kind: z.literal('kernel'),
    modes: z.partialRecord(z.enum(MODES), ModeRules),
    /** Connections that ip_vs tracks; 0 where ip_vs is not loaded. */
    ipvsConnections: z.number(),
    /**
     * Virtual servers of ip_vs that are no Service's, by their keys, and firewall marks that have one; at most 50 and how many
     * more. Absent while that cannot be told: nobody says which mode serves, or its rules cannot be read.
     */
    foreignServers: z.array(z.string()).exactOptional(),
    /** Whether kube-proxy will take its iptables chains away by itself on its way to nftables. Absent where they cannot be read. */
    cleansItself: z.boolean().exactOptional(),
  }),
  /**
   * What a mode's rules in the kernel do, both families together: what changed since the look before. A look is one or more
   * lines, each with the next number; a line with the number of the one before says that nothing changed.
   */
  z.object({
    ...base,
    kind: z.literal('rules'),
    mode: z.enum(MODES),
    seq: z.number(),
    /** When the reading of the kernel began. */
    began: z.iso.datetime(),
    /** The first line of a whole look: what was known before is forgotten. */
    full: z.boolean(),
    /** The last line of a look. Before it nothing of the look counts. */
    last: z.boolean(),
    set: z.array(ServiceRule),
    /** Keys of rules that are no more. */
    gone: z.array(z.string()),
  }),
  /** The way to one of the addresses that were asked for; printed before the kernel line of the same look. */
  z.object({ ...base, kind: z.literal('path'), mode: z.enum(MODES), path: ServicePath }),
  /** One round over all targets from one vantage. Only what was not `ok` is listed: [target id, outcome]. */
  z.object({
    ...base,
    kind: z.literal('round'),
    vantage: Vantage,
    round: z.number(),
    /** When the round began. */
    began: z.iso.datetime(),
    /** Targets dialled, by kind. */
    dialled: z.partialRecord(z.enum(PROBE_KINDS), z.number()),
    bad: z.array(z.tuple([z.string(), Outcome])),
    /** What became of the one connection to a Service without endpoints; absent where there is none. */
    refusal: Outcome.optional(),
  }),
  /** The watcher could not look: said, never silently skipped. */
  z.object({ ...base, kind: z.literal('trouble'), what: z.string(), error: z.string() }),
  /** Printed by the sweeper. */
  z.object({
    ...base,
    kind: z.literal('sweep'),
    left: z.enum(MODES),
    phase: z.enum(['waiting', 'adopted', 'drained', 'done', 'refused']),
    removed: z.array(z.string()),
    remaining: z.array(z.string()),
    detail: z.string(),
  }),
]);
export type Observation = z.infer<typeof Observation>;
export type ProxySample = Extract<Observation, { kind: 'proxy' }>;
export type KernelSample = Extract<Observation, { kind: 'kernel' }>;
export type RulesSample = Extract<Observation, { kind: 'rules' }>;
export type PathSample = Extract<Observation, { kind: 'path' }>;
export type ConntrackSample = Extract<Observation, { kind: 'conntrack' }>;
export type ProbeRound = Extract<Observation, { kind: 'round' }>;
export type SweepSample = Extract<Observation, { kind: 'sweep' }>;

/** A line of a watcher's log, or undefined when it is none (a torn line, somebody else's print). */
export function parseObservation(line: string): Observation | undefined {
  if (!line.startsWith('{')) return undefined;
  let data: unknown;
  try {
    data = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = Observation.safeParse(data);
  return parsed.success ? parsed.data : undefined;
}
