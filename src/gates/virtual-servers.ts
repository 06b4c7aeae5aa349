import { inconclusive, nodeInFlip, silence } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { inRange } from '../core/ip-ranges.ts';
import { ruleOptions } from '../core/rule-options.ts';
import { readKey } from '../core/service-port.ts';
import { count, few } from '../core/words.ts';

/**
 * Virtual servers of keepalived, kube-vip and the like. Each start of kube-proxy in nftables removes all of ip_vs (`ipvs.Flush`),
 * whatever ipvs.excludeCIDRs says; in ipvs it removes at each sync what is neither its own nor in those ranges. In iptables it
 * leaves ip_vs alone. Source: kube-proxy 1.36 `ipvs.CleanupLeftovers`, `cleanLegacyService`.
 */
export const virtualServers = defineGate({
  id: 'virtual-servers',
  title: "kube-proxy removes nobody else's virtual servers of ip_vs",
  hint: 'exclude the node (order.exclude) or move them off it; where they may go, gates.settings.virtual-servers.severity: warning',
  moments: ['preflight', 'before-node'],
  observe: look => (look.moment === 'preflight' ? undefined : { kernel: nodeInFlip(look).view.kernel }),
  judge(seen, look) {
    const { to } = look.node ?? look;
    const summary = to === 'iptables' ? 'iptables leaves ip_vs alone' : 'looked for on each node before it is touched';
    if (!seen || to === 'iptables') return { findings: [], summary };
    const node = nodeInFlip(look);
    const not = (message: string) => ({ findings: [inconclusive(node.name, message)], summary });
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary };
    const foreign = seen.kernel?.foreignServers;
    if (!foreign) return not('it is not known yet whose the virtual servers are');
    const removed = to === 'nftables' ? foreign : foreign.filter(name => isRemoved(name, look));
    if (removed.length === 0) return { findings: [], summary: "no virtual servers but kube-proxy's" };
    const when = to === 'nftables' ? 'at each of its starts' : 'unless ipvs.excludeCIDRs has their addresses';
    const message = `kube-proxy in ${to} removes ${count(removed.length, 'virtual server')} of somebody else ${when}: ${few(removed)}`;
    const findings: Finding[] = [{ level: 'error', subject: `node ${node.name}`, message }];
    return { findings, summary };
  },
});

/** By mode ipvs, which knows of no firewall marks. */
function isRemoved(name: string, { proxyConfig = {} }: Look): boolean {
  const address = readKey(name)?.address;
  return address !== undefined && !ruleOptions(proxyConfig).excludeCIDRs.some(range => inRange(address, range));
}
