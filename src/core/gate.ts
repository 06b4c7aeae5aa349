// The vocabulary of gates. A preflight check is a gate at the moment `preflight`.
import type { Cluster } from './cluster.ts';
import type { ConfigNote } from './config-translation.ts';
import type { Inventory } from './inventory.ts';
import type { Mode } from './mode.ts';
import type { NodeView } from './node-view.ts';
import type { Outside } from './outside.ts';
import type { Playbook } from './playbook.ts';
import type { ServiceTruth } from './service-truth.ts';

export const MOMENTS = ['preflight', 'before-node', 'prove', 'after-node', 'soak', 'after-batch', 'verify'] as const;
export type Moment = (typeof MOMENTS)[number];

export type Verdict = 'pass' | 'fail' | 'inconclusive';

/** One thing that a gate found. `error` makes the verdict fail; `warning` is named and lets pass. */
export interface Finding {
  readonly level: 'error' | 'inconclusive' | 'warning';
  /** What it is about: `node node1`, `service shop/web`, `daemonset kube-system/kube-proxy`; untrusted text. */
  readonly subject: string;
  readonly message: string;
  /** What to do about it, when it differs from the gate's own hint. */
  readonly fix?: string;
}

export interface Judgement {
  readonly gate: string;
  readonly title: string;
  readonly hint: string;
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** What was looked at when all is well, in a few words: `3 nodes, iptables`. */
  readonly summary: string;
}

/** A node between two modes, as a gate sees it. */
export interface NodeInFlip {
  readonly name: string;
  readonly from: Mode;
  readonly to: Mode;
  /** The mode that must serve at this moment. */
  readonly expected: Mode;
  /** The kube-proxy to judge: the warm one while proving, else the main one. */
  readonly slot: 'main' | 'warm';
  /** Unix seconds of the node's clock when that kube-proxy was asked for; undefined before the flip. */
  readonly askedAt?: number;
  /** Unix seconds of the node's clock since when no other kube-proxy is there: what was in the kernel before, one that started again may have removed. */
  readonly aloneSince?: number;
  /** What the watchers say now, and what they said before anything was touched. */
  readonly view: NodeView;
  readonly baseline: NodeView;
  /** Our own clock, ms. */
  readonly now: number;
}

/** An endpoint of a Service of ours that was changed, to see whether a node follows. */
export interface ForcedChange {
  /** Address and port of the Service, as rules are keyed. */
  readonly key: string;
  /** `address:port` that it leads to since. */
  readonly endpoint: string;
  /** When it was done, by our own clock, ms. */
  readonly at: number;
}

/** What a look is about: what the node in flip reaches; after a batch, what is exposed so far. */
export interface Scope {
  readonly namespaces: ReadonlySet<string>;
  /** `namespace/name`. */
  readonly services: ReadonlySet<string>;
}

/** Everything a gate may look at. It reads; it never writes. */
export interface Look {
  readonly moment: Moment;
  readonly inventory: Inventory;
  readonly to: Mode;
  readonly playbook: Playbook;
  readonly cluster?: Cluster;
  readonly outside?: Outside;
  /** Id of the run; absent at preflight. */
  readonly run?: string;
  /** Absent at preflight. */
  readonly node?: NodeInFlip;
  /** The mode that each node of the run must be in now, by name. Empty at preflight. */
  readonly expectedModes: ReadonlyMap<string, Mode>;
  /** Names of the Services exposed so far, `namespace/name`; empty at preflight. */
  readonly exposed: ReadonlySet<string>;
  /** Absent at preflight. */
  readonly scope?: Scope;
  readonly change?: ForcedChange;
  /** What gates saw before the node, or the batch, was begun, by gate id: see `Gate.remember`. */
  readonly before?: ReadonlyMap<string, unknown>;
  /** What the API says of Services, kept up to date. Absent: nobody watches it. */
  readonly truth?: ServiceTruth;
  /** What becomes of the configuration's options in the new mode; filled at preflight. Absent: nobody read it. */
  readonly configNotes?: readonly ConfigNote[];
  /** The shared KubeProxyConfiguration, parsed. Absent: nobody read it. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
}

export interface Gate {
  readonly id: string;
  readonly title: string;
  readonly hint: string;
  readonly moments: readonly Moment[];
  /** Seconds for which its word stands: asking is dear, and done only once the gates that cost nothing pass. */
  readonly standsFor?: number;
  /** Seconds that it may stay inconclusive, where it may for longer than others. */
  patience?(playbook: Playbook): number;
  /** Whether the playbook gives it anything to look at; absent where there always is something. */
  wanted?(playbook: Playbook): boolean;
  look(look: Look): Promise<Judgement>;
  /** What it sees now, for it to compare with later. Absent where nothing is compared. Rejects when it cannot look. */
  remember?(look: Look): Promise<unknown>;
}

interface GateSpec<Seen> {
  id: string;
  title: string;
  hint: string;
  moments: readonly Moment[];
  standsFor?: number;
  patience?(playbook: Playbook): number;
  wanted?(playbook: Playbook): boolean;
  /** It compares what it sees with what it saw before. */
  compares?: true;
  /** Collects what the verdict needs. Throwing means "could not look". `before` is what it saw before, when it compares. */
  observe(look: Look, before?: Seen): Seen | Promise<Seen>;
  /** Pure. `summary` is printed when nothing was found. */
  judge(seen: Seen, look: Look, before?: Seen): { findings: Finding[]; summary: string };
}

/** Makes a gate; an `observe` that fails gives `inconclusive`, never `pass`. */
export function defineGate<Seen>(spec: GateSpec<Seen>): Gate & { judge: GateSpec<Seen>['judge'] } {
  const { id, title, hint, moments, standsFor, patience, wanted, compares } = spec;
  return {
    id,
    title,
    hint,
    moments,
    ...(standsFor === undefined ? {} : { standsFor }),
    ...(patience ? { patience } : {}),
    ...(wanted ? { wanted } : {}),
    ...(compares ? { remember: async (look: Look) => spec.observe(look) } : {}),
    judge: spec.judge,
    async look(look) {
      try {
        // What stands under a gate's id was remembered by that gate.
        const before = look.before?.get(id) as Seen | undefined;
        const { findings, summary } = spec.judge(await spec.observe(look, before), look, before);
        return { gate: id, title, hint, verdict: verdictOf(findings), findings, summary };
      } catch (error) {
        const message = `could not look: ${error instanceof Error ? error.message : String(error)}`;
        const finding: Finding = {
          level: 'inconclusive',
          subject: look.node ? `node ${look.node.name}` : 'cluster',
          message,
        };
        return { gate: id, title, hint, verdict: 'inconclusive', findings: [finding], summary: '' };
      }
    },
  };
}

export function verdictOf(findings: readonly Pick<Finding, 'level'>[]): Verdict {
  if (findings.some(f => f.level === 'error')) return 'fail';
  if (findings.some(f => f.level === 'inconclusive')) return 'inconclusive';
  return 'pass';
}
