import { describe, expect, it } from 'vitest';
import { ruleDifference } from '../../src/core/rule-difference.ts';
import { iptablesSaveParser, parseOptions } from '../../src/kernel/iptables.ts';
import { readIptables } from '../../src/kernel/iptables-rules.ts';
import { IPTABLES_SAVE, IPVS_SAVE, parsed, SEVEN_SERVICES, sortedRules } from './dumps.ts';

const tablesOf = (dump: string, size?: number) => parsed(iptablesSaveParser(), dump, size);
const read = (...dumps: string[]) => readIptables(dumps.map(dump => ({ family: 'ip', tables: tablesOf(dump) })));
const without = (...patterns: RegExp[]) =>
  IPTABLES_SAVE.split('\n')
    .filter(line => !patterns.some(pattern => pattern.test(line)))
    .join('\n');
const ruleOf = (dump: string, key: string) => read(dump).rules.get(key);
const missing = (dump: string) => {
  const { rules } = read(dump);
  return SEVEN_SERVICES.map(rule => rule.key).filter(key => !rules.has(key));
};

describe('iptables mode', () => {
  it('does what its rules do, from the hooks to the endpoints', () => {
    const reading = read(IPTABLES_SAVE);
    expect(reading.present).toBe(true);
    expect(sortedRules(reading)).toEqual(SEVEN_SERVICES);
  });

  it.each([
    ['its entry is gone', /^-A KUBE-SERVICES -d 10\.96\.0\.11\/32/],
    ['its Service chain is empty', /^-A KUBE-SVC-67NZLRHBNDSAWJRO /],
    ['its endpoint chains translate nothing', /^-A KUBE-SEP-(2QFQVMZDRZXAQWB2|UGQTAJUJOQJVZIEC) .*DNAT/],
  ])('has no rule for a Service when %s', (_why, pattern) => {
    expect(missing(without(pattern))).toEqual(['10.96.0.11:80/TCP']);
  });

  it.each([
    ['is not jumped to', /^-A KUBE-SVC-67NZLRHBNDSAWJRO .*KUBE-SEP-2QFQVMZDRZXAQWB2/],
    ['has no DNAT', /^-A KUBE-SEP-2QFQVMZDRZXAQWB2 .*DNAT/],
  ])('does not reach an endpoint whose chain %s', (_why, pattern) => {
    expect(ruleOf(without(pattern), '10.96.0.11:80/TCP')?.endpoints).toEqual(['10.244.1.7:8080']);
  });

  it('has affinity only where every endpoint knows its clients and remembers them', () => {
    const cart = { key: '10.96.0.12:80/TCP', endpoints: ['10.244.0.6:8080', '10.244.1.8:8080'] };
    expect(ruleOf(without(/--rcheck .*-j KUBE-SEP-SJM76NXQW4LDYTMK/), cart.key)).toEqual(cart);
    expect(ruleOf(IPTABLES_SAVE.replace(/--set (--name KUBE-SEP-SJM76NXQW4LDYTMK)/, '--update $1'), cart.key)).toEqual(
      cart,
    );
  });

  it('lets everybody come without source ranges, and nobody from within be led elsewhere', () => {
    const dump = IPTABLES_SAVE.replace('-j KUBE-FW-6DIQQWZY5FTPVDUK', '-j KUBE-EXT-6DIQQWZY5FTPVDUK');
    expect(ruleOf(dump, '203.0.113.9:443/TCP')).not.toHaveProperty('sourceRanges');
    const noShortcut = without(/^-A KUBE-EXT-6DIQQWZY5FTPVDUK .*-j KUBE-SVC/);
    expect(ruleOf(noShortcut, '0.0.0.0:30443/TCP')).toEqual({
      key: '0.0.0.0:30443/TCP',
      endpoints: ['10.244.0.7:8080'],
    });
  });

  it('still refuses what no local endpoint serves where NodePorts answer on no address, and that is right', () => {
    const dump = without(/^-A KUBE-SERVICES .*-j KUBE-NODEPORTS$/);
    expect(missing(dump)).toEqual(['0.0.0.0:30080/TCP', '0.0.0.0:30443/TCP']);
    const found = ruleOf(dump, '0.0.0.0:30081/TCP');
    expect(found).toEqual({ key: '0.0.0.0:30081/TCP', endpoints: [], empty: 'drop' });
    const rule = SEVEN_SERVICES.find(({ key }) => key === '0.0.0.0:30081/TCP');
    if (!rule) throw new Error('not among them');
    const expected = { port: 'shop/edge2:80/TCP', rule, own: [] };
    expect(ruleDifference({ ...expected, optional: true }, found, 'iptables')).toBeUndefined();
    expect(ruleDifference(expected, found, 'iptables')?.difference).toBe('policy');
  });

  it("does not take the node's own way to a load balancer for a source range", () => {
    const own = '-A KUBE-FW-6DIQQWZY5FTPVDUK -s 203.0.113.9/32 -j KUBE-EXT-6DIQQWZY5FTPVDUK\n';
    const dump = IPTABLES_SAVE.replace('-A KUBE-FW-6DIQQWZY5FTPVDUK -m', `${own}-A KUBE-FW-6DIQQWZY5FTPVDUK -m`);
    expect(ruleOf(dump, '203.0.113.9:443/TCP')?.sourceRanges).toEqual(['198.51.100.0/24']);
  });

  it('goes by the first of two rules for the same address', () => {
    const second = '-A KUBE-SERVICES -d 10.96.0.11/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-53NQGHIA2LBTRYDO\n';
    const dump = IPTABLES_SAVE.replace('-A KUBE-SERVICES -m comment', `${second}-A KUBE-SERVICES -m comment`);
    expect(sortedRules(read(dump))).toEqual(SEVEN_SERVICES);
  });

  it('counts nothing that no hook leads to, nor what only the node or only the others reach', () => {
    const refused = ['10.96.0.14:80/TCP', '0.0.0.0:30081/TCP'];
    for (const hook of ['PREROUTING', 'OUTPUT']) {
      const { rules } = read(without(new RegExp(`^-A ${hook} .*kubernetes service portals" -j KUBE-SERVICES`, 'm')));
      expect([...rules.keys()].toSorted()).toEqual((hook === 'OUTPUT' ? refused.slice(1) : refused).toSorted());
    }
    const neither = read(without(/^-A (PREROUTING|INPUT|FORWARD|OUTPUT) .*KUBE-(SERVICES|EXTERNAL|NODEPORTS)/));
    expect(neither).toEqual({ present: false, rules: new Map() });
    const noNodePorts = without(/-j KUBE-NODEPORTS$/);
    expect(missing(noNodePorts)).toEqual(['0.0.0.0:30080/TCP', '0.0.0.0:30443/TCP']);
  });

  it('follows a hook through a chain of somebody else', () => {
    const dump = IPTABLES_SAVE.replace(
      '-A PREROUTING -m comment',
      ':cali-PREROUTING - [0:0]\n-A PREROUTING -j cali-PREROUTING\n-A cali-PREROUTING -m comment',
    );
    expect(sortedRules(read(dump))).toEqual(SEVEN_SERVICES);
  });

  it('does not see itself in the chains of ipvs mode', () => {
    expect(read(IPVS_SAVE)).toEqual({ present: false, rules: new Map() });
  });

  it('reads IPv6, whatever a comment says', () => {
    const v6 = `*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SEP-BBBBBBBBBBBBBBBB - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A KUBE-SERVICES -d fd00:10:96::a/128 -p udp -m comment --comment "say \\"-d 1.1.1.1 -j DROP\\"" -m udp --dport 53 -j KUBE-SVC-AAAAAAAAAAAAAAAA
-A KUBE-SERVICES ! -d ::1/128 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p udp -m udp --dport 30053 -j KUBE-SVC-AAAAAAAAAAAAAAAA
-A KUBE-SVC-AAAAAAAAAAAAAAAA -j KUBE-SEP-BBBBBBBBBBBBBBBB
-A KUBE-SEP-BBBBBBBBBBBBBBBB -p udp -m udp -j DNAT --to-destination [fd00::5]:53
COMMIT
`;
    const tables = tablesOf(v6);
    const { rules } = readIptables([
      { family: 'ip', tables: tablesOf(IPTABLES_SAVE) },
      { family: 'ip6', tables },
    ]);
    expect(rules.size).toBe(SEVEN_SERVICES.length + 2);
    expect(rules.get('[fd00:10:96::a]:53/UDP')?.endpoints).toEqual(['[fd00::5]:53']);
    expect(rules.get('[::]:30053/UDP')?.endpoints).toEqual(['[fd00::5]:53']);
  });

  it('counts of what two backends hold only what is sure', () => {
    const stale = without(/^-A KUBE-SVC-67NZLRHBNDSAWJRO .*KUBE-SEP-2QFQVMZDRZXAQWB2/, /--rcheck/).replaceAll(
      '10.96.0.17',
      '10.96.0.99',
    );
    const { rules } = read(IPTABLES_SAVE, stale);
    expect(rules.get('10.96.0.11:80/TCP')?.endpoints).toEqual(['10.244.1.7:8080']);
    expect(rules.get('10.96.0.12:80/TCP')).not.toHaveProperty('affinitySeconds');
    expect(rules.get('203.0.113.9:443/TCP')).toEqual(SEVEN_SERVICES.at(-1));
    expect([rules.has('10.96.0.17:80/TCP'), rules.has('10.96.0.99:80/TCP')]).toEqual([true, true]);
  });
});

describe('a dump', () => {
  it('that was cut off anywhere is refused, or holds whole tables', () => {
    const whole = tablesOf(IPTABLES_SAVE);
    const cut = (length: number) => {
      try {
        return tablesOf(IPTABLES_SAVE.slice(0, length));
      } catch {
        return undefined;
      }
    };
    let refused = 0;
    for (let length = 0; length <= IPTABLES_SAVE.length; length += 7) {
      const tables = cut(length);
      if (!tables) refused++;
      for (const [name, chains] of tables ?? []) expect(chains, `${length}`).toEqual(whole.get(name));
    }
    expect(refused).toBeGreaterThan(1000);
    expect(() => tablesOf(IPTABLES_SAVE.slice(0, 3000))).toThrow('ends in the middle');
  });

  it.each([1, 2, 3, 64, 1_000_000])('is the same in pieces of %i characters', size => {
    expect(tablesOf(IPTABLES_SAVE, size)).toEqual(tablesOf(IPTABLES_SAVE));
  });

  it('with rules of a chain that it does not name is refused', () => {
    expect(() => tablesOf('*nat\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n')).toThrow('KUBE-SERVICES');
  });
});

it('finds a target behind quotes, and none in them', () => {
  const { rules } = tablesOf(
    '*nat\n:A - [0:0]\n-A A -m comment --comment "x -j NO y" -j YES\n-A A -j LOG --log-prefix "a -j NO"\n-A A -m comment --comment "-j NO"\n-A A -g THERE\nCOMMIT\n',
  )
    .get('nat')
    ?.get('A') ?? { rules: [] };
  expect(rules.map(rule => rule.target)).toEqual(['YES', 'LOG', undefined, 'THERE']);
});

it('reads options word by word', () => {
  expect(
    parseOptions(
      '! -s 10.0.0.0/8 -d 10.96.0.1/32 -p tcp -m set --match-set KUBE-CLUSTER-IP dst,dst -m tcp --dport 443 -j X',
    ),
  ).toEqual({
    toNode: false,
    conditional: true,
    address: '10.96.0.1',
    protocol: 'tcp',
    set: ['KUBE-CLUSTER-IP', 'dst,dst'],
    port: '443',
    target: 'X',
  });
});
