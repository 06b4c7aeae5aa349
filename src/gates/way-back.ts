import { nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { isMode } from '../core/mode.ts';
import { noWayBack } from '../core/way-back.ts';
import { count } from '../core/words.ts';

/** Flipping a node that cannot go back is legal, and has to be wanted. */
export const wayBack = defineGate({
  id: 'way-back',
  title: 'Every node can be brought back to what it is now',
  hint: "'proxyctl migrate' asks for these nodes by name (--one-way); order.exclude in the playbook leaves them alone",
  moments: ['preflight'],
  observe: look => nodesInScope(look).filter(node => isMode(node.mode) && node.mode !== look.to),
  judge(nodes, look) {
    const facts = { proxy: look.inventory.proxy, config: look.proxyConfig };
    const findings = nodes.flatMap((node): Finding[] => {
      const why = isMode(node.mode) ? noWayBack(node, node.mode, facts) : undefined;
      if (why === undefined) return [];
      return [{ level: 'warning', subject: `node ${node.name}`, message: `has no way back: ${why}` }];
    });
    if (!look.proxyConfig) {
      const message = 'was not read, so nobody knows what a rollback would start';
      findings.push({ level: 'inconclusive', subject: 'configuration', message });
    }
    return { findings, summary: count(nodes.length, 'node') };
  },
});
