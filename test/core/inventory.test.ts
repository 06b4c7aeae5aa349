import { describe, expect, it } from 'vitest';
import { familiesOf } from '../../src/core/inventory.ts';
import { makeNode, makeService } from './cluster-data.ts';

describe('the address families of a cluster', () => {
  const families = (internalIPs: string[], clusterIPs: string[], external: string[] = []) =>
    familiesOf({
      nodes: [makeNode('n1', { internalIPs, externalIPs: external })],
      services: [makeService('shop/web', { clusterIPs })],
    });

  it.each([
    ['one family', ['10.0.0.1'], ['10.96.0.1'], ['IPv4']],
    ['the other', ['fd00::1'], ['fd00:96::1'], ['IPv6']],
    ['dual-stack nodes', ['10.0.0.1', 'fd00::1'], ['10.96.0.1'], ['IPv4', 'IPv6']],
    ['dual-stack Services', ['10.0.0.1'], ['10.96.0.1', 'fd00:96::1'], ['IPv4', 'IPv6']],
    ['nothing that tells', [], [], ['IPv4', 'IPv6']],
  ])('%s', (_, nodes, services, expected) => {
    expect(families(nodes, services)).toEqual(expected);
  });

  it('counts external addresses: NodePorts answer on them', () => {
    expect(families(['10.0.0.1'], ['10.96.0.1'], ['2001:db8::1'])).toEqual(['IPv4', 'IPv6']);
  });
});
