import type { KubeObject } from '../core/cluster.ts';
import type { EndpointCounts } from '../core/endpoint-counts.ts';
import { type ServiceFacts, serviceKey } from '../core/inventory.ts';

export function serviceFacts(service: KubeObject, counts: EndpointCounts): ServiceFacts {
  const { name, namespace = '', labels = {} } = service.metadata;
  const spec = service.spec ?? {};
  const type: ServiceFacts['type'] = spec.type ?? 'ClusterIP';
  const headless = spec.clusterIP === 'None';
  const clusterIPs: string[] = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  return {
    namespace,
    name,
    type,
    proxied: !headless && type !== 'ExternalName' && !('service.kubernetes.io/service-proxy-name' in labels),
    clusterIPs: clusterIPs.filter(ip => ip !== 'None' && ip !== ''),
    externalIPs: spec.externalIPs ?? [],
    loadBalancerIPs: type === 'LoadBalancer' ? loadBalancerIPs(service) : [],
    ports: (spec.ports ?? []).map(portFacts),
    externalTrafficPolicy: spec.externalTrafficPolicy ?? 'Cluster',
    internalTrafficPolicy: spec.internalTrafficPolicy ?? 'Cluster',
    sessionAffinity: spec.sessionAffinity ?? 'None',
    sourceRanges: spec.loadBalancerSourceRanges ?? [],
    ...(spec.healthCheckNodePort ? { healthCheckNodePort: spec.healthCheckNodePort } : {}),
    ...counts.of(serviceKey({ namespace, name }), spec.ipFamilies ?? []),
  };
}

interface Port {
  name?: string;
  port: number;
  protocol?: 'TCP' | 'UDP' | 'SCTP';
  nodePort?: number;
}

function portFacts({ name = '', port, protocol = 'TCP', nodePort }: Port): ServiceFacts['ports'][number] {
  return { name, port, protocol, ...(nodePort ? { nodePort } : {}) };
}

/** With ipMode Proxy the load balancer passes node addresses on, so kube-proxy never sees its address. */
function loadBalancerIPs(service: KubeObject): string[] {
  const ingress: { ip?: string; ipMode?: string }[] = service.status?.loadBalancer?.ingress ?? [];
  return ingress.flatMap(({ ip, ipMode = 'VIP' }) => (ip && ipMode === 'VIP' ? [ip] : []));
}
