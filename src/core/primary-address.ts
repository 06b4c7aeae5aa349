// The address that kube-proxy takes for a node's own, one a family; `primary` in nodePortAddresses means these. Source: kube-proxy
// 1.36 cmd/kube-proxy/app/server.go `detectNodeIPs`.
import type { NodeFacts } from './inventory.ts';
import { isWildcard } from './proxy-address.ts';
import { type KubeProxyConfiguration, textOf } from './proxy-config.ts';
import { shortAddress } from './service-port.ts';

type NodeAddresses = Pick<NodeFacts, 'internalIPs' | 'externalIPs'>;

/** `bindAddress`, where it is one address and not all of them; empty otherwise. */
export function boundTo(config: KubeProxyConfiguration | undefined): string {
  const address = shortAddress(textOf(config?.bindAddress));
  return isWildcard(address) ? '' : address;
}

/**
 * The first of the family that the node object has, internal ones before external ones, unless kube-proxy is bound to another.
 * Undefined where it knows none but the loopback: NodePorts that answer on `primary` then do on every address of the family.
 */
export function primaryAddress(node: NodeAddresses, isIPv6: boolean, bound: string): string | undefined {
  const isOfFamily = (address: string) => address.includes(':') === isIPv6;
  const given = bound !== '' && isOfFamily(bound) ? bound : [...node.internalIPs, ...node.externalIPs].find(isOfFamily);
  return given === undefined || isLoopback(given) ? undefined : given;
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^127\./.test(address);
}
