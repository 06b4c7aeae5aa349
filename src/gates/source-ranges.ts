import { leaves } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { few } from '../core/words.ts';

/** loadBalancerSourceRanges: ipvs filters after it has chosen the endpoint, by address, so Services that share one interfere. */
export const sourceRanges = defineGate({
  id: 'source-ranges',
  title: 'loadBalancerSourceRanges let in the same clients',
  hint: 'try the load balancer address from within and from outside the ranges after the first batch',
  moments: ['preflight'],
  observe(look) {
    const behind = look.inventory.services.filter(s => s.proxied && s.type === 'LoadBalancer');
    const addresses = behind.flatMap(s => s.loadBalancerIPs.map(ip => ({ ip, key: serviceKey(s) })));
    const byAddress = Map.groupBy(addresses, ({ ip }) => ip);
    return behind
      .filter(s => s.sourceRanges.length > 0)
      .map(s => {
        const key = serviceKey(s);
        const there = s.loadBalancerIPs.flatMap(ip => byAddress.get(ip) ?? []).map(other => other.key);
        return { key, shares: [...new Set(there)].filter(other => other !== key) };
      });
  },
  judge(services, look) {
    const summary = services.length === 0 ? 'no Service has any' : `${services.length} Services filter as before`;
    const leaving = leaves(look, 'ipvs');
    const findings = services.flatMap(({ key, shares }): Finding[] => {
      const subject = `service ${key}`;
      if (look.to === 'ipvs' && shares.length > 0) {
        return [
          {
            level: 'error',
            subject,
            message: `shares its address with ${few(shares)}, and in ipvs its source ranges act on both`,
          },
        ];
      }
      if (look.to !== 'ipvs' && leaving === 'no') return [];
      const message = 'ipvs applies source ranges to connections from the nodes themselves differently';
      return [{ level: 'warning', subject, message }];
    });
    return { findings, summary };
  },
});
