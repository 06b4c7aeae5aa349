import { nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import type { NodeFacts } from '../core/inventory.ts';
import { NAMESPACE } from '../core/names.ts';
import { count, few } from '../core/words.ts';

/** At once on a node in its flip: both watchers, and the warm kube-proxy or the sweeper. */
const NEEDED = 3;

/** Pods that name their node pass by the scheduler: it is the kubelet that counts them. */
export const podSlots = defineGate({
  id: 'pod-slots',
  title: 'Every node has room for the pods of its flip',
  hint: 'move pods to other nodes, or raise maxPods of the kubelet',
  moments: ['preflight'],
  observe: look => nodesInScope(look).filter(n => n.mode !== look.to),
  judge(nodes) {
    const findings = nodes.flatMap((node): Finding[] => {
      const { maxPods } = node;
      if (maxPods === undefined) return [];
      const free = Math.max(0, maxPods - podsOn(node));
      if (free >= NEEDED) return [];
      const room = `has room for ${free === 0 ? 'none' : free} of the ${count(NEEDED, 'pod')} of its flip (${maxPods} pods at most)`;
      const refused =
        'its kubelet refuses watchers (OutOfpods), or ends a pod of somebody else for the warm kube-proxy';
      return [{ level: 'error', subject: `node ${node.name}`, message: `${room}: ${refused}` }];
    });
    const unknown = nodes.filter(n => n.maxPods === undefined).map(n => n.name);
    if (unknown.length > 0) {
      const message = `how many pods ${count(unknown.length, 'node takes', 'nodes take')} is not known: ${few(unknown)}`;
      findings.push({ level: 'inconclusive', subject: 'cluster', message });
    }
    return { findings, summary: `${NEEDED} more pods fit on each of ${count(nodes.length, 'node')}` };
  },
});

/** Pods of ours that stand there already are among those that are needed. */
function podsOn({ pods }: NodeFacts): number {
  return Object.entries(pods).reduce((sum, [namespace, number]) => sum + (namespace === NAMESPACE ? 0 : number), 0);
}
