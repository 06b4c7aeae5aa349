import { describe, expect, it } from 'vitest';
import { exposureOf, reachOf } from '../../src/core/exposure.ts';
import type { ServiceFacts } from '../../src/core/inventory.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES } from './cluster-data.ts';

function reached(
  node: string,
  services: ServiceFacts[],
  nodes = [makeNode('a', { pods: { shop: 2 } }), makeNode('b')],
  playbook = {},
) {
  const exposure = exposureOf(makeInventory(nodes, services), makePlaybook(playbook));
  return { everywhere: [...exposure.everywhere], node: [...(exposure.byNode.get(node) ?? [])].sort() };
}

describe('exposureOf', () => {
  it('counts the Services of the namespaces whose pods run on the node', () => {
    const services = [makeService('shop/web'), makeService('shop/db'), makeService('other/web')];
    expect(reached('a', services).node).toEqual(['shop/db', 'shop/web']);
    expect(reached('b', services).node).toEqual([]);
  });

  it('does not count a namespace of which only endpoints are there, nor one with no pod left', () => {
    const services = [makeService('shop/web', { readyByNode: { b: 3 }, endpoints: 3 }), makeService('gone/web')];
    const nodes = [makeNode('a'), makeNode('b', { pods: { gone: 0 } })];
    expect(reached('b', services, nodes).node).toEqual([]);
  });

  it('counts what is not proxied nowhere', () => {
    expect(reached('a', [makeService('shop/headless', { proxied: false })]).node).toEqual([]);
  });

  it('counts those of proxyctl nowhere: they come and go with its watchers, in the middle of a run', () => {
    const nodes = [makeNode('a', { pods: { proxyctl: 2, shop: 1 } })];
    const services = [makeService('proxyctl/probe-1'), makeService('shop/web')];
    expect(reached('a', services, nodes)).toEqual({ everywhere: [], node: ['shop/web'] });
  });

  it('adds the namespaces that are called, one step far', () => {
    const services = [makeService('shop/web'), makeService('pay/api'), makeService('bank/api')];
    const playbook = { exposure: { callers: { shop: ['pay'], pay: ['bank'] } } };
    expect(reached('a', services, undefined, playbook).node).toEqual(['pay/api', 'shop/web']);
  });

  it('takes kubernetes and DNS for reached from everywhere, DNS by name or by its port', () => {
    const local = makeService('kube-system/resolver', { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] });
    const odd = makeService('shop/resolver', { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] });
    const { everywhere, node } = reached('b', [
      ...SYSTEM_SERVICES,
      makeService('kube-system/coredns'),
      local,
      odd,
      makeService('kube-system/metrics'),
    ]);
    expect(everywhere).toEqual([
      'default/kubernetes',
      'kube-system/coredns',
      'kube-system/kube-dns',
      'kube-system/resolver',
    ]);
    expect(node).toEqual([]);
  });

  it('takes Services with outside traffic for reached from everywhere when every node lets it in', () => {
    const services = [
      makeService('shop/np', { type: 'NodePort' }),
      makeService('shop/lb', { type: 'LoadBalancer' }),
      makeService('shop/ext', { externalIPs: ['192.0.2.1'] }),
    ];
    expect(reached('b', services).everywhere).toEqual(['shop/ext', 'shop/lb', 'shop/np']);
  });

  it('does not ask nodes for outside traffic that have no kube-proxy to migrate', () => {
    const nodes = [
      makeNode('a'),
      makeNode('w', { os: 'windows', loadBalancerTarget: false }),
      makeNode('c', { mode: 'none', loadBalancerTarget: false }),
    ];
    expect(reached('a', [makeService('shop/np', { type: 'NodePort' })], nodes).everywhere).toEqual(['shop/np']);
  });

  it('counts outside traffic by node when some nodes take none', () => {
    const nodes = [
      makeNode('cp', { loadBalancerTarget: false }),
      makeNode('pods', { loadBalancerTarget: false, pods: { shop: 1 } }),
      makeNode('a'),
    ];
    const services = [makeService('shop/np', { type: 'NodePort' })];
    expect(reached('a', services, nodes)).toEqual({ everywhere: [], node: ['shop/np'] });
    expect(reached('pods', services, nodes).node).toEqual(['shop/np']);
    expect(reached('cp', services, nodes).node).toEqual([]);
  });

  it('lets externalTrafficPolicy Local in only where a ready endpoint is', () => {
    const services = [
      makeService('shop/lb', { type: 'LoadBalancer', externalTrafficPolicy: 'Local', readyByNode: { b: 1, c: 0 } }),
    ];
    const nodes = [makeNode('a'), makeNode('b'), makeNode('c')];
    expect(reached('a', services, nodes)).toEqual({ everywhere: [], node: [] });
    expect(reached('b', services, nodes).node).toEqual(['shop/lb']);
    expect(reached('c', services, nodes).node).toEqual([]);
  });

  it('says how many Services nobody reaches, and whether calls were declared', () => {
    const inventory = makeInventory(
      [makeNode('a', { pods: { shop: 1 } })],
      [makeService('shop/web'), makeService('idle/one'), makeService('idle/two')],
    );
    expect(exposureOf(inventory, makePlaybook()).description).toMatch(
      /exposure\.callers in the playbook can name them.*No node reaches 2 Services/,
    );
    expect(exposureOf(inventory, makePlaybook({ exposure: { callers: { shop: ['idle'] } } })).description).toMatch(
      /names them \(1 calling\)/,
    );
  });

  it('takes names from a prototype for what they are', () => {
    const inventory = makeInventory(
      [makeNode('a', { pods: { constructor: 1, toString: 1 } })],
      [makeService('constructor/web')],
    );
    expect([...(exposureOf(inventory, makePlaybook()).byNode.get('a') ?? [])]).toEqual(['constructor/web']);
  });
});

describe('reachOf', () => {
  it('holds each Service in one group, and no group twice for a node', () => {
    const services = [makeService('shop/np', { type: 'NodePort' }), makeService('shop/web'), makeService('pay/api')];
    const nodes = [makeNode('cp', { loadBalancerTarget: false }), makeNode('a', { pods: { shop: 1, pay: 1 } })];
    const reach = reachOf(
      makeInventory(nodes, services),
      makePlaybook({ exposure: { callers: { shop: ['shop', 'pay'] } } }),
    );
    expect(reach.groups.flatMap(group => group.services).sort()).toEqual(['pay/api', 'shop/np', 'shop/web']);
    expect(reach.byNode.get('a')?.toSorted()).toEqual([0, 1, 2]);
  });
});
