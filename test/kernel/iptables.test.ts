import { describe, expect, it } from 'vitest';
import { parseIptablesSave, readIptables } from '../../src/kernel/iptables.ts';
import { IPTABLES_SAVE, IPVS_SAVE } from './dumps.ts';

const read = (...dumps: string[]) => readIptables(dumps.map(parseIptablesSave));
const without = (...patterns: RegExp[]) =>
  IPTABLES_SAVE.split('\n')
    .filter(line => !patterns.some(pattern => pattern.test(line)))
    .join('\n');

describe('iptables mode', () => {
  it('answers for cluster IPs, load balancer IPs and Services without endpoints', () => {
    const reading = read(IPTABLES_SAVE);
    expect(reading.present).toBe(true);
    expect([...reading.served].toSorted()).toEqual([
      '10.96.0.11:80/TCP',
      '10.96.0.12:80/TCP',
      '10.96.0.13:443/TCP',
      '10.96.0.14:80/TCP',
      '10.96.0.15:53/UDP',
      '10.96.0.16:80/TCP',
      '10.96.0.17:80/TCP',
      '203.0.113.9:443/TCP',
    ]);
    expect([...reading.nodePorts].toSorted()).toEqual(['30080/TCP', '30081/TCP', '30443/TCP']);
  });

  it('misses a Service whose entry is gone', () => {
    expect(read(without(/^-A KUBE-SERVICES -d 10\.96\.0\.11\/32/)).served.has('10.96.0.11:80/TCP')).toBe(false);
  });

  it.each([
    ['its Service chain is empty', /^-A KUBE-SVC-67NZLRHBNDSAWJRO /],
    ['its endpoint chains translate nothing', /^-A KUBE-SEP-(2QFQVMZDRZXAQWB2|UGQTAJUJOQJVZIEC) .*DNAT/],
  ])('misses a Service when %s', (_why, pattern) => {
    const { served } = read(without(pattern));
    expect(served.has('10.96.0.11:80/TCP')).toBe(false);
    expect(served.size).toBe(7);
  });

  it('keeps a Service with affinity when one of its two endpoints goes', () => {
    expect(read(without(/^-A KUBE-SEP-SJM76NXQW4LDYTMK /)).served.has('10.96.0.12:80/TCP')).toBe(true);
  });

  it('counts nothing that no hook leads to', () => {
    const nat = read(without(/^-A PREROUTING /));
    expect([...nat.served]).toEqual(['10.96.0.14:80/TCP']);
    const neither = read(without(/^-A (PREROUTING|INPUT|FORWARD|OUTPUT) .*KUBE-(SERVICES|EXTERNAL|NODEPORTS)/));
    expect(neither).toEqual({ present: false, served: new Set(), nodePorts: new Set() });
  });

  it('follows a hook through a chain of somebody else', () => {
    const dump = IPTABLES_SAVE.replace(
      '-A PREROUTING -m comment',
      ':cali-PREROUTING - [0:0]\n-A PREROUTING -j cali-PREROUTING\n-A cali-PREROUTING -m comment',
    );
    expect(read(dump).served.has('10.96.0.11:80/TCP')).toBe(true);
  });

  it('does not see itself in the chains of ipvs mode', () => {
    expect(read(IPVS_SAVE)).toEqual({ present: false, served: new Set(), nodePorts: new Set() });
  });

  it('reads the backends and families together', () => {
    const v6 = `*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d fd00:10:96::a/128 -p udp -m comment --comment "say \\"-d 1.1.1.1 -j DROP\\"" -m udp --dport 53 -j KUBE-SVC-AAAAAAAAAAAAAAAA
-A KUBE-SVC-AAAAAAAAAAAAAAAA -p udp -j DNAT --to-destination [fd00::5]:53
COMMIT
`;
    const { served } = read(IPTABLES_SAVE, v6);
    expect(served.size).toBe(9);
    expect(served.has('[fd00:10:96::a]:53/UDP')).toBe(true);
  });

  it('refuses a dump that was cut off', () => {
    expect(() => parseIptablesSave(IPTABLES_SAVE.slice(0, 3000))).toThrow('ends in the middle');
  });
});
