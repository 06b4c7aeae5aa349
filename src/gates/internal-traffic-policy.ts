import { leaves, nodesInScope, unknownMode } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { readyOn, type ServiceFacts, serviceKey } from '../core/inventory.ts';
import { count, few } from '../core/words.ts';

/** ipvs serves such a Service from all endpoints when it is also reached from outside; the other modes keep the promise and drop. */
export const internalTrafficPolicy = defineGate({
  id: 'internal-traffic-policy',
  title: 'internalTrafficPolicy: Local does not begin to drop',
  hint: 'run an endpoint on every node that calls the Service, or set internalTrafficPolicy: Cluster',
  moments: ['preflight'],
  observe(look) {
    const nodes = nodesInScope(look).map(n => n.name);
    return look.inventory.services
      .filter(s => s.proxied && s.internalTrafficPolicy === 'Local' && isReachedFromOutside(s))
      .map(s => ({ key: serviceKey(s), without: nodes.filter(name => readyOn(s, name) === 0) }))
      .filter(s => s.without.length > 0);
  },
  judge(services, look) {
    const summary = 'no Service depends on it';
    if (services.length === 0) return { findings: [], summary };
    if (look.to === 'ipvs') {
      const findings = services.map(({ key }): Finding => {
        const message = 'ipvs ignores internalTrafficPolicy: Local for Services that are also reached from outside';
        return { level: 'warning', subject: `service ${key}`, message };
      });
      return { findings, summary };
    }
    const leaving = leaves(look, 'ipvs');
    if (leaving === 'no') return { findings: [], summary };
    if (leaving === 'unknown') return { findings: [unknownMode(look)], summary };
    const findings = services.map(({ key, without }): Finding => {
      const message = `works from ${count(without.length, 'node')} without a local endpoint only because ipvs ignores internalTrafficPolicy: Local; in ${look.to} it is dropped there (${few(without)})`;
      return { level: 'error', subject: `service ${key}`, message };
    });
    return { findings, summary };
  },
});

function isReachedFromOutside(s: ServiceFacts): boolean {
  return s.type === 'NodePort' || s.type === 'LoadBalancer' || s.externalIPs.length > 0;
}
