// Nodes that came while a run was under way, and those that left. The original DaemonSet serves who came, in the mode of the
// shared configuration.
import type { KubeObject } from '../core/cluster.ts';
import type { RunContext } from '../core/driver.ts';
import { type EffectiveMode, LOG_HEAD_BYTES, modeInLog } from '../core/mode.ts';
import { count, few } from '../core/words.ts';
import type { Ending } from './phase.ts';

export interface Newcomer {
  readonly name: string;
  readonly mode: EffectiveMode;
}

export interface Arrivals {
  /** Linux nodes that the plan neither flips nor left alone, other machines of the same name among them. */
  readonly joined: readonly Newcomer[];
  /** Names of the plan that no node bears any more. */
  readonly gone: readonly string[];
}

/** Who came since the plan was made, and who left it. */
export async function arrivals(run: RunContext): Promise<Arrivals> {
  const { plan, cluster } = run;
  const planned = new Map(plan.batches.flatMap(b => b.nodes.map(n => [n.name, n.uid] as const)));
  const skipped = new Set(plan.skipped.map(n => n.name));
  const gone = new Set(planned.keys());
  const names = new Set<string>();
  for await (const { metadata, status } of cluster.list('Node')) {
    gone.delete(metadata.name);
    const os = status?.nodeInfo?.operatingSystem ?? 'linux';
    const known = planned.has(metadata.name) ? planned.get(metadata.name) === metadata.uid : skipped.has(metadata.name);
    if (!known && os === 'linux') names.add(metadata.name);
  }
  return { joined: names.size === 0 ? [] : await withModes(run, names), gone: [...gone].sort() };
}

/** By name, with the mode that their kube-proxy's log tells. */
async function withModes({ cluster, originals }: RunContext, names: ReadonlySet<string>): Promise<Newcomer[]> {
  const pods = new Map<string, KubeObject>();
  const { name: daemonSet, namespace = '' } = originals.daemonSet.metadata;
  for await (const pod of cluster.list('Pod', { namespace })) {
    const own = pod.metadata.ownerReferences?.some(o => o.controller && o.name === daemonSet);
    if (own && names.has(pod.spec.nodeName)) pods.set(pod.spec.nodeName, pod);
  }
  const found: Newcomer[] = [];
  for (const name of [...names].sort()) {
    const pod = pods.get(name)?.metadata.name;
    found.push({ name, mode: pod === undefined ? 'unknown' : await modeOf(cluster, namespace, pod) });
  }
  return found;
}

/** The pod may be too young to have a log, or its node away. */
async function modeOf(cluster: RunContext['cluster'], namespace: string, pod: string): Promise<EffectiveMode> {
  try {
    return modeInLog(await cluster.log({ namespace, pod, limitBytes: LOG_HEAD_BYTES })) ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

/** How a run ends that did all of its plan. */
export function doneEnding({ plan }: RunContext, { joined, gone }: Arrivals): Ending {
  const still = gone.length === 0 ? '' : ' that is still there';
  const left = gone.length === 0 ? '' : `; gone ${gone.length === 1 ? 'is' : 'are'} ${few(gone)}`;
  const reason = `every node of the plan${still} serves in mode ${plan.to}${left}`;
  if (joined.length === 0)
    return { outcome: 'done', reason, next: "'proxyctl finalize' keeps it, 'proxyctl rollback' undoes it" };
  const names = few(joined.map(({ name, mode }) => `${name} (${mode === 'unknown' ? 'mode not known' : mode})`));
  const who = count(joined.length, 'node that is not in it', 'nodes that are not in it');
  return {
    outcome: 'done',
    reason: `${reason}; since it was made joined ${who}: ${names}`,
    next: "'proxyctl migrate' without a plan file plans them, too, and brings them along; then 'proxyctl finalize' keeps it, 'proxyctl rollback' undoes it",
  };
}
