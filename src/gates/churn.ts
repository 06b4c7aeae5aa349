import type { KubeObject } from '../core/cluster.ts';
import { isPartOfFlip, scopeOfLook } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { inNamespaces } from '../core/in-namespaces.ts';
import { count } from '../core/words.ts';

/** Whatever breaks while two things change has two possible reasons. */
export const churn = defineGate<Finding[]>({
  id: 'churn',
  title: 'No rollout runs in the namespaces that the node reaches',
  hint: "'kubectl rollout status' shows how far it is; the node waits for gates.churn.wait, then 'proxyctl migrate' goes on",
  moments: ['before-node', 'prove'],
  standsFor: 5,
  patience: playbook => playbook.gates.churn.wait,
  async observe(look) {
    const { namespaces } = scopeOfLook(look);
    const findings: Finding[] = [];
    for (const kind of ['Deployment', 'StatefulSet', 'DaemonSet'] as const) {
      for await (const object of inNamespaces(look.cluster, kind, namespaces)) {
        const progress = isPartOfFlip(object, look) ? undefined : PROGRESS[kind](object, look);
        const subject = `${kind.toLowerCase()} ${object.metadata.namespace}/${object.metadata.name}`;
        if (progress) findings.push({ level: 'inconclusive', subject, message: `is rolling out: ${progress}` });
      }
    }
    return findings;
  },
  judge(findings, look) {
    return { findings, summary: `none in ${count(scopeOfLook(look).namespaces.size, 'namespace')}` };
  },
});

/** How far a rollout is, in words; undefined when none runs, or one that nobody drives any more. */
const PROGRESS = { Deployment: deployment, StatefulSet: statefulSet, DaemonSet: daemonSet };

const NOT_SEEN = 'its controller has not seen its latest change';

function isNew({ metadata, status }: KubeObject): boolean {
  return (status?.observedGeneration ?? 0) < (metadata.generation ?? 0);
}

function deployment(object: KubeObject): string | undefined {
  const { spec = {}, status = {} } = object;
  const conditions: { type?: string; reason?: string }[] = status.conditions ?? [];
  const reason = conditions.find(c => c.type === 'Progressing')?.reason;
  if (spec.paused) return undefined;
  if (isNew(object)) return NOT_SEEN;
  if (reason === 'ProgressDeadlineExceeded') return undefined;
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status;
  const wanted: number = spec.replicas ?? 1;
  if (updatedReplicas < wanted) return `${updatedReplicas} of ${count(wanted, 'pod')} updated`;
  if (replicas > updatedReplicas) return `${count(replicas - updatedReplicas, 'old pod')} left`;
  // Once it has succeeded, a pod that is not available is no rollout.
  if (reason === 'NewReplicaSetAvailable' || availableReplicas >= updatedReplicas) return undefined;
  return `${availableReplicas} of ${count(updatedReplicas, 'updated pod')} available`;
}

function statefulSet(object: KubeObject): string | undefined {
  const { spec = {}, status = {} } = object;
  if (spec.updateStrategy?.type === 'OnDelete') return undefined;
  if (isNew(object)) return NOT_SEEN;
  const { updatedReplicas = 0, currentRevision, updateRevision } = status;
  const partition: number = spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  const wanted = Math.max(0, (spec.replicas ?? 1) - partition);
  // Below a partition old pods are meant to stay, and the two revisions to differ.
  if (wanted === 0) return undefined;
  // The revisions differ for as long as one of its pods is not ready; once all are updated, that is no rollout.
  const open = updatedReplicas < wanted && (partition > 0 || currentRevision !== updateRevision);
  return open ? `${updatedReplicas} of ${count(wanted, 'pod')} updated` : undefined;
}

function daemonSet(object: KubeObject, { inventory }: Look): string | undefined {
  const { spec = {}, status = {} } = object;
  if (spec.updateStrategy?.type === 'OnDelete') return undefined;
  if (isNew(object)) return NOT_SEEN;
  const { updatedNumberScheduled = 0, desiredNumberScheduled = 0 } = status;
  // Nobody updates the pod on a node that is not Ready.
  const waiting = inventory.nodes.filter(node => !node.ready).length;
  if (updatedNumberScheduled + waiting >= desiredNumberScheduled) return undefined;
  return `${updatedNumberScheduled} of ${count(desiredNumberScheduled, 'pod')} updated`;
}
