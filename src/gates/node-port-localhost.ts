import { leaves, unknownMode } from '../core/evidence.ts';
import { defineGate } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { sectionOf } from '../core/proxy-config.ts';
import { count, few } from '../core/words.ts';

/** Only iptables serves NodePorts on 127.0.0.1. Who uses it shows in a metric of each kube-proxy and nowhere in the API. */
export const nodePortLocalhost = defineGate({
  id: 'node-port-localhost',
  title: 'Nobody reaches NodePorts by localhost',
  hint: 'kubeproxy_iptables_localhost_nodeports_accepted_packets_total above 0 on a node means that somebody does',
  moments: ['preflight'],
  observe(look) {
    const off = sectionOf(look.proxyConfig, 'iptables').localhostNodePorts === false;
    const services = look.inventory.services.filter(s => s.proxied && s.ports.some(p => p.nodePort !== undefined));
    return { off, services: services.map(serviceKey) };
  },
  judge({ off, services }, look) {
    const leaving = leaves(look, 'iptables');
    if (off || services.length === 0 || leaving === 'no') return { findings: [], summary: 'nothing served there' };
    if (leaving === 'unknown') return { findings: [unknownMode(look)], summary: '' };
    const message = `127.0.0.1:<NodePort> stops answering on every node, for ${count(services.length, 'Service')}: ${few(services)}`;
    return { findings: [{ level: 'warning', subject: 'cluster', message }], summary: '' };
  },
});
