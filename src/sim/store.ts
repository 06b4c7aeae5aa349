// All objects, with resource versions and the events that watchers see. Stored objects are never changed in place.
import { KINDS, type Kind, type KubeObject } from '../core/cluster.ts';
import { equalJson } from './json-patch.ts';

export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly kind: Kind;
  readonly object: KubeObject;
  readonly before?: KubeObject;
  readonly version: number;
}

/** Events kept for watches that start from an earlier version. */
const HISTORY = 20_000;

interface Shelf {
  readonly objects: Map<string, KubeObject>;
  /** Keys in order; undefined after one came or went. */
  order?: string[] | undefined;
}

export class Store {
  private readonly shelves = new Map<Kind, Shelf>();
  private readonly listeners = new Set<(event: StoreEvent) => void>();
  private history: StoreEvent[] = [];
  private forgotten = 0;
  private last = 100;

  constructor() {
    for (const kind of Object.keys(KINDS) as Kind[]) this.shelves.set(kind, { objects: new Map() });
  }

  /** The newest resource version. */
  get version(): number {
    return this.last;
  }

  /** Writes so far: reading commands must leave it as it is. */
  get writes(): number {
    return this.last - 100;
  }

  get(kind: Kind, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.shelf(kind).objects.get(keyOf(kind, namespace, name));
  }

  /** In the order of keys, from behind `after`. */
  list(kind: Kind, namespace?: string, after?: string): KubeObject[] {
    const shelf = this.shelf(kind);
    shelf.order ??= [...shelf.objects.keys()].sort();
    const prefix = namespace && KINDS[kind].namespaced ? `${namespace}/` : '';
    const found: KubeObject[] = [];
    for (const key of shelf.order) {
      if (!key.startsWith(prefix) || (after !== undefined && key <= after)) continue;
      const object = shelf.objects.get(key);
      if (object) found.push(object);
    }
    return found;
  }

  /** Every object, kind by kind. */
  dump(): KubeObject[] {
    return [...this.shelves.keys()].flatMap(kind => this.list(kind));
  }

  /** Stores a new or changed object under the next resource version. The caller has checked what may be written. */
  put(object: KubeObject): KubeObject {
    const kind = object.kind as Kind;
    const shelf = this.shelf(kind);
    const key = keyOf(kind, object.metadata.namespace, object.metadata.name);
    const before = shelf.objects.get(key);
    const version = ++this.last;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    shelf.objects.set(key, stored);
    if (!before) shelf.order = undefined;
    this.tell({ type: before ? 'MODIFIED' : 'ADDED', kind, object: stored, version, ...(before ? { before } : {}) });
    return stored;
  }

  /** Edits a copy and stores it when it differs. Returns undefined when the object is gone. */
  mutate(
    kind: Kind,
    namespace: string | undefined,
    name: string,
    edit: (copy: KubeObject) => void,
  ): KubeObject | undefined {
    const before = this.get(kind, namespace, name);
    if (!before) return undefined;
    const copy = structuredClone(before);
    edit(copy);
    return equalJson(copy, before) ? before : this.put(copy);
  }

  /** Takes the object away, at once. */
  remove(object: KubeObject): boolean {
    const kind = object.kind as Kind;
    const shelf = this.shelf(kind);
    const key = keyOf(kind, object.metadata.namespace, object.metadata.name);
    const before = shelf.objects.get(key);
    if (!before || before.metadata.uid !== object.metadata.uid) return false;
    shelf.objects.delete(key);
    shelf.order = undefined;
    const version = ++this.last;
    const gone = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
    this.tell({ type: 'DELETED', kind, object: gone, before, version });
    return true;
  }

  subscribe(listener: (event: StoreEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Events of a kind after a version; undefined when they are forgotten. */
  since(kind: Kind, version: number): StoreEvent[] | undefined {
    if (version < this.forgotten) return undefined;
    return this.history.filter(event => event.kind === kind && event.version > version);
  }

  private shelf(kind: Kind): Shelf {
    const shelf = this.shelves.get(kind);
    if (!shelf) throw new Error(`no such kind: ${kind}`);
    return shelf;
  }

  private tell(event: StoreEvent): void {
    this.history.push(event);
    if (this.history.length > 2 * HISTORY) {
      this.history = this.history.slice(-HISTORY);
      this.forgotten = this.history[0]?.version ?? this.last;
    }
    for (const listener of [...this.listeners]) listener(event);
  }
}

export function keyOf(kind: Kind, namespace: string | undefined, name: string): string {
  return KINDS[kind].namespaced ? `${namespace ?? ''}/${name}` : name;
}
