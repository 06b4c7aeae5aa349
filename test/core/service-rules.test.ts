import { describe, expect, it } from 'vitest';
import { isNodePort, nodePort, servicePort } from '../../src/core/service-port.ts';
import { serviceRule } from '../../src/core/service-rules.ts';

const key = '10.96.0.11:80/TCP';

describe('a rule in its one form', () => {
  it('has sorted lists without duplicates', () => {
    const endpoints = ['10.0.0.9:80', '10.0.0.1:80', '10.0.0.9:80'];
    expect(serviceRule({ key, endpoints, sourceRanges: ['10.1.0.0/25', '10.1.0.128/25'] })).toEqual({
      key,
      endpoints: ['10.0.0.1:80', '10.0.0.9:80'],
      sourceRanges: ['10.1.0.0/24'],
    });
  });

  it.each([
    ['the same endpoints from within', { endpoints: ['b', 'a'], fromCluster: ['a', 'b'] }, { endpoints: ['a', 'b'] }],
    [
      'other endpoints from within',
      { endpoints: [], fromCluster: ['a'], empty: 'drop', affinitySeconds: 9 },
      { endpoints: [], fromCluster: ['a'], empty: 'drop', affinitySeconds: 9 },
    ],
    ['a rejection that nothing reaches', { endpoints: ['a'], empty: 'reject' }, { endpoints: ['a'] }],
    [
      'conditions on reaching nobody',
      { endpoints: [], empty: 'reject', affinitySeconds: 9, sourceRanges: ['10.0.0.0/8'] },
      { endpoints: [], empty: 'reject' },
    ],
  ] as const)('says nothing of what makes no difference: %s', (_what, given, expected) => {
    expect(serviceRule({ key, ...given })).toEqual({ key, ...expected });
  });
});

describe('keys', () => {
  it('are the same however an address was spelled', () => {
    expect(servicePort('FD00:0010:0096:0:0:0:0:000B', 53, 'udp')).toBe('[fd00:10:96::b]:53/UDP');
    expect(servicePort('10.96.0.11', '80', 'tcp')).toBe(key);
  });

  it('tell NodePorts', () => {
    expect([nodePort('ip', 30080, 'tcp'), nodePort('ip6', 30080, 'tcp')]).toEqual([
      '0.0.0.0:30080/TCP',
      '[::]:30080/TCP',
    ]);
    expect([nodePort('ip', 1, 'tcp'), nodePort('ip6', 1, 'tcp'), key].map(isNodePort)).toEqual([true, true, false]);
  });
});
