// Whether kube-proxy tells pods of the cluster from other clients: kube-proxy 1.36 cmd/kube-proxy/app/server_linux.go
// getLocalDetectors. Where it does not, clients in pods are as those from outside to policy Local, but for ipvs.

/**
 * By the text of its configuration, for clients of one family. True also where there is no text: flags may say what nobody read
 * here.
 */
export function knowsPods(config: string | undefined, family: 'IPv4' | 'IPv6'): boolean {
  if (config === undefined) return true;
  const mode = textAt(config, 'detectLocalMode');
  if (mode !== '' && mode !== 'ClusterCIDR') return true;
  const ranges = textAt(config, 'clusterCIDR').split(',');
  return ranges.some(range => range.trim() !== '' && range.includes(':') === (family === 'IPv6'));
}

/** Of a key at the root; empty for none. */
function textAt(config: string, key: string): string {
  const [, value = ''] = new RegExp(`^${key}:[ \\t]*["']?([^"'#\\n]*)`, 'm').exec(config) ?? [];
  return ['null', '~'].includes(value.trim()) ? '' : value.trim();
}
