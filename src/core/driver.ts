// How one kind of platform runs kube-proxy, and so how a node is flipped there. The executor knows only this port.
import type { Clock } from './clock.ts';
import type { Cluster, KubeObject } from './cluster.ts';
import type { Mode } from './mode.ts';
import type { Plan } from './plan.ts';
import type { Step } from './run-state.ts';

/** What stood in the cluster before the run, kept in the run's record: enough to put it back. */
export interface Originals {
  readonly daemonSet: KubeObject;
  readonly configMap: KubeObject;
  /** Key of the ConfigMap's data that holds the KubeProxyConfiguration, and the path given with --config. */
  readonly configKey: string;
  readonly configPath: string;
}

/** Who acts on a cluster: a run, or somebody who only looks at its nodes. */
export interface Runner {
  readonly id: string;
  /** Tested in every write; a newer runner has a higher one. */
  readonly epoch: number;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /**
   * Says in the journal what is waited for, then polls until `done` gives a value. Throws when `seconds` are over, and early
   * when a pod that it has `seen` will not start.
   */
  waitFor<T>(what: string, seconds: number, done: (seen: SeenPod) => Promise<T | undefined>): Promise<T>;
}

/** Takes a pod that is waited for, as it is now. */
export type SeenPod = (pod: KubeObject | undefined) => void;

/** One run: its plan and what it found. */
export interface RunContext extends Runner {
  readonly plan: Plan;
  readonly originals: Originals;
}

/** Where a flipped node's kube-proxy lives: in the DaemonSet of its mode, or in the original one. */
export type Home = 'mode' | 'original';

export interface FlipNode {
  readonly name: string;
  /** Mode before and after this flip. */
  readonly from: Mode;
  readonly to: Mode;
  readonly home: Home;
}

/** Each call is idempotent and returns once its effect was read back. */
export interface Driver {
  readonly id: string;
  /** Our fence onto every object of the run, so that whatever the runner before us still had in hand is refused. */
  seal(run: RunContext): Promise<void>;
  /** Objects of the run; nothing restarts. What somebody else changed in the original object is left to them, or throws 21. */
  prepare(run: RunContext, foreign: 'refused' | 'kept'): Promise<void>;
  /** What somebody else changed in the original object since the run began, a text a field. */
  foreign(run: RunContext): Promise<string[]>;
  /** Throws 21 unless the original object is as `prepare` left it. */
  intact(run: RunContext): Promise<void>;
  /** Whether somebody else has deleted the original object. */
  deleted(run: RunContext): Promise<boolean>;
  /** Makes an original object that was deleted, from the record, as `prepare` leaves it; one that is there again stays. */
  remake(run: RunContext): Promise<void>;
  /** Writes onto the node which step comes next; `release` and `handOver` do it themselves. */
  mark(run: RunContext, node: FlipNode, step: Step): Promise<void>;
  /**
   * A second kube-proxy in the target mode beside the first, its cleanup disarmed. `running` when a runner before us started it,
   * so that its process is older than this call.
   */
  warm(run: RunContext, node: FlipNode): Promise<'started' | 'running'>;
  /** The warm kube-proxy away; its rules stay. */
  cool(run: RunContext, node: FlipNode): Promise<void>;
  /**
   * The node's own kube-proxy away, waited for by UID. Who serves meanwhile: the warm one, without which nothing is released, or
   * nobody but the rules that stay in the kernel.
   */
  release(run: RunContext, node: FlipNode, serving: 'warm' | 'rules'): Promise<void>;
  /** The node belongs to its new home; resolves when a pod of that home runs there. */
  handOver(run: RunContext, node: FlipNode): Promise<void>;
  /** The pod of the warm kube-proxy, or of the node's home, in whatever state; undefined where there is none. */
  podOf(run: RunContext, node: FlipNode, slot: 'warm' | 'main'): Promise<KubeObject | undefined>;
  /** Whether a pod of the node's home runs there. */
  serves(run: RunContext, node: FlipNode): Promise<boolean>;
  /** The shared configuration says the new mode. After it, undo is a new migration. */
  commit(run: RunContext): Promise<void>;
  /** Whether `commit` has been. */
  committed(run: RunContext): Promise<boolean>;
  /** Nothing of ours in the original object's template any more; nothing restarts by itself. */
  restoreTemplate(run: RunContext): Promise<void>;
  /** Nodes whose pod does not have the template as it is now. */
  outdated(run: RunContext): Promise<string[]>;
  /** A plain restart of the node's kube-proxy, same mode: throws where it would come up in another than `mode`. */
  restart(run: RunContext, node: string, mode: Mode): Promise<void>;
  /** Strategy back, our objects gone, nodes as they were. */
  leave(run: RunContext): Promise<void>;
}
