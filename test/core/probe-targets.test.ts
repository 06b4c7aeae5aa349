import { describe, expect, test } from 'vitest';
import { addressOfTarget, kindOfTarget, serviceOfTarget, targetId } from '../../src/core/probe-kind.ts';
import { probeTargets } from '../../src/core/probe-targets.ts';
import { inventory, service } from '../gates/looks.ts';

const ids = (services: ReturnType<typeof service>[], limit = 100) =>
  probeTargets(inventory({ services }), new Set(), limit).targets.targets.map(t => t.id);
const http = { name: 'http', port: 80, protocol: 'TCP' as const };

describe('probe targets', () => {
  test('are every address that leads to a port, in both families', () => {
    const edge = service('shop/edge', {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.7', 'fd00::7'],
      loadBalancerIPs: ['203.0.113.7'],
      externalIPs: ['198.51.100.7', '2001:db8::7'],
      ports: [{ ...http, nodePort: 30080 }],
    });
    const { targets } = probeTargets(inventory({ services: [edge] }), new Set(), 10);
    expect(targets.targets.map(t => [t.id, t.address, t.port])).toEqual([
      ['shop/edge:80/TCP', '10.96.0.7', 80],
      ['shop/edge:80/TCP@fd00::7', 'fd00::7', 80],
      ['shop/edge:80/TCP@node-port:node IPv4', 'node IPv4', 30080],
      ['shop/edge:80/TCP@node-port:node IPv6', 'node IPv6', 30080],
      ['shop/edge:80/TCP@load-balancer:203.0.113.7', '203.0.113.7', 80],
      ['shop/edge:80/TCP@external-ip:198.51.100.7', '198.51.100.7', 80],
      ['shop/edge:80/TCP@external-ip:2001:db8::7', '2001:db8::7', 80],
    ]);
  });

  test('ask the DNS Service for a name too, over both protocols, whatever it is called', () => {
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' as const },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' as const },
      { name: 'metrics', port: 9153, protocol: 'TCP' as const },
    ];
    expect(ids([service('kube-system/rke2-coredns', { ports })])).toEqual([
      'kube-system/rke2-coredns:53/UDP',
      'kube-system/rke2-coredns:53/UDP@dns',
      'kube-system/rke2-coredns:53/TCP',
      'kube-system/rke2-coredns:53/TCP@dns',
      'kube-system/rke2-coredns:9153/TCP',
    ]);
    expect(ids([service('shop/bind', { ports })])).not.toContain('shop/bind:53/UDP@dns');
  });

  test('ask the health check node port of a Service once for each family, by its first port', () => {
    const ports = [
      { ...http, protocol: 'UDP' as const },
      { ...http, name: 'tls', port: 443 },
    ];
    const edge = service('shop/edge', { clusterIPs: ['10.96.0.7', 'fd00::7'], ports, healthCheckNodePort: 32_000 });
    const { targets } = probeTargets(inventory({ services: [edge] }), new Set(), 10);
    const asked = targets.targets.filter(({ id }) => kindOfTarget(id) === 'health-check');
    expect(asked.map(t => [t.id, t.address, t.port, t.protocol])).toEqual([
      ['shop/edge:80/UDP@health-check:node IPv4', 'node IPv4', 32_000, 'TCP'],
      ['shop/edge:80/UDP@health-check:node IPv6', 'node IPv6', 32_000, 'TCP'],
    ]);
    expect(ids([service('shop/void', { readyByNode: {}, healthCheckNodePort: 32_000 })])).toEqual(['shop/void:80/TCP']);
  });

  test('leave out what nobody serves or nobody can dial, and our own', () => {
    const nodePort = { ...http, nodePort: 30080 };
    expect(ids([service('shop/void', { readyByNode: {}, ports: [nodePort] })])).toEqual(['shop/void:80/TCP']);
    expect(ids([service('shop/sctp', { ports: [{ ...http, protocol: 'SCTP' }] })])).toEqual([]);
    expect(ids([service('proxyctl/probe-1'), service('shop/headless', { proxied: false })])).toEqual([]);
  });

  test('name the Services that are beyond the limit, those in `first` before others', () => {
    const services = ['a/a', 'b/b', 'c/c'].map(key => service(key));
    const { targets, left } = probeTargets(inventory({ services }), new Set(['c/c']), 2);
    expect(targets.targets.map(t => t.id)).toEqual(['c/c:80/TCP', 'a/a:80/TCP']);
    expect(left).toEqual(['b/b']);
  });

  test('fit into a ConfigMap', () => {
    const services = Array.from({ length: 5000 }, (_, n) =>
      service(`namespace-of-some-length/service-${n}`, { ports: [{ ...http, nodePort: 30_000 }] }),
    );
    const { targets, left } = probeTargets(inventory({ services }), new Set(), 10_000);
    expect(JSON.stringify(targets).length).toBeLessThan(1_000_000);
    expect(left.length).toBeGreaterThan(0);
    expect(left.length + targets.targets.length / 2).toBe(5000);
  });
});

describe('an id', () => {
  test.each([
    ['shop/web:80/TCP', 'cluster-ip-tcp', ''],
    ['shop/web:81/UDP', 'cluster-ip-udp', ''],
    ['shop/web:81/UDP@fd00::7', 'cluster-ip-udp', ''],
    ['shop/web:80/TCP@node-port:10.0.0.1', 'node-port', '10.0.0.1'],
    ['shop/web:80/TCP@external-ip:2001:db8::7', 'external-ip', '2001:db8::7'],
    ['shop/edge:53/UDP@health-check:fd01::1', 'health-check', 'fd01::1'],
    ['kube-system/kube-dns:53/UDP@dns', 'dns', ''],
    ['proxyctl/probe-1:80/TCP@hairpin', 'hairpin', ''],
  ] as const)('%s says its kind, its address and its Service', (id, kind, address) => {
    expect([kindOfTarget(id), addressOfTarget(id)]).toEqual([kind, address]);
    expect(serviceOfTarget(id)).toBe(id.split(':')[0]);
    const port = id.replace(/@.*/, '');
    expect(targetId(port, kind, id.includes('@fd00') ? 'fd00::7' : address)).toBe(id);
  });
});
