// What the driver asks of the cluster about kube-proxy's pods and revisions.
import type { KubeObject, Ref } from '../../core/cluster.ts';
import type { FlipNode, RunContext, SeenPod } from '../../core/driver.ts';
import { WaitedInVain } from '../../core/errors.ts';
import { MODES, type Mode } from '../../core/mode.ts';
import { LABEL_MODE, LABEL_PART, LABEL_RUN, PARTS } from '../../core/names.ts';
import { modeDaemonSetName, warmPodName } from './objects.ts';

/** Longest wait for a pod to come or go, in seconds; convergence has its own limit in the playbook. */
export const POD_SECONDS = 180;

export function namespaceOf(run: RunContext): string {
  return run.originals.daemonSet.metadata.namespace ?? 'kube-system';
}

/** kube-proxy pods of a node that a DaemonSet made, the original one or ours, and those that a deleted one has left behind. */
export async function proxyPods(run: RunContext, node: string): Promise<KubeObject[]> {
  const daemonSets = new Set([
    run.originals.daemonSet.metadata.name,
    ...MODES.map(m => modeDaemonSetName(run.originals, m)),
  ]);
  const found: KubeObject[] = [];
  for await (const pod of run.cluster.list('Pod', {
    namespace: namespaceOf(run),
    fieldSelector: `spec.nodeName=${node}`,
  })) {
    const owner = pod.metadata.ownerReferences?.find(o => o.controller && o.kind === 'DaemonSet');
    if (owner ? daemonSets.has(owner.name) : isOrphan(pod, run.originals.daemonSet)) found.push(pod);
  }
  return found;
}

/** The DaemonSet's by its labels, and nobody's since somebody deleted that with `--cascade=orphan`. */
function isOrphan({ metadata }: KubeObject, { spec }: KubeObject): boolean {
  const wanted = Object.entries(spec.selector?.matchLabels ?? {});
  const nobodys = !metadata.ownerReferences?.some(o => o.controller);
  return nobodys && wanted.length > 0 && wanted.every(([key, value]) => metadata.labels?.[key] === value);
}

/** The pod of the node's home, the running one where there are two. */
export async function homePod(run: RunContext, node: FlipNode): Promise<KubeObject | undefined> {
  const name = node.home === 'mode' ? modeDaemonSetName(run.originals, node.to) : run.originals.daemonSet.metadata.name;
  const pods = await proxyPods(run, node.name);
  const own = pods.filter(p => p.metadata.ownerReferences?.some(o => o.controller && o.name === name));
  return own.find(isRunning) ?? own.find(p => p.metadata.deletionTimestamp === undefined);
}

export function warmPodOf(run: RunContext, { name }: Pick<FlipNode, 'name'>): Promise<KubeObject | undefined> {
  return run.cluster.get({ kind: 'Pod', namespace: namespaceOf(run), name: warmPodName(name) });
}

/**
 * Resolves once the warm kube-proxy runs, and throws where it does not: a released node has no other, and what was proven may
 * have been a while ago. One that is just starting again has left its rules where they were.
 */
export async function warmServes(run: RunContext, node: FlipNode): Promise<void> {
  const what = `the warm kube-proxy on ${node.name}`;
  await run.waitFor(`${what} to run`, POD_SECONDS, async seen => {
    const pod = await warmPodOf(run, node);
    if (!pod) throw new WaitedInVain(`${what} was proven and ran no more when its turn came to serve alone`);
    return running(pod, seen);
  });
}

/** The pod once it runs. */
export function running(pod: KubeObject | undefined, seen: SeenPod): KubeObject | undefined {
  seen(pod);
  return pod && isRunning(pod) ? pod : undefined;
}

/** The warm kube-proxies of the run, on whatever node. */
export async function warmPods(run: RunContext): Promise<Ref[]> {
  const namespace = namespaceOf(run);
  const labelSelector = `${LABEL_RUN}=${run.id},${LABEL_PART}=${PARTS.warm}`;
  const found: Ref[] = [];
  for await (const pod of run.cluster.list('Pod', { namespace, labelSelector })) {
    found.push({ kind: 'Pod', namespace, name: pod.metadata.name });
  }
  return found;
}

export function isRunning(pod: KubeObject): boolean {
  const statuses: { state?: { running?: unknown } }[] = pod.status?.containerStatuses ?? [];
  return !pod.metadata.deletionTimestamp && statuses.length > 0 && statuses.every(s => s.state?.running);
}

export function controlledBy(pod: KubeObject, owner: KubeObject): boolean {
  return pod.metadata.ownerReferences?.some(o => o.controller && o.uid === owner.metadata.uid) ?? false;
}

export function mountsMode(pod: KubeObject, run: RunContext, mode: Mode): boolean {
  const volumes: { configMap?: { name: string } }[] = pod.spec.volumes ?? [];
  return volumes.some(v => v.configMap?.name === `${run.originals.configMap.metadata.name}-${mode}`);
}

export async function gone(run: RunContext, ref: Ref, object: KubeObject, what: string): Promise<void> {
  await run.waitFor(what, POD_SECONDS, async () => {
    const now = await run.cluster.get(ref);
    return !now || now.metadata.uid !== object.metadata.uid ? true : undefined;
  });
}

/** The hash of the revision that holds the present template of this DaemonSet. */
export async function currentHash(run: RunContext, { metadata: { uid } }: KubeObject): Promise<string> {
  let newest: KubeObject | undefined;
  for await (const revision of run.cluster.list('ControllerRevision', { namespace: namespaceOf(run) })) {
    const own = revision.metadata.ownerReferences?.some(o => o.uid === uid);
    if (own && (!newest || Number(revision.revision) > Number(newest.revision))) newest = revision;
  }
  return newest?.metadata.labels?.['controller-revision-hash'] ?? '';
}

export function holdsRule(revision: KubeObject): boolean {
  return JSON.stringify(revision.data ?? {}).includes(`"${LABEL_MODE}"`);
}
