// kubelet of one node: its pods, and what the Node object says about it.
import type { KubeObject } from '../core/cluster.ts';
import type { SimNode } from './node.ts';
import { PodWorker } from './pod-worker.ts';
import { now } from './registry.ts';
import type { StoreEvent } from './store.ts';
import type { World } from './world.ts';

const PRESSURE_TAINT = 'node.kubernetes.io/memory-pressure';
/** Between two evictions under pressure, ms (10 s in truth). */
const EVICTION_MS = 10_000;

export class Kubelet {
  readonly node: SimNode;
  private readonly world: World;
  private readonly workers = new Map<string, PodWorker>();
  private readonly stopping = new Set<string>();
  /** Ends the evictions. */
  private calm = (): void => {};

  constructor(node: SimNode, world: World) {
    this.node = node;
    this.world = world;
  }

  /** An event of a pod of this node. */
  onPod({ type, object }: StoreEvent): void {
    const uid = object.metadata.uid ?? '';
    if (type === 'DELETED') {
      this.forget(uid);
      return;
    }
    if (object.metadata.deletionTimestamp) {
      this.stop(object);
      return;
    }
    if (this.workers.has(uid)) return;
    const worker = new PodWorker(object, this.node, this.world);
    this.workers.set(uid, worker);
    if (object.status?.phase === 'Running') worker.adopt();
    else if (object.status?.phase === 'Pending') worker.start();
  }

  private stop(pod: KubeObject): void {
    const uid = pod.metadata.uid ?? '';
    if (this.stopping.has(uid)) return;
    if (this.node.frozen || this.node.down) {
      this.world.timers.after(this.world.speed.podStop, () => {
        const now = this.world.registry.store.get('Pod', pod.metadata.namespace, pod.metadata.name);
        if (now?.metadata.uid === uid) this.stop(now);
      });
      return;
    }
    this.stopping.add(uid);
    this.workers.get(uid)?.stop();
    this.world.timers.after(this.world.speed.podStop, () => {
      this.stopping.delete(uid);
      this.world.registry.store.remove(pod);
    });
  }

  private forget(uid: string): void {
    this.workers.get(uid)?.stop();
    this.workers.delete(uid);
    this.world.logs.forget(uid);
  }

  /** Writes whether the node is Ready; pods of a node that nobody hears from are not ready either. */
  tellReady(ready: boolean, reason = ready ? 'KubeletReady' : 'NodeStatusUnknown'): void {
    const { store } = this.world.registry;
    store.mutate('Node', undefined, this.node.name, copy => {
      const conditions: { type: string; status: string }[] = copy.status.conditions;
      const at = conditions.findIndex(c => c.type === 'Ready');
      const condition = { type: 'Ready', status: ready ? 'True' : 'Unknown', reason, lastTransitionTime: now() };
      if (conditions[at]?.status !== condition.status) conditions[at] = condition;
    });
    for (const worker of this.workers.values()) worker.report(ready);
  }

  /** Memory runs short. Critical pods stay, all others of ours go, one after the other. */
  pressure(on: boolean): void {
    const { node, world } = this;
    this.calm();
    world.registry.store.mutate('Node', undefined, node.name, copy => {
      const others = (copy.spec.taints ?? []).filter((taint: { key: string }) => taint.key !== PRESSURE_TAINT);
      const taint = { key: PRESSURE_TAINT, effect: 'NoSchedule' };
      copy.spec = { ...copy.spec, taints: on ? [...others, taint] : others };
      if (copy.spec.taints.length === 0) delete copy.spec.taints;
      const conditions = copy.status.conditions.filter((c: { type: string }) => c.type !== 'MemoryPressure');
      const condition = { type: 'MemoryPressure', status: on ? 'True' : 'False', lastTransitionTime: now() };
      copy.status.conditions = [...conditions, condition];
    });
    if (!on) return;
    const evict = () => {
      for (const worker of this.workers.values()) if (worker.evict()) return;
    };
    evict();
    this.calm = world.timers.every(EVICTION_MS, evict);
  }

  /** Kernel emptied, processes gone, and back after a while. */
  reboot(): void {
    const { node, world } = this;
    node.down = true;
    for (const worker of this.workers.values()) worker.kill();
    node.reboot();
    this.tellReady(false);
    world.timers.after(world.speed.reboot, () => {
      node.down = false;
      for (const worker of this.workers.values()) worker.revive();
      this.tellReady(true);
    });
  }

  /** Ends every process. */
  close(): void {
    this.calm();
    for (const worker of this.workers.values()) worker.stop();
  }
}
