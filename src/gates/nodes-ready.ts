import { nodesInScope } from '../core/evidence.ts';
import { defineGate } from '../core/gate.ts';
import { count } from '../core/words.ts';

export const nodesReady = defineGate({
  id: 'nodes-ready',
  title: 'Every node is Ready',
  hint: 'repair these nodes or list them in order.exclude of the playbook; a node that is not Ready cannot be proven',
  moments: ['preflight'],
  observe: look => nodesInScope(look),
  judge(nodes) {
    const findings = nodes
      .filter(n => !n.ready)
      .map(n => ({ level: 'error' as const, subject: `node ${n.name}`, message: 'is not Ready' }));
    return { findings, summary: count(nodes.length, 'node') };
  },
});
