// Keeps EndpointSlices true to their pods: not ready, gone.
import type { KubeObject } from '../core/cluster.ts';
import { isReady } from './daemonset-controller.ts';
import type { Store, StoreEvent } from './store.ts';
import type { Timers } from './timers.ts';

interface Endpoint {
  addresses: string[];
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  targetRef?: { uid?: string };
}

export class EndpointsController {
  private readonly store: Store;
  private readonly timers: Timers;
  private readonly lag: number;
  /** Slice by pod UID. */
  private readonly slices = new Map<string, { namespace: string | undefined; name: string }>();

  constructor(store: Store, timers: Timers, lag: number) {
    this.store = store;
    this.timers = timers;
    this.lag = lag;
    store.subscribe(event => this.onEvent(event));
  }

  private onEvent({ kind, type, object, before }: StoreEvent): void {
    if (kind === 'EndpointSlice' && type !== 'DELETED') this.index(object);
    if (kind !== 'Pod' || !this.slices.has(object.metadata.uid ?? '')) return;
    const changed = type === 'DELETED' || !before || serves(object) !== serves(before);
    if (changed) this.timers.after(this.lag, () => this.update(object));
  }

  private index({ metadata: { namespace, name }, endpoints }: KubeObject): void {
    const list: Endpoint[] = endpoints ?? [];
    for (const { targetRef } of list) if (targetRef?.uid) this.slices.set(targetRef.uid, { namespace, name });
  }

  private update({ metadata: { namespace, name, uid = '' } }: KubeObject): void {
    const slice = this.slices.get(uid);
    if (!slice) return;
    const now = this.store.get('Pod', namespace, name);
    const pod = now?.metadata.uid === uid ? now : undefined;
    if (!pod) this.slices.delete(uid);
    this.store.mutate('EndpointSlice', slice.namespace, slice.name, copy => {
      const endpoints: Endpoint[] = copy.endpoints ?? [];
      copy.endpoints = endpoints
        .filter(endpoint => pod !== undefined || endpoint.targetRef?.uid !== uid)
        .map(endpoint => {
          if (!pod || endpoint.targetRef?.uid !== uid) return endpoint;
          const terminating = pod.metadata.deletionTimestamp !== undefined;
          const conditions = { ready: serves(pod), serving: isReady(pod), terminating };
          return { ...endpoint, addresses: [pod.status?.podIP ?? endpoint.addresses[0]], conditions };
        });
    });
  }
}

function serves(pod: KubeObject): boolean {
  return isReady(pod) && !pod.metadata.deletionTimestamp;
}
