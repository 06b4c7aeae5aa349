// What goes wrong on nodes. Each call returns what takes the fault away again.
import type { Mode } from '../core/mode.ts';
import { type ApiFault, ApiFaults } from './api-faults.ts';
import type { Disturbance, Kernel } from './kernel.ts';

type Clear = () => void;
/** What somebody does to a kernel behind kube-proxy's back. */
export type Damage = (kernel: Kernel) => void;

/** What the faults ask of the cluster. */
export interface FaultHooks {
  readonly setReady: (node: string, ready: boolean) => void;
  /** Memory of the node runs short, or is there again. */
  readonly pressure: (node: string, on: boolean) => void;
  /** Deletes the rules of silenced Services at once, and puts them back when `restore`. */
  readonly silence: (node: string, service: string, modes: readonly Mode[]) => void;
  readonly unsilence: (node: string, service: string) => void;
  /** Disturbs a kind of traffic in these modes; in none it is as before. */
  readonly disturb: (node: string, what: Disturbance, modes: readonly Mode[]) => void;
  /** The modes whose rules the node's kernel holds. */
  readonly modesOf: (node: string) => Mode[];
  readonly kernelOf: (node: string) => Kernel;
  readonly fill: (node: string, ratio: number) => void;
  readonly resync: (node: string) => void;
  /** Stops the kube-proxies that run on the node now, or lets them go on. */
  readonly stop: (node: string, stopped: boolean) => void;
}

export class Faults {
  /** Images that no registry has, and no node any more. */
  readonly missingImages = new Set<string>();
  /** No image can be pulled; those on the nodes are there. */
  registryAway = false;
  readonly requests = new ApiFaults();
  private readonly withoutNft = new Set<string>();
  private readonly frozen = new Set<string>();
  private readonly damages = new Map<string, readonly Damage[]>();
  private readonly failing = new Set<string>();
  private readonly withoutPodNetwork = new Set<string>();
  private readonly crashing = new Set<{ mode: Mode; node: string | undefined }>();
  private hooks: FaultHooks | undefined;
  /** The DaemonSet controller acts so much later, ms. */
  controllerLag = 0;

  connect(hooks: FaultHooks): void {
    this.hooks = hooks;
  }

  private get cluster(): FaultHooks {
    if (!this.hooks) throw new Error('the cluster is not up yet');
    return this.hooks;
  }

  /** Requests that fail, hang or lose their answer. */
  api(fault: ApiFault): Clear {
    return this.requests.add(fault);
  }

  /** The node's image has no nft that works. */
  noNft(node: string): Clear {
    return this.mark(this.withoutNft, node);
  }

  /** New pods of the node get no address: its network plugin does not answer. Those on the host network start. */
  noPodNetwork(node: string): Clear {
    return this.mark(this.withoutPodNetwork, node);
  }

  /** The DaemonSet controller is slow, or down for so long as it stands: `ms` is how late it acts. */
  slowController(ms: number): Clear {
    this.controllerLag = ms;
    return () => {
      this.controllerLag = 0;
    };
  }

  /** kube-proxies of the node sync no more, and say nothing of it. */
  freezeProxy(node: string): Clear {
    const clear = this.mark(this.frozen, node);
    return () => {
      clear();
      this.cluster.resync(node);
    };
  }

  /** SIGSTOP for the kube-proxies that run on the node now: they neither write nor answer. Others that start there are well. */
  stopProxies(node: string): Clear {
    this.cluster.stop(node, true);
    return () => this.cluster.stop(node, false);
  }

  /** Does it at once, and again after each sync: kube-proxy never gets to mend it. Its next sync after the end does. */
  damage(node: string, damage: Damage): Clear {
    const { cluster, damages } = this;
    damages.set(node, [...this.damagesOf(node), damage]);
    damage(cluster.kernelOf(node));
    return () => {
      damages.set(
        node,
        this.damagesOf(node).filter(other => other !== damage),
      );
      cluster.resync(node);
    };
  }

  /** Syncs of the node fail and are counted. */
  failSync(node: string): Clear {
    return this.mark(this.failing, node);
  }

  /** kube-proxies in a mode end after their start-up cleanup; on one node or all. */
  crashLoop(mode: Mode, node?: string): Clear {
    const entry = { mode, node };
    this.crashing.add(entry);
    return () => this.crashing.delete(entry);
  }

  /**
   * Keeps deleting a Service's rules (`namespace/name`) while kube-proxy believes them there. In the given modes, or else in
   * those whose rules the node holds now: another mode's kube-proxy heals it. While it stands, another call changes nothing.
   */
  silentService(node: string, service: string, modes: readonly Mode[] = this.cluster.modesOf(node)): Clear {
    this.cluster.silence(node, service, modes);
    return () => this.cluster.unsilence(node, service);
  }

  /**
   * One kind of Service traffic dies on a node, though every rule is there: a filter of somebody else, a kernel that lacks
   * something. In the given modes, or else in those whose rules the node holds now.
   */
  silentTraffic(node: string, what: Disturbance, modes: readonly Mode[] = this.cluster.modesOf(node)): Clear {
    this.cluster.disturb(node, what, modes);
    return () => this.cluster.disturb(node, what, []);
  }

  /** Somebody fills this share of the node's connection table. */
  conntrackFill(node: string, ratio: number): Clear {
    this.cluster.fill(node, ratio);
    return () => this.cluster.fill(node, 0);
  }

  /** Nobody hears of the node's kubelet; what runs there goes on. */
  nodeNotReady(node: string): Clear {
    this.cluster.setReady(node, false);
    return () => this.cluster.setReady(node, true);
  }

  /** Memory runs short: the node is tainted, and pods that are not critical are evicted, again and again. */
  memoryPressure(node: string): Clear {
    this.cluster.pressure(node, true);
    return () => this.cluster.pressure(node, false);
  }

  /** Every watch tells of changes so late, ms; with infinity those that are open fall silent for good. */
  lateWatches(ms: number): Clear {
    this.requests.watchLag = ms;
    return () => {
      this.requests.watchLag = 0;
    };
  }

  lacksPodNetwork(node: string): boolean {
    return this.withoutPodNetwork.has(node);
  }

  lacksNft(node: string): boolean {
    return this.withoutNft.has(node);
  }

  isFrozen(node: string): boolean {
    return this.frozen.has(node);
  }

  damagesOf(node: string): readonly Damage[] {
    return this.damages.get(node) ?? [];
  }

  failsSync(node: string): boolean {
    return this.failing.has(node);
  }

  crashes(mode: Mode, node: string): boolean {
    return [...this.crashing].some(entry => entry.mode === mode && (entry.node === undefined || entry.node === node));
  }

  private mark(set: Set<string>, node: string): Clear {
    set.add(node);
    return () => set.delete(node);
  }
}
