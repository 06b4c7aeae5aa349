import type { KubeObject } from '../core/cluster.ts';
import { isPartOfFlip, nothingBefore, scopeOfLook } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { inNamespaces } from '../core/in-namespaces.ts';
import type { Playbook } from '../core/playbook.ts';
import { count, few } from '../core/words.ts';

/** The pods of a namespace, reduced while they stream in: most are ready and have never restarted. */
interface Pods {
  all: number;
  /** Names by UID. */
  readonly unready: Map<string, string>;
  /** By UID, those that have restarted. */
  readonly restarts: Map<string, { readonly name: string; readonly times: number }>;
}

type Seen = ReadonlyMap<string, Pods>;

export const workloads = defineGate<Seen>({
  id: 'workloads',
  title: 'Pods behind the Services stay ready and do not restart',
  hint: "'kubectl describe pod' and 'kubectl logs --previous' tell why; 'proxyctl rollback' puts the node back",
  moments: ['after-node', 'after-batch'],
  standsFor: 5,
  compares: true,
  async observe(look) {
    const seen = new Map<string, Pods>();
    for await (const pod of inNamespaces(look.cluster, 'Pod', scopeOfLook(look).namespaces)) {
      if (!isPartOfFlip(pod, look)) add(seen, pod);
    }
    return seen;
  },
  judge(seen, look, before) {
    const pods = [...seen.values()].reduce((sum, { all }) => sum + all, 0);
    const summary = `${count(pods, 'pod')} in ${count(seen.size, 'namespace')}`;
    if (!before) return { findings: [nothingBefore(look)], summary };
    const limits = look.playbook.gates.workloads;
    const findings = [...seen].flatMap(([namespace, now]) => {
      const then = before.get(namespace);
      const said = [...restarted(now, then, limits), ...unready(now, then, limits)];
      return said.map((s): Finding => ({ ...s, subject: `namespace ${namespace}` }));
    });
    return { findings, summary };
  },
});

type Limits = Playbook['gates']['workloads'];
type Said = Pick<Finding, 'level' | 'message'>;

/** Pods that were not ready before may be in a crash loop: that they restart once more says nothing. */
function restarted(now: Pods, then: Pods | undefined, { restarts }: Limits): Said[] {
  const more = [...now.restarts].filter(([uid, { times }]) => times > (then?.restarts.get(uid)?.times ?? 0));
  const known = Map.groupBy(more, ([uid]) => (then?.unready.has(uid) ? 'unready' : 'well'));
  const said = (which: 'unready' | 'well', level: Finding['level'], how: string): Said[] => {
    const names = (known.get(which) ?? []).map(([, { name }]) => name);
    if (names.length < Math.min(restarts.warn, restarts.fail)) return [];
    return [{ level, message: `${count(names.length, 'pod')} restarted${how}: ${few(names, 3)}` }];
  };
  const level = (known.get('well')?.length ?? 0) >= restarts.fail ? 'error' : 'warning';
  const wereNot = known.get('unready')?.length === 1 ? 'was not' : 'were not';
  return [...said('well', level, ''), ...said('unready', 'warning', ` that ${wereNot} ready before either`)];
}

function unready(now: Pods, then: Pods | undefined, { unready }: Limits): Said[] {
  const names = [...now.unready].filter(([uid]) => !then?.unready.has(uid)).map(([, name]) => name);
  const share = names.length / now.all;
  if (names.length === 0 || share < Math.min(unready.warn, unready.fail)) return [];
  const level = share >= unready.fail ? 'error' : 'warning';
  return [{ level, message: `${names.length} of ${count(now.all, 'pod')} are not ready any more: ${few(names, 3)}` }];
}

interface PodStatus {
  phase?: string;
  conditions?: { type?: string; status?: string }[];
  containerStatuses?: { restartCount?: number }[];
}

/** Pods that have ended, or are about to, say nothing about the network. */
function add(seen: Map<string, Pods>, { metadata, status: said }: KubeObject): void {
  const { namespace = '', name, uid = name, deletionTimestamp, ownerReferences } = metadata;
  const status: PodStatus = said ?? {};
  if (deletionTimestamp !== undefined || status.phase === 'Succeeded' || status.phase === 'Failed') return;
  const pods = seen.get(namespace) ?? { all: 0, unready: new Map(), restarts: new Map() };
  seen.set(namespace, pods);
  pods.all++;
  // A Job begins when its time has come, and takes it: that its new pods are not ready yet says nothing.
  const ofJob = ownerReferences?.some(owner => owner.kind === 'Job') === true;
  const isReady = status.conditions?.some(c => c.type === 'Ready' && c.status === 'True') === true;
  if (!isReady && !ofJob) pods.unready.set(uid, name);
  const times = (status.containerStatuses ?? []).reduce((sum, { restartCount = 0 }) => sum + restartCount, 0);
  if (times > 0) pods.restarts.set(uid, { name, times });
}
