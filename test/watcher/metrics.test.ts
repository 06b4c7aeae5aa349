import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMetrics, proxySampleFrom, type Sample } from '../../src/watcher/metrics.ts';

const escaped = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
const write = ({ name, labels, value }: Sample) => {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  const number = Number.isNaN(value)
    ? 'NaN'
    : value === Infinity
      ? '+Inf'
      : value === -Infinity
        ? '-Inf'
        : String(value);
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${number}`;
};
const sample: fc.Arbitrary<Sample> = fc.record({
  name: fc.stringMatching(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,20}$/),
  labels: fc.dictionary(
    fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/),
    // A carriage return would be a line's end to some; exporters do not print it raw.
    fc.string({ unit: 'grapheme' }).filter(text => !/[\r\u2028\u2029]/.test(text)),
    { noNullPrototype: true, maxKeys: 4 },
  ),
  value: fc.double().map(value => (Object.is(value, -0) ? 0 : value)),
});

describe('the Prometheus text format', () => {
  it('reads back what was written', () => {
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 8 }), samples => {
        const text = ['# TYPE x counter', '', ...samples.map(write), ''].join('\n');
        expect(parseMetrics(text)).toEqual(samples);
      }),
    );
  });

  it('takes braces, commas and quotes in labels, a last comma and a time behind the value', () => {
    expect(parseMetrics('a_b{le="+Inf", path="/a,{b=\\"}",} 3 1700000000000')).toEqual([
      { name: 'a_b', labels: { le: '+Inf', path: '/a,{b="}' }, value: 3 },
    ]);
  });

  it.each(['a b', '{x="1"} 2', 'a{x=1} 2', 'a{x="1" y="2"} 2', '<html>'])('refuses %s', line => {
    expect(() => parseMetrics(line)).toThrow('not a metric');
  });
});

describe('what kube-proxy says of itself', () => {
  it('is told by address family; failures in sum, those of partial syncs apart', () => {
    const text = `process_start_time_seconds 1.7e+09
kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1.7000001e+09
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1.7000002e+09
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv6"} 1.7000003e+09
kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 2
kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv6"} 4
kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv6"} 3
kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 4
kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total 5
kubeproxy_sync_full_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 1.5
kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 3
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 99
`;
    expect(proxySampleFrom(text)).toEqual({
      processStart: 1.7e9,
      families: {
        IPv4: { lastSync: 1.7000001e9, lastQueued: 1.7000002e9 },
        IPv6: { lastSync: null, lastQueued: 1.7000003e9 },
      },
      failures: 7,
      partialFailures: 3,
      syncs: { IPv4: { count: 3, seconds: 1.5 } },
    });
  });

  it('is one family before Kubernetes 1.33, and no failures where there are no counters', () => {
    expect(proxySampleFrom('kubeproxy_sync_proxy_rules_last_timestamp_seconds 12\n')).toEqual({
      processStart: null,
      families: { any: { lastSync: 12, lastQueued: null } },
      failures: 0,
      partialFailures: 0,
      syncs: {},
    });
  });
});
