import { defineGate, type Finding } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { type KubeProxyConfiguration, sectionOf, textOf } from '../core/proxy-config.ts';

/** A kube-proxy that reaches the API only through its own rules cannot come back once they are gone. */
export const apiServerAddress = defineGate({
  id: 'api-server-address',
  title: 'kube-proxy reaches the API server without its own rules',
  hint: "set the server in kube-proxy's kubeconfig to the control plane's own address or load balancer",
  moments: ['preflight'],
  observe(look) {
    const server = look.inventory.proxy.configMap?.apiServer;
    const flags = look.inventory.proxy.daemonSet?.flags ?? [];
    const inCluster = isInCluster(look.proxyConfig) && !flags.some(flag => /^--master\b/.test(flag));
    return { server, host: server === undefined ? undefined : hostOf(server), inCluster };
  },
  judge({ server, host, inCluster }, look) {
    const subject = 'kubeconfig of kube-proxy';
    const summary = `by ${host}`;
    const say = (level: Finding['level'], message: string) => ({ findings: [{ level, subject, message }], summary });
    if (inCluster)
      return say('error', 'there is none (clientConnection.kubeconfig), so it asks the Service that it serves itself');
    if (server === undefined)
      return say('inconclusive', 'is not in the ConfigMap, so the address of the API server is not known');
    if (host === undefined) return say('inconclusive', `server '${server}' is no address`);
    if (/^kubernetes(\.default(\.svc(\..*)?)?)?$/.test(host))
      return say('error', `${host} is the Service that kube-proxy itself serves`);
    const { services } = look.inventory;
    const own = services.find(s => s.clusterIPs.includes(host));
    if (own)
      return say('error', `${host} is the cluster IP of Service ${serviceKey(own)}, which kube-proxy itself serves`);
    if (!services.some(s => serviceKey(s) === 'default/kubernetes')) {
      return say('inconclusive', 'the Service default/kubernetes was not found, so its address could not be compared');
    }
    const outside = services.find(s => [...s.externalIPs, ...s.loadBalancerIPs].includes(host));
    if (outside)
      return say('warning', `${host} is an address of Service ${serviceKey(outside)}, which kube-proxy also serves`);
    return { findings: [], summary };
  },
});

/** Without a kubeconfig kube-proxy takes the address that every pod is given: that of the Service default/kubernetes. */
function isInCluster(config: KubeProxyConfiguration | undefined): boolean {
  return config !== undefined && textOf(sectionOf(config, 'clientConnection').kubeconfig) === '';
}

function hostOf(server: string): string | undefined {
  if (!URL.canParse(server)) return undefined;
  return new URL(server).hostname.replace(/^\[|\]$/g, '') || undefined;
}
