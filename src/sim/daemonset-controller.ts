// The DaemonSet controller: one pod on each node that the template asks for.
import type { KubeObject } from '../core/cluster.ts';
import type { Registry } from './registry.ts';
import { currentRevision, HASH_LABEL, ownerOf } from './revisions.ts';
import { matchesSelector, wantsNode } from './selectors.ts';
import { StatusError } from './status.ts';
import { keyOf, type Store, type StoreEvent } from './store.ts';
import type { Timers } from './timers.ts';

export class DaemonSetController {
  private readonly registry: Registry;
  private readonly store: Store;
  private readonly timers: Timers;
  private readonly lag: () => number;
  private readonly queued = new Set<string>();
  /** By namespace. */
  private readonly pods = new Map<string, Map<string, KubeObject>>();

  constructor(registry: Registry, timers: Timers, lag: () => number) {
    this.registry = registry;
    this.store = registry.store;
    this.timers = timers;
    this.lag = lag;
    this.store.subscribe(event => this.onEvent(event));
  }

  private onEvent({ kind, type, object, before }: StoreEvent): void {
    if (kind === 'DaemonSet' && type !== 'DELETED') this.enqueue(object);
    if (kind === 'Node' && (type !== 'MODIFIED' || !sameLabels(object, before)))
      for (const set of this.store.list('DaemonSet')) this.enqueue(set);
    if (kind === 'Pod') {
      this.index(type, object);
      for (const set of this.store.list('DaemonSet', object.metadata.namespace)) {
        if (controllerUid(object) === set.metadata.uid || selects(set, object)) this.enqueue(set);
      }
    }
  }

  private index(type: StoreEvent['type'], pod: KubeObject): void {
    const { namespace = '', name } = pod.metadata;
    let pods = this.pods.get(namespace);
    if (!pods) {
      pods = new Map();
      this.pods.set(namespace, pods);
    }
    if (type === 'DELETED') pods.delete(name);
    else pods.set(name, pod);
  }

  private enqueue({ metadata: { namespace, name } }: KubeObject): void {
    const key = keyOf('DaemonSet', namespace, name);
    if (this.queued.has(key)) return;
    this.queued.add(key);
    this.timers.after(this.lag(), () => {
      this.queued.delete(key);
      const daemonSet = this.store.get('DaemonSet', namespace, name);
      if (daemonSet && !daemonSet.metadata.deletionTimestamp) this.sync(daemonSet);
    });
  }

  private sync(daemonSet: KubeObject): void {
    const pods = this.claim(daemonSet);
    const inUse = new Set(pods.map(pod => pod.metadata.labels?.[HASH_LABEL] ?? ''));
    const hash = currentRevision(this.registry, daemonSet, inUse);
    const byNode = Map.groupBy(pods, pod => String(pod.spec.nodeName ?? ''));
    const wanted: string[] = [];
    for (const node of this.store.list('Node'))
      if (wantsNode(daemonSet.spec.template.spec, node)) wanted.push(node.metadata.name);
    for (const [node, own] of byNode) this.tidy(own, wanted.includes(node));
    for (const node of wanted) if (!byNode.has(node)) this.createPod(daemonSet, node, hash);
    if (daemonSet.spec.updateStrategy.type === 'RollingUpdate') this.roll(daemonSet, wanted, byNode, hash);
    this.writeStatus(daemonSet, wanted, hash);
  }

  /** The pods of this DaemonSet. Strays that its selector matches are adopted, those that it no longer matches are let go. */
  private claim(daemonSet: KubeObject): KubeObject[] {
    const { namespace = '', uid } = daemonSet.metadata;
    const own: KubeObject[] = [];
    for (const pod of this.pods.get(namespace)?.values() ?? []) {
      const matches = selects(daemonSet, pod);
      const controller = controllerUid(pod);
      if (controller === uid && matches) own.push(pod);
      else if (controller === uid && !pod.metadata.deletionTimestamp)
        this.setOwners(pod, others => others.filter(o => o.uid !== uid));
      else if (controller === undefined && matches && !pod.metadata.deletionTimestamp) {
        const adopted = this.setOwners(pod, others => [...others, ownerOf(daemonSet)]);
        if (adopted) own.push(adopted);
      }
    }
    return own;
  }

  private setOwners(
    pod: KubeObject,
    change: (owners: ReturnType<typeof ownerOf>[]) => ReturnType<typeof ownerOf>[],
  ): KubeObject | undefined {
    return this.store.mutate('Pod', pod.metadata.namespace, pod.metadata.name, copy => {
      copy.metadata.ownerReferences = change(copy.metadata.ownerReferences ?? []);
    });
  }

  /** Pods of a node that is not wanted go, so do failed ones and all but the oldest. */
  private tidy(pods: KubeObject[], wanted: boolean): void {
    const failed = pods.filter(pod => pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded');
    const rest = pods
      .filter(pod => !failed.includes(pod) && !pod.metadata.deletionTimestamp)
      .sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1));
    for (const pod of [...failed, ...(wanted ? rest.slice(1) : rest)]) this.deletePod(pod);
  }

  private createPod(daemonSet: KubeObject, node: string, hash: string): void {
    const { name, namespace = '', generation } = daemonSet.metadata;
    const { template } = daemonSet.spec;
    const spec = structuredClone(template.spec);
    spec.nodeName = node;
    const onNode = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }] };
    spec.affinity = { ...spec.affinity, nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: onNode } };
    const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash, 'pod-template-generation': String(generation) };
    const { annotations } = template.metadata ?? {};
    const metadata = {
      generateName: `${name}-`,
      namespace,
      labels,
      ...(annotations ? { annotations } : {}),
      ownerReferences: [ownerOf(daemonSet)],
    };
    // generateName gives the name.
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: '', ...metadata }, spec };
    try {
      this.registry.create(pod, 'Pod', namespace);
    } catch (error) {
      // The namespace goes.
      if (!(error instanceof StatusError)) throw error;
    }
  }

  private deletePod({ metadata: { namespace, name, uid = '', deletionTimestamp } }: KubeObject): void {
    if (deletionTimestamp) return;
    this.registry.delete({ kind: 'Pod', namespace, name }, { preconditions: { uid } });
  }

  /** Replaces pods of an old template, so many at a time that not more than maxUnavailable are missing. */
  private roll(
    daemonSet: KubeObject,
    wanted: readonly string[],
    byNode: ReadonlyMap<string, KubeObject[]>,
    hash: string,
  ): void {
    const limit = limitOf(daemonSet.spec.updateStrategy.rollingUpdate?.maxUnavailable ?? 1, wanted.length);
    let missing = 0;
    const old: KubeObject[] = [];
    for (const node of wanted) {
      const pods = byNode.get(node) ?? [];
      const pod = pods.find(p => !p.metadata.deletionTimestamp);
      const ready = pod !== undefined && isReady(pod);
      if (!ready) missing++;
      if (!pod || pod.metadata.labels?.[HASH_LABEL] === hash) continue;
      // One that serves nobody may go whatever the limit says.
      if (!ready) this.deletePod(pod);
      else old.push(pod);
    }
    for (const pod of old.slice(0, Math.max(0, limit - missing))) this.deletePod(pod);
  }

  private writeStatus(daemonSet: KubeObject, wanted: readonly string[], hash: string): void {
    const { namespace, name, uid, generation } = daemonSet.metadata;
    const pods = [...(this.pods.get(namespace ?? '')?.values() ?? [])].filter(
      p => controllerUid(p) === uid && !p.metadata.deletionTimestamp,
    );
    const placed = pods.filter(pod => wanted.includes(pod.spec.nodeName));
    const ready = placed.filter(isReady).length;
    const status = {
      currentNumberScheduled: placed.length,
      numberMisscheduled: pods.length - placed.length,
      desiredNumberScheduled: wanted.length,
      numberReady: ready,
      observedGeneration: generation,
      updatedNumberScheduled: placed.filter(pod => pod.metadata.labels?.[HASH_LABEL] === hash).length,
      ...(ready > 0 ? { numberAvailable: ready } : {}),
      ...(wanted.length > ready ? { numberUnavailable: wanted.length - ready } : {}),
    };
    this.store.mutate('DaemonSet', namespace, name, copy => {
      if (copy.metadata.uid === uid) copy.status = status;
    });
  }
}

function limitOf(value: number | string, of: number): number {
  return typeof value === 'number' ? value : Math.max(1, Math.ceil((Number.parseInt(value, 10) / 100) * of));
}

function selects(daemonSet: KubeObject, pod: KubeObject): boolean {
  return matchesSelector(daemonSet.spec.selector, pod.metadata.labels ?? {});
}

function controllerUid(pod: KubeObject): string | undefined {
  return pod.metadata.ownerReferences?.find(owner => owner.controller)?.uid;
}

export function isReady(pod: KubeObject): boolean {
  const conditions: { type: string; status: string }[] = pod.status?.conditions ?? [];
  return conditions.some(c => c.type === 'Ready' && c.status === 'True');
}

function sameLabels(a: KubeObject, b: KubeObject | undefined): boolean {
  return JSON.stringify(a.metadata.labels) === JSON.stringify(b?.metadata.labels);
}
