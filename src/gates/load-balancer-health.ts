import { defineGate, type Finding } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { count, few } from '../core/words.ts';

/** Load balancers judge a node by ports that kube-proxy itself opens, and those close while it is replaced. */
export const loadBalancerHealth = defineGate({
  id: 'load-balancer-health',
  title: 'Load balancers keep the nodes while kube-proxy restarts',
  hint: 'keep batches small (batch.nodes, order.nodesPerZone) and watch the targets of the load balancer in the first batch',
  moments: ['preflight'],
  observe(look) {
    const behind = look.inventory.services.filter(s => s.proxied && s.type === 'LoadBalancer');
    return {
      all: behind.map(serviceKey),
      checked: behind.filter(s => s.healthCheckNodePort !== undefined).map(serviceKey),
    };
  },
  judge({ all, checked }, look) {
    const findings: Finding[] = [];
    if (all.length > 0) {
      const message = `health ports refuse connections for some seconds on each node; balancers of ${count(all.length, 'Service')} may take it out: ${few(all)}`;
      findings.push({ level: 'warning', subject: 'cluster', message });
    }
    if (checked.length > 0 && look.to === 'nftables' && look.playbook.options.nodePortAddresses === 'default') {
      const message = `health check NodePorts will answer on the primary address only, for ${count(checked.length, 'Service')}: ${few(checked)}`;
      findings.push({ level: 'warning', subject: 'cluster', message });
    }
    return { findings, summary: 'no Services of type LoadBalancer' };
  },
});
