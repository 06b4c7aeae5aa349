import { nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import type { NodeFacts } from '../core/inventory.ts';
import { boundAddresses, isWildcard, WARM } from '../core/proxy-address.ts';
import { hostPort, shortAddress } from '../core/service-port.ts';
import { count, few } from '../core/words.ts';

/** Its mode and its syncs are asked of kube-proxy itself, on the node: without them a flip would never be believed. */
export const proxyAddress = defineGate({
  id: 'proxy-address',
  title: 'kube-proxy can be asked on every node for its mode',
  hint: 'leave metricsBindAddress and healthzBindAddress empty: kube-proxy takes the loopback of the right family',
  moments: ['preflight'],
  observe: look => ({ bound: boundAddresses(look.proxyConfig ?? {}), nodes: nodesInScope(look) }),
  judge({ bound: { metrics, healthz }, nodes }) {
    const summary = `metrics at ${hostPort(metrics.address, metrics.port)}`;
    const findings: Finding[] = [];
    const fields = { metricsBindAddress: metrics, healthzBindAddress: healthz };
    for (const [field, { address, port }] of Object.entries(fields)) {
      const subject = `option ${field}`;
      if (port === WARM.metrics.port || port === WARM.healthz.port)
        findings.push({ level: 'error', subject, message: `${port} is a port that the warm kube-proxy takes` });
      const without = everywhere(address) ? [] : nodes.filter(node => !isOf(node, address));
      if (without.length === 0) continue;
      // Addresses that the API does not name may be on every node.
      const level = nodes.some(node => isOf(node, address)) ? 'error' : 'inconclusive';
      const message = `${address} is no address that the API names of ${count(without.length, 'node')} (${few(without.map(n => n.name))}): where it is none of the node's own, nobody can ask kube-proxy`;
      findings.push({ level, subject, message });
    }
    return { findings, summary };
  },
});

function everywhere(address: string): boolean {
  return isWildcard(address) || address === '::1' || address.startsWith('127.');
}

function isOf({ internalIPs, externalIPs }: NodeFacts, address: string): boolean {
  return [...internalIPs, ...externalIPs].some(own => shortAddress(own) === shortAddress(address));
}
