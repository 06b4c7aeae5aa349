// One pod on its node, from creation to end.
import type { KubeObject } from '../core/cluster.ts';
import { environment, expand, missingConfigMaps, mountedFiles, programOf } from './containers.ts';
import { isHostNetwork, type SimNode } from './node.ts';
import {
  allReady,
  type ContainerState,
  containerStatus,
  type Exit,
  podStatus,
  running,
  waiting,
} from './pod-status.ts';
import { now } from './registry.ts';
import type { World } from './world.ts';

export class PodWorker {
  readonly uid: string;
  private readonly pod: KubeObject;
  private readonly node: SimNode;
  private readonly world: World;
  private readonly states = new Map<string, ContainerState>();
  private readonly startTime = now();
  private podIP = '';
  private readonly life = new AbortController();
  private process = new AbortController();
  private cancel: () => void = () => {};
  private began = false;

  constructor(pod: KubeObject, node: SimNode, world: World) {
    this.pod = pod;
    this.uid = pod.metadata.uid ?? '';
    this.node = node;
    this.world = world;
    for (const container of this.containers())
      this.states.set(container.name, { ...waiting('ContainerCreating'), restarts: 0 });
  }

  private containers(): {
    name: string;
    image: string;
    imagePullPolicy?: string;
    command?: string[];
    args?: string[];
  }[] {
    return this.pod.spec.containers;
  }

  start(): void {
    this.report();
    this.cancel = this.world.timers.after(this.world.speed.podStart, () => this.tryBegin());
  }

  /** Takes over a pod that runs already. */
  adopt(): void {
    this.podIP = this.pod.status.podIP;
    this.begin();
  }

  /** Volumes and images have to be there. */
  private tryBegin(): void {
    if (this.life.signal.aborted || this.process.signal.aborted) return;
    const { timers, speed } = this.world;
    const obstacle = this.obstacle();
    if (!obstacle) {
      this.podIP = isHostNetwork(this.pod) ? this.node.ip : this.node.nextPodIP();
      this.begin();
      return;
    }
    for (const name of obstacle.containers)
      this.states.set(name, { ...this.stateOf(name), ...waiting(obstacle.reason) });
    this.report();
    this.cancel = timers.after(speed.podStart, () => this.tryBegin());
  }

  /** Why the containers cannot run yet, and which of them wait for it. */
  private obstacle(): { reason: string; containers: string[] } | undefined {
    const { registry, faults } = this.world;
    if (this.node.frozen || this.node.down) return { reason: 'ContainerCreating', containers: [] };
    if (faults.lacksPodNetwork(this.node.name) && !isHostNetwork(this.pod)) {
      return { reason: 'ContainerCreating', containers: [...this.states.keys()] };
    }
    if (missingConfigMaps(registry.store, this.pod).length > 0) {
      return { reason: 'ContainerCreating', containers: [...this.states.keys()] };
    }
    const lacking = this.containers().filter(
      c => faults.missingImages.has(c.image) || (faults.registryAway && this.hasToPull(c)),
    );
    if (lacking.length === 0) return undefined;
    const containers = lacking.map(c => c.name);
    if (lacking.some(c => c.imagePullPolicy === 'Never')) return { reason: 'ErrImageNeverPull', containers };
    const again = containers.some(name => /Image/.test(this.stateOf(name).waiting?.reason ?? ''));
    return { reason: again ? 'ImagePullBackOff' : 'ErrImagePull', containers };
  }

  private begin(): void {
    this.began = true;
    for (const { image } of this.containers()) this.node.images.add(image);
    for (const container of this.containers()) this.run(container.name, 0);
  }

  /** What is never pulled was loaded on the nodes, but for the images that are missing. */
  private hasToPull({ image, imagePullPolicy }: { image: string; imagePullPolicy?: string }): boolean {
    return imagePullPolicy === 'Always' || (imagePullPolicy !== 'Never' && !this.node.images.has(image));
  }

  private stateOf(name: string): ContainerState {
    return this.states.get(name) ?? { ...waiting('ContainerCreating'), restarts: 0 };
  }

  private run(name: string, restarts: number): void {
    const { life, process, world } = this;
    const container = this.containers().find(c => c.name === name);
    if (!container || life.signal.aborted) return;
    const log = world.logs.begin(this.uid, name);
    const pod = { ...this.pod, status: { ...this.pod.status, podIP: this.podIP, hostIP: this.node.ip } };
    const env = environment(pod, container);
    const { exit } = this.stateOf(name);
    this.states.set(name, { ...running(), restarts, ...(exit ? { exit } : {}) });
    this.report();
    const signal = AbortSignal.any([life.signal, process.signal]);
    const text = (list: string[] | undefined) => (list ?? []).map(item => expand(item, env));
    const context = {
      node: this.node,
      pod,
      name,
      command: text(container.command),
      args: text(container.args),
      env,
      files: mountedFiles(world.registry.store, this.pod, container),
      hostNetwork: isHostNetwork(pod),
      signal,
      log: (line: string) => {
        if (!log.ended) log.print(line);
      },
    };
    const startedAt = now();
    programOf(container.image)(context, world)
      .catch((error: unknown) => {
        context.log(`panic: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
        return 2;
      })
      .then(code => {
        log.end();
        // Killed by us: whoever did it says what comes next.
        if (!signal.aborted) this.ended(name, { code, startedAt, finishedAt: now() });
      });
  }

  private ended(name: string, exit: Exit): void {
    const policy: string = this.pod.spec.restartPolicy;
    const { restarts } = this.stateOf(name);
    if (policy === 'Never' || (policy === 'OnFailure' && exit.code === 0)) {
      this.states.set(name, { restarts, exit, terminated: true });
      this.report();
      return;
    }
    this.states.set(name, { ...waiting('CrashLoopBackOff'), restarts, exit });
    this.report();
    const { crashBackoff } = this.world.speed;
    this.world.timers.after(Math.min(crashBackoff * 2 ** restarts, crashBackoff * 10), () => {
      if (!this.process.signal.aborted) this.run(name, restarts + 1);
    });
  }

  /** The node went down: processes end without a word. */
  kill(): void {
    this.process.abort();
    this.cancel();
  }

  /** The node is back: containers start again, unless they are never to. */
  revive(): void {
    this.process = new AbortController();
    if (!this.began) {
      this.tryBegin();
      return;
    }
    for (const [name, state] of this.states) {
      if (state.terminated) continue;
      const exit = { code: 137, startedAt: this.startTime, finishedAt: now() };
      if (this.pod.spec.restartPolicy === 'Never')
        this.states.set(name, { restarts: state.restarts, exit, terminated: true });
      else {
        this.states.set(name, { ...state, exit });
        this.run(name, state.restarts + 1);
      }
    }
    this.report();
  }

  /** Under pressure a pod's processes end, for good; false where nothing runs, and for a pod that is critical or is made anew. */
  evict(): boolean {
    const critical = /^system-(node|cluster)-critical$/.test(this.pod.spec.priorityClassName ?? '');
    const stays = critical || (this.pod.metadata.ownerReferences?.length ?? 0) > 0;
    if (stays || !this.began || this.life.signal.aborted || this.node.frozen || this.node.down) return false;
    const { metadata } = this.pod;
    this.stop();
    this.world.registry.store.mutate('Pod', metadata.namespace, metadata.name, copy => {
      copy.status = { ...copy.status, phase: 'Failed', reason: 'Evicted' };
      delete copy.status.containerStatuses;
    });
    return true;
  }

  /** SIGTERM, and the end. */
  stop(): void {
    this.life.abort();
    this.cancel();
  }

  /** Writes the status, as far as the node can tell. `ready` false for a node that nobody hears. */
  report(ready = true): void {
    if (this.life.signal.aborted) return;
    const { metadata } = this.pod;
    const statuses = this.containers().map(c => containerStatus(c, this.uid, this.stateOf(c.name)));
    const states = [...this.states.values()];
    const ok = ready && allReady(states);
    const addresses = { podIP: this.podIP, hostIP: this.node.ip, startTime: this.startTime };
    this.world.registry.store.mutate('Pod', metadata.namespace, metadata.name, copy => {
      if (copy.metadata.uid === this.uid)
        copy.status = podStatus(copy.status, states, statuses, { ...addresses, ready: ok });
    });
  }
}
