import type { KubeObject, Ref } from '../core/cluster.ts';
import type { Runner } from '../core/driver.ts';
import { ApiError } from '../core/errors.ts';
import { SILENCE_MS } from '../core/evidence.ts';
import type { NodeInFlip } from '../core/gate.ts';
import { LABEL_RUN, NAMESPACE } from '../core/names.ts';
import { emptyView, type NodeView, nodeTime, observe, restartRounds } from '../core/node-view.ts';
import { type Observation, parseObservation, type Vantage } from '../core/observation.ts';
import type { OwnService } from '../core/probe-service.ts';
import { type WatcherOptions, watcherPod } from './pods.ts';
import { ensureProbeService, leadTo, removeProbeService } from './probe-service.ts';
import { PodPace } from './troubles.ts';

/** Time for watcher pods to start, image pull included, in seconds. */
const START_SECONDS = 300;
/** Time for the probe Service to answer for the first time, in seconds. Without it hairpin and affinity are not looked at. */
const OWN_SECONDS = 10;
/** Time for one more look at the kernel, in seconds; where none comes, gates say so. */
const LOOK_SECONDS = 60;
const VANTAGES: readonly Vantage[] = ['host', 'pod'];

/** The two watchers of a node and what they have said so far. */
export class NodeWatch {
  view: NodeView;
  /** The view before anything was touched. */
  baseline: NodeView;
  /** Unix seconds of the node's clock when a kube-proxy process first had all its rules, by `slot@processStart`. */
  private readonly firstSync = new Map<string, number>();
  private readonly abort = new AbortController();
  private readonly follows: Promise<unknown>[] = [];
  private readonly pods: KubeObject[] = [];
  private readonly run: Runner;
  private readonly options: Omit<WatcherOptions, 'own'>;
  private own: OwnService | undefined;

  constructor(run: Runner, options: Omit<WatcherOptions, 'own'>) {
    this.run = run;
    this.options = options;
    this.view = emptyView(options.node);
    this.baseline = this.view;
  }

  /** Creates the pods and begins to follow their logs; returns at once. */
  async start(): Promise<void> {
    const { node } = this.options;
    // Without it everything else is looked at all the same.
    this.own = await this.trying('probe Service', () => ensureProbeService(this.run, node));
    const options = this.own ? { ...this.options, own: this.own } : this.options;
    for (const vantage of VANTAGES) {
      const pod = await createFresh(this.run, watcherPod(options, vantage));
      this.pods.push(pod);
      this.follows.push(this.follow(vantage, pod));
    }
  }

  /** What fails is told by the gates that lack it. */
  private async trying<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!this.abort.signal.aborted) this.trouble(what, error);
      return undefined;
    }
  }

  private trouble(what: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.view = { ...this.view, troubles: [...this.view.troubles, `${what}: ${message}`].slice(-20) };
  }

  private async follow(vantage: Vantage, pod: KubeObject): Promise<void> {
    await this.trying(`watcher ${vantage}`, () =>
      this.run.cluster.followLog(
        { namespace: NAMESPACE, pod: pod.metadata.name },
        line => {
          const observation = parseObservation(line);
          if (observation) this.take(vantage, observation);
        },
        this.abort.signal,
      ),
    );
  }

  private take(vantage: Vantage, observation: Observation): void {
    this.view = observe(this.view, vantage, observation, this.run.clock.now());
    if (observation.kind === 'hello' && observation.echo !== undefined) this.lead(observation.echo);
    if (observation.kind !== 'proxy' || observation.processStart === null) return;
    const start = observation.processStart;
    const syncs = Object.values(observation.families).map(f => f.lastSync ?? 0);
    const key = `${observation.slot}@${start}`;
    if (syncs.length > 0 && syncs.every(s => s >= start) && !this.firstSync.has(key))
      this.firstSync.set(key, Math.max(...syncs));
  }

  private lead(address: string): void {
    this.follows.push(this.trying('probe Service', () => leadTo(this.run, this.options.node, address)));
  }

  /** Seconds from `asked` (node's clock) until the kube-proxy in `slot` had its first rules; 0 when that was not seen. */
  startSeconds(slot: 'main' | 'warm', asked: number): number {
    const first = this.firstSync.get(`${slot}@${this.view.proxy[slot]?.processStart}`);
    return first === undefined ? 0 : Math.max(0, first - asked);
  }

  /** It has completed `rounds` rounds; the one on the host has seen kube-proxy and the kernel as well. */
  private ready(rounds: number, vantage: Vantage): boolean {
    const seen = (this.view.rounds[vantage]?.rounds ?? 0) >= rounds;
    return seen && (vantage === 'pod' || this.view.kernel !== undefined);
  }

  /** What is known now is "before"; probes are counted anew from here. */
  mark(): void {
    this.baseline = this.view;
    this.view = restartRounds(this.view, this.run.clock.now());
  }

  /** Forgets what the probes said so far, and waits for `rounds` new ones. */
  async anew(rounds: number): Promise<void> {
    this.view = restartRounds(this.view, this.run.clock.now());
    await this.settled(rounds);
  }

  /**
   * For a node that is looked at again and again: what was seen since the last time is "before" from now on, `rounds` complete
   * rounds at least, and the kernel is read anew. Less is known where the watchers fell silent; gates tell.
   */
  async again(rounds: number): Promise<void> {
    const begun = this.run.clock.now();
    await this.told('the watchers on', START_SECONDS, () => VANTAGES.every(vantage => this.ready(rounds, vantage)));
    this.mark();
    await this.told('a look at the kernel of', LOOK_SECONDS, () => this.kernelReadAt() >= begun);
  }

  /** Somebody has spoken and does not any more. */
  isSilent(): boolean {
    const now = this.run.clock.now();
    return VANTAGES.some(vantage => now - (this.view.seenAt[vantage] ?? now) > SILENCE_MS);
  }

  /** Waits no longer than `seconds`, nor for those who say nothing any more. */
  private async told(what: string, seconds: number, done: () => boolean): Promise<void> {
    const { clock, waitFor } = this.run;
    const end = clock.monotonic() + seconds * 1000;
    await waitFor(`${what} ${this.view.node}`, 2 * seconds, async () =>
      done() || this.isSilent() || clock.monotonic() > end ? true : undefined,
    );
  }

  /** When the last whole look at the kernel began, by our own clock, ms. */
  private kernelReadAt(): number {
    const { rules, offset = 0 } = this.view;
    return Math.max(...Object.values(rules).map(({ t }) => Date.parse(t) + offset));
  }

  /** Unix seconds of the node's clock. */
  now(): number {
    return nodeTime(this.view, this.run.clock.now()) / 1000;
  }

  /** The node as gates see it: `slot` is the kube-proxy to judge, asked for at `askedAt` of the node's clock. */
  inFlip(
    flip: Omit<NodeInFlip, 'name' | 'askedAt' | 'view' | 'baseline' | 'now'>,
    askedAt: number | undefined,
  ): NodeInFlip {
    const { view, baseline } = this;
    const asked = askedAt === undefined ? {} : { askedAt };
    return { name: view.node, ...flip, ...asked, view, baseline, now: this.run.clock.now() };
  }

  /**
   * Waits until the pods run and have looked: `rounds` complete rounds, kube-proxy and the kernel. With `podSeconds` the one on
   * the host is enough so long after it was ready: the pod network may be what is broken.
   */
  async settled(rounds: number, podSeconds = Number.POSITIVE_INFINITY): Promise<void> {
    const { clock, waitFor } = this.run;
    const pace = new PodPace();
    let hostAt: number | undefined;
    await waitFor(`the watchers on ${this.view.node}`, START_SECONDS, async seen => {
      const now = clock.monotonic();
      if (this.ready(rounds, 'host')) hostAt ??= now;
      if (hostAt !== undefined && (this.ready(rounds, 'pod') || now - hostAt >= podSeconds * 1000)) return true;
      if (!pace.isDue(now)) return undefined;
      for (const pod of this.waitedFor(podSeconds)) seen(await this.run.cluster.get(refOf(pod)));
      return undefined;
    });
    const end = clock.monotonic() + OWN_SECONDS * 1000;
    await waitFor(`the probe Service of ${this.view.node}`, 2 * OWN_SECONDS, async () =>
      this.hasOwn() || clock.monotonic() > end ? true : undefined,
    );
  }

  /** The pods without which nothing goes on. */
  private waitedFor(podSeconds: number): KubeObject[] {
    return podSeconds === Number.POSITIVE_INFINITY ? this.pods : this.pods.filter(pod => pod.spec.hostNetwork === true);
  }

  /** What the own Service shows has been seen, or will not be. */
  private hasOwn(): boolean {
    const { host, pod } = this.view.rounds;
    return !this.own || ((pod?.kinds.hairpin ?? 0) > 0 && (host?.kinds.affinity ?? 0) > 0);
  }

  /** Stops following and removes the pods; returns at once after the requests. */
  async stop(): Promise<void> {
    this.abort.abort();
    await Promise.all(this.follows);
    for (const pod of this.pods) await removeAtOnce(this.run, pod);
    if (this.own) await removeProbeService(this.run, this.options.node);
  }
}

export function refOf({ metadata: { name } }: KubeObject): Ref {
  return { kind: 'Pod', namespace: NAMESPACE, name };
}

/** Removes that very pod: another runner may have one of the same name by now. */
export async function removeAtOnce({ cluster }: Pick<Runner, 'cluster'>, pod: KubeObject): Promise<void> {
  const { uid = '' } = pod.metadata;
  await cluster.delete(refOf(pod), { uid, graceSeconds: 0 });
}

/** Creates a pod of ours; one of the same name, left by a run that was killed, is removed first. */
export async function createFresh(
  run: Pick<Runner, 'id' | 'cluster' | 'waitFor'>,
  pod: KubeObject,
): Promise<KubeObject> {
  const ref = refOf(pod);
  const left = await run.cluster.get(ref);
  if (left) {
    await removeAtOnce(run, left);
    await run.waitFor(`the left-over pod ${ref.name} to go`, 60, async () =>
      (await run.cluster.get(ref)) ? undefined : true,
    );
  }
  try {
    return await run.cluster.create(pod);
  } catch (error) {
    // Our own create, answered late and retried.
    const now = error instanceof ApiError && error.reason === 'AlreadyExists' ? await run.cluster.get(ref) : undefined;
    if (now?.metadata.labels?.[LABEL_RUN] === run.id) return now;
    throw error;
  }
}
