import { leaves } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { sectionOf } from '../core/proxy-config.ts';
import { few } from '../core/words.ts';

/** ipvs puts every Service address on an interface of every node: the node owns it, answers ARP for it, accepts it as its own. */
export const externalIPs = defineGate({
  id: 'external-ips',
  title: 'External and load balancer addresses are reached by the same way',
  hint: 'to ipvs: set ipvs.strictARP: true first; from ipvs: see that routes or a load balancer lead to the addresses',
  moments: ['preflight'],
  observe(look) {
    const nodes = look.inventory.nodes.flatMap(({ name, internalIPs, externalIPs }) =>
      [...internalIPs, ...externalIPs].map(address => [address, name] as const),
    );
    return {
      nodes: new Map(nodes),
      strictARP: sectionOf(look.proxyConfig, 'ipvs').strictARP === true,
      services: look.inventory.services
        .filter(s => s.proxied && s.externalIPs.length + s.loadBalancerIPs.length > 0)
        .map(s => ({
          key: serviceKey(s),
          external: s.externalIPs.length > 0,
          addresses: [...s.externalIPs, ...s.loadBalancerIPs],
        })),
    };
  },
  judge({ nodes, strictARP, services }, look) {
    const leaving = leaves(look, 'ipvs');
    const findings = services.flatMap(({ key, external, addresses }): Finding[] => {
      const subject = `service ${key}`;
      const taken = addresses.filter(address => nodes.has(address));
      if (look.to === 'ipvs' && taken.length > 0) {
        const owners = few(taken.map(address => `${address} (${nodes.get(address)})`));
        const message = `has addresses of nodes: ${owners}; every node takes them for its own, and reaches those nodes no more`;
        const fix =
          'take node addresses out of externalIPs and load balancer addresses; no mode brings such a node back by itself';
        return [{ level: 'error', subject, message, fix }];
      }
      if (look.to === 'ipvs' && !strictARP) {
        const message = `every node will answer ARP for ${few(addresses)}, since ipvs.strictARP is not set`;
        return [{ level: 'error', subject, message }];
      }
      if (!external || leaving === 'no') return [];
      const message = `${few(addresses)} will not be on the nodes' interface kube-ipvs0 any more; ARP for it is not answered by them`;
      return [{ level: 'warning', subject, message }];
    });
    return {
      findings,
      summary: services.length === 0 ? 'no Service has any' : `${services.length} Services, served as before`,
    };
  },
});
