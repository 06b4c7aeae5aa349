// One look at nodes outside a run: short-lived watchers on the host network, which dial nobody.
import type { Clock } from '../core/clock.ts';
import type { Cluster, KubeObject } from '../core/cluster.ts';
import type { RunContext } from '../core/driver.ts';
import { ApiError } from '../core/errors.ts';
import { LABEL_PART, LABEL_RUN, LEASE, NAMESPACE, PARTS } from '../core/names.ts';
import { emptyView, type NodeView, observe } from '../core/node-view.ts';
import { type ProbeTargets, parseObservation } from '../core/observation.ts';
import { isMade } from '../core/own-namespace.ts';
import { proxyAddresses } from '../core/proxy-address.ts';
import { unraced } from '../core/unraced.ts';
import { waiter } from './engine.ts';
import { fencedCluster } from './fence.ts';
import { takeLease } from './lease.ts';
import { createFresh } from './node-watch.ts';
import { watcherPod } from './pods.ts';
import { ensureNamespace, findRecord } from './record.ts';
import { PodPace } from './troubles.ts';

const AT_ONCE = 16;
/** Time for a watcher to start and to look, image pull included, in seconds. */
const LOOK_SECONDS = 120;
const GONE_SECONDS = 180;
const ADVICE = 'see the pods in namespace proxyctl';
const LOOK_MAP = 'proxyctl-look';
const NO_TARGETS: ProbeTargets = { version: 1, targets: [] };

export interface LookOptions {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly image: string;
  readonly nodes: readonly string[];
  /** The shared KubeProxyConfiguration, parsed. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  /** The run that stands in the cluster. Without one our namespace is made for the look, and goes after it. */
  readonly run: string | undefined;
  /** Who looks, for people: the command. */
  readonly holder: string;
  /** Keys of addresses and ports to which the ways are told. */
  readonly trace?: readonly string[];
  /** Ends the look; what it put on nodes is taken away then. */
  readonly stop: AbortSignal;
  /** Ends that, too. */
  readonly kill: AbortSignal;
}

type Looking = Pick<RunContext, 'id' | 'cluster' | 'clock' | 'waitFor' | 'signal'> &
  Pick<LookOptions, 'image' | 'trace' | 'proxyConfig'>;

/**
 * What the kernel and the kube-proxy of each node tell; a text says why one could not be looked at. Nothing of it stays.
 * Throws the reason of `stop` when that aborts, and ProxyctlError 25 when somebody took the Lease from a look that slept.
 */
export async function lookAtNodes(options: LookOptions): Promise<Map<string, NodeView | string>> {
  const { clock, run, holder, stop, kill } = options;
  await ensureNamespace(options.cluster, clock);
  // A run that begins meanwhile would lose its record with the namespace.
  const held = run === undefined ? await takeLease(options.cluster, clock, { holder }) : undefined;
  const cluster = held ? fencedCluster(options.cluster, held) : options.cluster;
  const until = (signal: AbortSignal): Looking => ({
    ...options,
    id: run ?? 'look',
    cluster,
    signal,
    waitFor: waiter({ append: () => undefined }, clock, signal, ADVICE),
  });
  try {
    const alone = held !== undefined && (await findRecord(cluster)) === undefined;
    try {
      return await lookAtAll(until(AbortSignal.any([stop, kill, ...(held ? [held.lost] : [])])), options.nodes);
    } finally {
      await cluster.delete({ kind: 'ConfigMap', namespace: NAMESPACE, name: LOOK_MAP });
      if (alone) await leave(until(kill));
    }
  } finally {
    await held?.release();
  }
}

async function lookAtAll(looking: Looking, nodes: readonly string[]): Promise<Map<string, NodeView | string>> {
  await writeTargets(looking);
  const views = new Map<string, NodeView | string>();
  const queue = nodes.values();
  const work = async () => {
    // The workers share the iterator, so each node is taken once.
    for (const node of queue) views.set(node, await lookAt(looking, node));
  };
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  looking.signal.throwIfAborted();
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
  return views;
}

async function writeTargets({ id, cluster }: Looking): Promise<void> {
  const labels = { [LABEL_PART]: PARTS.targets, [LABEL_RUN]: id };
  const metadata = { name: LOOK_MAP, namespace: NAMESPACE, labels };
  const data = { 'targets.json': JSON.stringify(NO_TARGETS) };
  try {
    await cluster.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
  } catch (error) {
    // Of a look that was killed: always the same.
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
  }
}

async function lookAt(looking: Looking, node: string): Promise<NodeView | string> {
  const { cluster, clock, signal } = looking;
  signal.throwIfAborted();
  const pod = lookPod(looking, node);
  const ref = { kind: 'Pod' as const, namespace: NAMESPACE, name: pod.metadata.name };
  const done = new AbortController();
  let view = emptyView(node);
  try {
    await createFresh(looking, pod);
    const follow = cluster.followLog(
      { namespace: NAMESPACE, pod: ref.name },
      line => {
        const observation = parseObservation(line);
        if (observation) view = observe(view, 'host', observation, clock.now());
        if (isWhole(view)) done.abort();
      },
      done.signal,
    );
    const pace = new PodPace(clock.monotonic());
    const whole = looking.waitFor(`the look at ${node}`, LOOK_SECONDS, async seen => {
      if (!done.signal.aborted && pace.isDue(clock.monotonic())) seen(await cluster.get(ref));
      return done.signal.aborted ? true : undefined;
    });
    await Promise.race([follow, whole]);
  } catch (error) {
    if (!isWhole(view)) return view.troubles.at(-1) ?? (error instanceof Error ? error.message : String(error));
  } finally {
    done.abort();
    await cluster.delete(ref, { graceSeconds: 0 });
  }
  return isWhole(view) ? view : (view.troubles.at(-1) ?? 'its watcher ended without a word');
}

function isWhole(view: NodeView): boolean {
  return view.kernel !== undefined && view.proxy.main !== undefined;
}

/** The host watcher under a name of its own, so that those of a run under way stay. */
function lookPod({ id, image, proxyConfig, trace = [] }: Looking, node: string): KubeObject {
  const main = proxyAddresses(proxyConfig);
  const pod = watcherPod({ run: id, image, node, main, trace }, 'host');
  pod.metadata.name = `look-${node}`.slice(0, 253);
  pod.metadata.labels = { ...pod.metadata.labels, [LABEL_PART]: PARTS.look };
  pod.spec.volumes = [{ name: 'targets', configMap: { name: LOOK_MAP } }];
  pod.spec.activeDeadlineSeconds = 2 * LOOK_SECONDS;
  return pod;
}

/** Our namespace away, or only our Lease where the namespace was given to us. */
async function leave(looking: Looking): Promise<void> {
  const { cluster, waitFor } = looking;
  const ref = { kind: 'Namespace' as const, name: NAMESPACE };
  // Whether it is still ours to take away, the Lease is asked before each delete.
  const goes = await unraced(looking, async () => {
    const namespace = await cluster.get(ref);
    if (!namespace) return false;
    if (!isMade(namespace)) {
      await cluster.delete({ kind: 'Lease', namespace: NAMESPACE, name: LEASE });
      return false;
    }
    const { uid, resourceVersion } = namespace.metadata;
    await cluster.delete(ref, { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) });
    return true;
  });
  if (!goes) return;
  await waitFor(`namespace ${NAMESPACE} to go`, GONE_SECONDS, async () =>
    (await cluster.get(ref)) ? undefined : true,
  );
}
