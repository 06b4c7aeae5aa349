import { leaves, nodesInScope, unknownMode } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { readyOn, serviceKey } from '../core/inventory.ts';
import { few } from '../core/words.ts';

/** Only ipvs lacks the short way from within the cluster to a load balancer address under externalTrafficPolicy: Local. */
export const externalTrafficPolicy = defineGate({
  id: 'external-traffic-policy',
  title: 'externalTrafficPolicy: Local means the same to clients in the cluster',
  hint: 'let clients in the cluster use the name of the Service and not its load balancer address',
  moments: ['preflight'],
  observe(look) {
    const nodes = nodesInScope(look).map(n => n.name);
    return look.inventory.services
      .filter(
        s =>
          s.proxied &&
          s.externalTrafficPolicy === 'Local' &&
          (s.loadBalancerIPs.length > 0 || s.externalIPs.length > 0),
      )
      .map(s => ({ key: serviceKey(s), without: nodes.filter(name => readyOn(s, name) === 0) }))
      .filter(s => s.without.length > 0);
  },
  judge(services, look) {
    const summary = 'no Service depends on it';
    if (services.length === 0) return { findings: [], summary };
    if (look.to === 'ipvs') {
      const findings = services.map(({ key, without }): Finding => {
        const message = `in ipvs its outside address does not answer clients on nodes without a local endpoint (${few(without)})`;
        return { level: 'error', subject: `service ${key}`, message };
      });
      return { findings, summary };
    }
    const leaving = leaves(look, 'ipvs');
    if (leaving === 'unknown') return { findings: [unknownMode(look)], summary };
    if (leaving === 'no' && look.to !== 'nftables') return { findings: [], summary };
    const findings = services.map(({ key, without }): Finding => {
      const where = `on nodes without a local endpoint (${few(without)})`;
      const message =
        leaving === 'yes'
          ? `${where} ipvs passed traffic from outside to the endpoints of others; ${look.to} drops it`
          : `clients in the cluster may get no answer from its outside address ${where}, kubernetes issue 131765`;
      return { level: 'warning', subject: `service ${key}`, message };
    });
    return { findings, summary };
  },
});
