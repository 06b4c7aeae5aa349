// Services and EndpointSlices as the API shows them, for tests.
import { type ApiService, type ApiSlice, apiService, apiSlice } from '../../src/core/api-services.ts';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { RulePlace } from '../../src/core/expected-rules.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { hintUse } from '../../src/core/topology-hints.ts';

type Json = Record<string, unknown>;

/** `shop/web` at 10.96.0.10, port `http` 80. */
export function service(
  spec: Json = {},
  over: { key?: string; labels?: Record<string, string>; status?: Json } = {},
): KubeObject {
  const [namespace = '', name = ''] = (over.key ?? 'shop/web').split('/');
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name, ...(over.labels ? { labels: over.labels } : {}) },
    spec: {
      type: 'ClusterIP',
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10'],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
      ...spec,
    },
    status: over.status ?? {},
  };
}

export interface Pod {
  ip: string;
  node?: string;
  ready?: boolean | null;
  serving?: boolean;
  terminating?: boolean;
  zones?: string[];
  nodes?: string[];
}

/** A slice of `shop/web`, port `http` 8080, with these pods. */
export function slice(pods: readonly Pod[], over: Json = {}, name = 'web-1'): KubeObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'shop', name, labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: pods.map(({ ip, node, ready, serving, terminating, zones, nodes }) => ({
      addresses: [ip],
      conditions: { ready, serving, terminating },
      nodeName: node,
      hints: { forZones: zones?.map(name => ({ name })), forNodes: nodes?.map(name => ({ name })) },
    })),
    ...over,
  };
}

export function reduced(object: KubeObject): ApiService {
  const found = apiService(object);
  if (!found) throw new Error('kube-proxy does not serve it');
  return found;
}

export function reducedSlice(object: KubeObject): ApiSlice {
  const found = apiSlice(object);
  if (!found) throw new Error('kube-proxy does not read it');
  return found;
}

export const PLACE: RulePlace = {
  node: 'n1',
  zone: 'a',
  hints: hintUse(),
  mode: 'nftables',
  addresses: ['192.168.0.1'],
  options: ruleOptions({}),
  families: ['IPv4', 'IPv6'],
};
