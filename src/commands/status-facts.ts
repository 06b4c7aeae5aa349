// What `status` reads of a cluster besides its inventory: a few lists and named objects, nothing of which is secret.
import type { Cluster, KubeObject } from '../core/cluster.ts';
import { configuredMode } from '../core/configured-mode.ts';
import type { Inventory } from '../core/inventory.ts';
import { MODES, type Mode } from '../core/mode.ts';
import { LABEL_MODE, LABEL_PART, NAMESPACE, PARTS, SHADOW_NAME } from '../core/names.ts';
import type { Original } from '../core/original.ts';
import { type NodeState, nodeState, type RunRecord } from '../core/run-state.ts';
import type { StatusFacts } from '../core/status.ts';
import { doingOf } from '../core/steering.ts';
import { parseConfig } from '../drivers/config-text.ts';
import { leaseOf } from '../run/ask-runner.ts';
import { describeHolder } from '../run/lease.ts';

const WATCHERS: ReadonlySet<string> = new Set([PARTS.watcherHost, PARTS.watcherPod, PARTS.sweeper]);

export async function statusFacts(
  cluster: Cluster,
  inventory: Inventory,
  record: RunRecord | undefined,
): Promise<StatusFacts> {
  const states = new Map<string, NodeState>();
  for await (const node of cluster.list('Node')) {
    const state = nodeState(node);
    if (state) states.set(node.metadata.name, state);
  }
  const warm = new Set<string>();
  const watchers: string[] = [];
  for await (const pod of cluster.list('Pod', { labelSelector: LABEL_PART })) {
    const part = pod.metadata.labels?.[LABEL_PART] ?? '';
    if (part === PARTS.warm) warm.add(String(pod.spec?.nodeName));
    if (WATCHERS.has(part) && pod.metadata.namespace === NAMESPACE) watchers.push(pod.metadata.name);
  }
  const { objects, configModes } = await besideProxy(cluster, inventory);
  const original = record ? await originalOf(cluster, record) : undefined;
  const lease = record ? await leaseOf(cluster) : undefined;
  const holder = lease ? describeHolder(lease) : '';
  return {
    inventory,
    record,
    holder,
    doing: doingOf(lease),
    states,
    configModes,
    warm,
    watchers: watchers.sort(),
    objects,
    original,
  };
}

/** kube-proxy's own DaemonSet as it is now; the run's record says which that is. */
async function originalOf(cluster: Cluster, { originals }: RunRecord): Promise<Original> {
  const { namespace = '', name } = originals.daemonSet.metadata;
  let stands: Original['stands'] = 'gone';
  for await (const set of cluster.list('DaemonSet', { namespace }))
    if (set.metadata.name === name && !set.metadata.deletionTimestamp)
      stands = keepsOff(set) ? 'kept off' : 'not kept off';
  return { name: `${namespace}/${name}`, stands };
}

/** kube-proxy's configurations by ConfigMap, and what of ours stands beside its own objects. */
async function besideProxy(
  cluster: Cluster,
  inventory: Inventory,
): Promise<Pick<StatusFacts, 'objects' | 'configModes'>> {
  const { daemonSet, configMap } = inventory.proxy;
  const objects: string[] = [];
  const configModes = new Map<string, Mode>();
  if (!daemonSet || !configMap) return { objects, configModes };
  const { namespace } = daemonSet;
  const read = (name: string, text: string) => {
    const mode = modeOf(text, daemonSet.image);
    if (mode) configModes.set(name, mode);
  };
  read(configMap.name, configMap.text);
  for (const name of [...MODES.map(mode => `${configMap.name}-${mode}`), SHADOW_NAME]) {
    const map = await cluster.get({ kind: 'ConfigMap', namespace, name });
    if (!map || map.metadata.labels?.[LABEL_PART] === undefined) continue;
    objects.push(`configmap ${namespace}/${name}`);
    if (name !== SHADOW_NAME) read(name, String(map.data?.[configMap.key] ?? ''));
  }
  for await (const set of cluster.list('DaemonSet', { namespace })) {
    if (set.metadata.labels?.[LABEL_PART] !== undefined) objects.push(`daemonset ${namespace}/${set.metadata.name}`);
    else if (set.metadata.uid === daemonSet.uid && keepsOff(set))
      objects.push(`the affinity in daemonset ${namespace}/${set.metadata.name} that keeps it off labelled nodes`);
  }
  return { objects: objects.sort(), configModes };
}

/** A configuration that cannot be read says nothing. */
function modeOf(text: string, image: string): Mode | undefined {
  try {
    return configuredMode(parseConfig(text), image);
  } catch {
    return undefined;
  }
}

function keepsOff(daemonSet: KubeObject): boolean {
  return JSON.stringify(daemonSet.spec?.template?.spec?.affinity ?? {}).includes(`"${LABEL_MODE}"`);
}
