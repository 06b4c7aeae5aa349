// What goes when something else went: dependents of owners, contents of namespaces; and what comes with a namespace.
import { KINDS, type Kind, type KubeObject } from '../core/cluster.ts';
import type { Registry } from './registry.ts';
import { StatusError } from './status.ts';
import type { Store, StoreEvent } from './store.ts';
import type { Timers } from './timers.ts';

const NAMESPACED = (Object.keys(KINDS) as Kind[]).filter(kind => KINDS[kind].namespaced);

export class GarbageCollector {
  private readonly store: Store;
  private readonly registry: Registry;
  private readonly timers: Timers;
  private readonly lag: number;

  constructor(registry: Registry, timers: Timers, lag: number) {
    this.store = registry.store;
    this.registry = registry;
    this.timers = timers;
    this.lag = lag;
    this.store.subscribe(event => this.onEvent(event));
  }

  private onEvent({ type, kind, object }: StoreEvent): void {
    if (type === 'DELETED') this.timers.after(this.lag, () => this.collect(object));
    if (kind !== 'Namespace') return;
    if (type === 'ADDED') this.timers.after(this.lag, () => this.furnish(object));
    if (type === 'MODIFIED' && object.metadata.deletionTimestamp) this.timers.after(this.lag, () => this.empty(object));
  }

  /** Deletes what only the object that went has owned. */
  private collect(owner: KubeObject): void {
    for (const kind of Object.keys(KINDS) as Kind[]) {
      for (const object of this.store.list(kind, owner.metadata.namespace)) {
        if (!object.metadata.ownerReferences?.some(o => o.uid === owner.metadata.uid)) continue;
        const others = object.metadata.ownerReferences.filter(o => o.uid !== owner.metadata.uid);
        if (others.length > 0) this.store.put({ ...object, metadata: { ...object.metadata, ownerReferences: others } });
        else this.remove(kind, object);
      }
    }
  }

  /** What controllers put into every new namespace. */
  private furnish({ metadata: { name } }: KubeObject): void {
    const namespace = this.store.get('Namespace', undefined, name);
    if (!namespace || namespace.metadata.deletionTimestamp) return;
    const add = (object: KubeObject) => {
      const kind = object.kind as Kind;
      if (!this.store.get(kind, name, object.metadata.name)) this.registry.create(object, kind, name);
    };
    add({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } });
    add({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-root-ca.crt', namespace: name },
      data: { 'ca.crt': '' },
    });
  }

  /** Deletes the contents; the namespace goes when nothing is left. */
  private empty(namespace: KubeObject): void {
    const { name, uid } = namespace.metadata;
    if (this.store.get('Namespace', undefined, name)?.metadata.uid !== uid) return;
    let left = 0;
    for (const kind of NAMESPACED) {
      for (const object of this.store.list(kind, name)) {
        if (!object.metadata.deletionTimestamp) this.remove(kind, object);
        if (this.store.get(kind, name, object.metadata.name)) left++;
      }
    }
    if (left === 0) this.store.remove(namespace);
    else this.timers.after(this.lag, () => this.empty(namespace));
  }

  private remove(kind: Kind, object: KubeObject): void {
    const { namespace, name, uid } = object.metadata;
    try {
      this.registry.delete({ kind, namespace, name }, uid === undefined ? {} : { preconditions: { uid } });
    } catch (error) {
      // Somebody else was quicker.
      if (!(error instanceof StatusError)) throw error;
    }
  }
}
