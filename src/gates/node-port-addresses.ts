import { leaves, nodesInScope, unknownMode } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { keepsNodePorts } from '../core/mode-differences.ts';
import { count, few } from '../core/words.ts';

/** iptables and ipvs answer NodePorts on all addresses of a node, nftables by default only on the primary ones. */
export const nodePortAddresses = defineGate({
  id: 'node-port-addresses',
  title: 'NodePorts answer on the same addresses as before',
  hint: 'options.nodePortAddresses: preserve in the playbook keeps them; it is the default',
  moments: ['preflight'],
  observe(look) {
    const services = look.inventory.services
      .filter(s => s.proxied && s.ports.some(p => p.nodePort !== undefined))
      .map(serviceKey);
    const nodes = nodesInScope(look).filter(n => n.externalIPs.length > 0 || perFamily(n.internalIPs) > 1);
    return { services, nodes: nodes.map(n => n.name) };
  },
  judge({ services, nodes }, look) {
    const summary =
      services.length === 0
        ? 'no NodePorts'
        : `${count(services.length, 'Service')} with NodePorts keep their addresses`;
    if (look.to !== 'nftables' || services.length === 0 || keepsNodePorts(look)) return { findings: [], summary };
    const leaving = [leaves(look, 'iptables'), leaves(look, 'ipvs')];
    if (!leaving.includes('yes')) return { findings: leaving.includes('unknown') ? [unknownMode(look)] : [], summary };
    const what = `${count(services.length, 'Service')} with NodePorts (${few(services)})`;
    const finding: Finding =
      nodes.length > 0
        ? {
            level: 'error',
            subject: 'cluster',
            message: `${what} will answer on the primary address only; ${count(nodes.length, 'node')} have others: ${few(nodes)}`,
          }
        : {
            level: 'warning',
            subject: 'cluster',
            message: `${what} will answer on the primary address only, not on virtual addresses of the nodes`,
          };
    return { findings: [finding], summary };
  },
});

/** The larger number of addresses of one family. */
function perFamily(addresses: readonly string[]): number {
  const v6 = addresses.filter(a => a.includes(':')).length;
  return Math.max(v6, addresses.length - v6);
}
