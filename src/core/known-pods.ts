// Whether kube-proxy tells pods of the cluster from other clients: kube-proxy 1.36 cmd/kube-proxy/app/server_linux.go
// getLocalDetectors. Where it does not, clients in pods are as those from outside to policy Local, but for ipvs.
import { type KubeProxyConfiguration, textOf } from './proxy-config.ts';

/** By its configuration, for clients of one family. True also where nobody read one: flags may say what is not known here. */
export function knowsPods(config: KubeProxyConfiguration | undefined, family: 'IPv4' | 'IPv6'): boolean {
  if (config === undefined) return true;
  const mode = textOf(config.detectLocalMode);
  if (mode !== '' && mode !== 'ClusterCIDR') return true;
  const ranges = textOf(config.clusterCIDR).split(',');
  return ranges.some(range => range.trim() !== '' && range.includes(':') === (family === 'IPv6'));
}
