import { leaves, nodesInScope, unknownMode } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { readyOn, type ServiceFacts, serviceKey } from '../core/inventory.ts';
import { knowsPods } from '../core/known-pods.ts';
import { few } from '../core/words.ts';

interface Concerned {
  readonly key: string;
  /** Nodes without a local endpoint. */
  readonly without: readonly string[];
  /** Whether it has load balancer or external addresses; NodePorts alone otherwise. */
  readonly hasAddresses: boolean;
}

/** Only ipvs lacks the short way from within the cluster to a load balancer address under externalTrafficPolicy: Local. */
export const externalTrafficPolicy = defineGate({
  id: 'external-traffic-policy',
  title: 'externalTrafficPolicy: Local means the same to clients in the cluster',
  hint: 'let clients in the cluster use the name of the Service and not its load balancer address or NodePort',
  moments: ['preflight'],
  observe(look) {
    const nodes = nodesInScope(look).map(n => n.name);
    return look.inventory.services
      .filter(s => s.proxied && s.externalTrafficPolicy === 'Local')
      .map(s => ({
        key: serviceKey(s),
        without: nodes.filter(name => readyOn(s, name) === 0),
        hasAddresses: s.loadBalancerIPs.length > 0 || s.externalIPs.length > 0,
        dropsPods: s.ports.some(p => p.nodePort !== undefined) && !knowsPodsOf(look, s),
      }))
      .filter(s => s.without.length > 0 && (s.hasAddresses || s.dropsPods));
  },
  judge(services, look) {
    const summary = 'no Service depends on it';
    const leaving = leaves(look, 'ipvs');
    // To ipvs, and between the others, NodePorts lose nothing.
    const concerned = services.filter(s => s.hasAddresses || (look.to !== 'ipvs' && leaving !== 'no'));
    if (concerned.length === 0) return { findings: [], summary };
    if (look.to === 'ipvs') {
      const findings = concerned.map(({ key, without }): Finding => {
        const message = `in ipvs its outside address does not answer clients on nodes without a local endpoint (${few(without)})`;
        return { level: 'error', subject: `service ${key}`, message };
      });
      return { findings, summary };
    }
    if (leaving === 'unknown') return { findings: [unknownMode(look)], summary };
    if (leaving === 'no' && look.to !== 'nftables') return { findings: [], summary };
    const findings = concerned.map(service => ({
      level: 'warning' as const,
      subject: `service ${service.key}`,
      message: warning(service, look, leaving),
    }));
    return { findings, summary };
  },
});

function warning({ without, hasAddresses }: Concerned, { to }: Look, leaving: 'yes' | 'no'): string {
  const where = `on nodes without a local endpoint (${few(without)})`;
  if (leaving === 'no')
    return `clients in the cluster may get no answer from its outside address ${where}, kubernetes issue 131765`;
  if (hasAddresses) return `${where} ipvs passed traffic from outside to the endpoints of others; ${to} drops it`;
  return `${where} ipvs led pods from its NodePorts to the endpoints of others, and kube-proxy has no clusterCIDR by which to know pods; ${to} drops them`;
}

function knowsPodsOf({ proxyConfig }: Look, { clusterIPs }: ServiceFacts): boolean {
  return clusterIPs.every(ip => knowsPods(proxyConfig, ip.includes(':') ? 'IPv6' : 'IPv4'));
}
