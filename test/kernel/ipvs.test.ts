import { describe, expect, it } from 'vitest';
import { ipsetSaveParser } from '../../src/kernel/ipset.ts';
import {
  ipVsClients,
  parseAddresses,
  parseFirewallMarks,
  parseIpVs,
  parseIpVsConnections,
  ticksPerSecond,
} from '../../src/kernel/ipvs.ts';
import {
  IP_VS,
  IP_VS_CONN,
  IPSET_SAVE,
  IPVS_DUMPS,
  IPVS_SAVE,
  KUBE_IPVS0,
  kernelOf,
  parsed,
  sortedRules,
  type Texts,
} from './dumps.ts';

const read = (over: Partial<Texts> = {}) => kernelOf({ ...IPVS_DUMPS, ...over }).readings.ipvs;
const ruleOf = (key: string, over: Partial<Texts> = {}) => read(over).rules.get(key);
const server = (place: string, ...destinations: string[]) =>
  `TCP  ${place} rr \n${destinations.map(d => `  -> ${d}      Masq    1      0          0\n`).join('')}`;
const A = '0AF40005:1F90';
const B = '0AF40006:1F90';

describe('ipvs mode', () => {
  it('does what its virtual servers do that something leads to', () => {
    expect(read().present).toBe(true);
    expect(sortedRules(read())).toEqual([
      { key: '0.0.0.0:30080/TCP', endpoints: ['10.244.0.5:8080'] },
      { key: '10.96.0.11:80/TCP', endpoints: ['10.244.0.5:8080'] },
      { key: '10.96.0.12:80/TCP', endpoints: [], empty: 'reject' },
      { key: '[fd00:10:96::b]:53/UDP', endpoints: ['[fd00:10:244::5]:53'] },
    ]);
  });

  it('does not reach a destination that only ends what it has', () => {
    const terminating = IP_VS.replace('Masq    1      1', 'Masq    0      1');
    expect(ruleOf('10.96.0.11:80/TCP', { ipVs: terminating })).toEqual({
      key: '10.96.0.11:80/TCP',
      endpoints: [],
      empty: 'reject',
    });
  });

  it('tells affinity in seconds', () => {
    const ipVs = IP_VS.replace('FFFFFFFF\n', `FFFFFFFF\n  -> ${A}      Masq    1      0          0\n`);
    const rule = { key: '10.96.0.12:80/TCP', endpoints: ['10.244.0.5:8080'] };
    expect(ruleOf(rule.key, { ipVs })).toEqual({ ...rule, affinitySeconds: 10800 });
  });

  it.each([
    ['its address is not on the device', { device: KUBE_IPVS0.replace('10.96.0.11/32', '10.96.0.99/32') }],
    ['its virtual server is gone', { ipVs: IP_VS.replace(/^TCP {2}0A60000B.*\n.*\n/m, '') }],
  ])('has no rule for a Service when %s', (_why, over) => {
    expect(ruleOf('10.96.0.11:80/TCP', over)).toBeUndefined();
    expect(ruleOf('10.96.0.12:80/TCP', over)).toBeDefined();
  });

  it('takes a NodePort at the address of a Service for nothing that anybody asked for', () => {
    expect(sortedRules(read({ ipVs: IP_VS + server('0A60000B:7580', A) + server('0A60000C:7580', A) }))).toEqual(
      sortedRules(read()),
    );
    const port = IPSET_SAVE.replace(
      'add KUBE-CLUSTER-IP 10.96.0.11,tcp:80',
      'add KUBE-CLUSTER-IP 10.96.0.11,tcp:30080',
    );
    expect(
      ruleOf('10.96.0.11:30080/TCP', { ipVs: IP_VS + server('0A60000B:7580', A), ipsetMembers: port }),
    ).toBeDefined();
  });

  it('is not there without the device', () => {
    const { device, ...others } = IPVS_DUMPS;
    expect(device).toBeDefined();
    expect(kernelOf(others).readings.ipvs).toEqual({ present: false, rules: new Map() });
  });

  it('does nothing in a family where no hook leads to its chains', () => {
    const noHook = IPVS_SAVE.replace(/^-A PREROUTING.*\n/m, '');
    const { rules } = read({ iptables: { ...IPVS_DUMPS.iptables, 'iptables-nft': noHook } });
    expect([...rules.keys()]).toEqual(['[fd00:10:96::b]:53/UDP']);
  });

  it('rejects what its filter does not know', () => {
    const unknown = IPSET_SAVE.replace('add KUBE-CLUSTER-IP 10.96.0.11,tcp:80\n', '');
    const rejected = { key: '10.96.0.11:80/TCP', endpoints: [], empty: 'reject' };
    expect(ruleOf(rejected.key, { ipsetMembers: unknown })).toEqual(rejected);
    const noFilter = IPVS_SAVE.replace(/^-A INPUT .*KUBE-IPVS-FILTER\n/m, '');
    const over = { ipsetMembers: unknown, iptables: { 'iptables-nft': noFilter } };
    expect(ruleOf(rejected.key, over)?.endpoints).toEqual(['10.244.0.5:8080']);
  });
});

describe('NodePorts of ipvs mode', () => {
  const second = (...destinations: string[]) => IP_VS + server('C0A80802:7580', ...destinations);

  it('count what all addresses of the node have', () => {
    const ipVs = second(A).replace(
      `7580 rr\n  -> ${A}`,
      `7580 rr\n  -> ${B}      Masq    1      0          0\n  -> ${A}`,
    );
    expect(parseIpVs(ipVs).filter(s => s.port === 30080)).toHaveLength(2);
    expect(ruleOf('0.0.0.0:30080/TCP', { ipVs })?.endpoints).toEqual(['10.244.0.5:8080']);
    expect(ruleOf('0.0.0.0:30080/TCP', { ipVs: second(B) })).toBeUndefined();
  });

  it('are none when one address has no virtual server for them', () => {
    const ipVs = `${IP_VS}${server('C0A80802:7581', A)}`;
    const ipsetMembers = `${IPSET_SAVE}add KUBE-NODE-PORT-TCP 30081\n`;
    expect([...read({ ipVs, ipsetMembers }).rules.keys()].filter(key => key.startsWith('0.0.0.0'))).toEqual([]);
  });

  it('refuse where none of the addresses has a destination', () => {
    const ipVs = IP_VS.replace(/(7580 rr\n).*\n/, '$1');
    const rule = { key: '0.0.0.0:30080/TCP', endpoints: [], empty: 'reject' };
    expect(ruleOf(rule.key, { ipVs })).toEqual(rule);
  });

  it('are those of its set: other virtual servers are somebody else’s', () => {
    const ipsetMembers = IPSET_SAVE.replace('add KUBE-NODE-PORT-TCP 30080\n', '');
    expect([...read({ ipsetMembers }).rules.keys()].filter(key => key.startsWith('0.0.0.0'))).toEqual([]);
  });

  it('are not external addresses that the node has itself', () => {
    const ipVs = IP_VS + server('C0A80702:0050', A);
    const ipsetMembers = `${IPSET_SAVE}create KUBE-EXTERNAL-IP hash:ip,port family inet\nadd KUBE-EXTERNAL-IP 192.168.7.2,tcp:80\n`;
    const { rules } = read({ ipVs, ipsetMembers });
    expect(rules.get('192.168.7.2:80/TCP')?.endpoints).toEqual(['10.244.0.5:8080']);
    expect(rules.has('0.0.0.0:80/TCP')).toBe(false);
    expect(rules.has('0.0.0.0:30080/TCP')).toBe(true);
  });
});

describe('load balancer source ranges of ipvs mode', () => {
  const ipVs = IP_VS + server('CB007109:01BB', A);
  const device = `${KUBE_IPVS0}7: kube-ipvs0    inet 203.0.113.9/32 scope global kube-ipvs0\n`;
  const sets = `${IPSET_SAVE}create KUBE-LOAD-BALANCER hash:ip,port family inet
add KUBE-LOAD-BALANCER 203.0.113.9,tcp:443
create KUBE-LOAD-BALANCER-FW hash:ip,port family inet
add KUBE-LOAD-BALANCER-FW 203.0.113.9,tcp:443
create KUBE-LOAD-BALANCER-SOURCE-CIDR hash:ip,port,net family inet
add KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:443,198.51.100.0/24
add KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:443,192.0.2.7
`;
  const key = '203.0.113.9:443/TCP';

  it('are those of its sets, where a hook leads to the firewall', () => {
    const sourceRanges = ['192.0.2.7/32', '198.51.100.0/24'];
    const rule = { key, endpoints: ['10.244.0.5:8080'] };
    expect(ruleOf(key, { ipVs, device, ipsetMembers: sets })).toEqual({ ...rule, sourceRanges });
    const noHook = IPVS_SAVE.replace(/^-A INPUT .*KUBE-PROXY-FIREWALL\n/m, '');
    expect(ruleOf(key, { ipVs, device, ipsetMembers: sets, iptables: { 'iptables-nft': noHook } })).toEqual(rule);
  });

  it('let nobody come when none is listed', () => {
    const none = sets.replaceAll(/^add KUBE-LOAD-BALANCER-SOURCE-CIDR.*\n/gm, '');
    expect(ruleOf(key, { ipVs, device, ipsetMembers: none })?.sourceRanges).toEqual([]);
  });
});

describe('dumps of ipvs', () => {
  it('have hexadecimal addresses and ports of both families', () => {
    expect(parseIpVs(IP_VS)).toEqual([
      { protocol: 'TCP', address: '10.96.0.11', port: 80, scheduler: 'rr', destinations: ['10.244.0.5:8080'] },
      {
        protocol: 'TCP',
        address: '10.96.0.12',
        port: 80,
        scheduler: 'rr',
        destinations: [],
        persistentTicks: 2_700_000,
      },
      { protocol: 'UDP', address: 'fd00:10:96::b', port: 53, scheduler: 'rr', destinations: ['[fd00:10:244::5]:53'] },
      { protocol: 'TCP', address: '192.168.7.2', port: 30080, scheduler: 'rr', destinations: ['10.244.0.5:8080'] },
      { protocol: 'TCP', address: '192.168.7.99', port: 6443, scheduler: 'wlc', destinations: [] },
    ]);
  });

  it('do not give the destinations of a firewall mark to anybody', () => {
    expect(parseIpVs(`${IP_VS}  -> ${B}      Masq    1      0          0\n`).at(-1)?.destinations).toEqual([]);
  });

  it('are refused when cut off or not known', () => {
    const end = IP_VS.lastIndexOf('FWM');
    for (let length = 1; length < end; length++) {
      if (IP_VS[length - 1] === '\n') continue;
      expect(() => parseIpVs(IP_VS.slice(0, length)), IP_VS.slice(0, length)).toThrow('ends in the middle');
    }
    expect(() => parseIpVs('TCP  0A60000B:50 rr\n')).toThrow('not known');
    expect(() =>
      parsed(
        ipsetSaveParser(() => true),
        IPSET_SAVE.slice(0, -3),
      ),
    ).toThrow('ends in the middle');
    expect(() => parseAddresses(KUBE_IPVS0.slice(0, -3))).toThrow('ends in the middle');
  });

  it('tell with ipvsadm how long a tick is', () => {
    const saved =
      '-A -t 10.96.0.11:80 -s rr\n-a -t 10.96.0.11:80 -r 10.244.0.5:8080 -m -w 1\n-A -t 10.96.0.12:80 -s rr -p 10800\n';
    expect(ticksPerSecond(parseIpVs(IP_VS), saved)).toBe(250);
    expect(ticksPerSecond(parseIpVs(IP_VS), '-A -t 10.96.0.11:80 -s rr -p 10800\n')).toBeUndefined();
    const v6 = 'TCP  [fd00:0010:0096:0000:0000:0000:0000:000b]:0050 rr persistent 1000 FFFFFFFF\n';
    expect(ticksPerSecond(parseIpVs(v6), '-A -t [fd00:10:96::b]:80 -s rr -p 10\n')).toBe(100);
  });

  it('may stand for firewall marks', () => {
    expect(parseFirewallMarks(IP_VS)).toEqual(['0x1']);
    expect(parseFirewallMarks('FWM  00001F00 wlc\n')).toEqual(['0x1F00']);
  });

  it('count connections, and the established ones by virtual server', () => {
    const { total, established } = parseIpVsConnections(IP_VS_CONN);
    expect(total).toBe(3);
    expect([...established]).toEqual([['10.96.0.11:80/TCP', 1]]);
  });

  it('name the clients of TCP connections, whatever their state, in the shortest form', () => {
    const six = 'TCP [fd00:0010:0244:0000:0000:0000:0000:0001] 9C40 [fd00:0010:0096:0000:0000:0000:0000:000b] 0050 x\n';
    expect([...ipVsClients(IP_VS_CONN + six)]).toEqual([
      '10.244.1.5 54434 10.96.0.11 80',
      '10.244.1.5 54435 10.96.0.11 80',
      'fd00:10:244::1 40000 fd00:10:96::b 80',
    ]);
  });

  it('count those that one side has ended apart, and the ended ones not', () => {
    const list = ['FIN_WAIT   ', 'CLOSE_WAIT ', 'LAST_ACK   ', 'TIME_WAIT  ', 'CLOSE      '].map(state =>
      IP_VS_CONN.split('\n')[1]?.replace('ESTABLISHED', state),
    );
    const { established, closing } = parseIpVsConnections(`${list.join('\n')}\n`);
    expect([established.size, ...closing]).toEqual([0, ['10.96.0.11:80/TCP', 3]]);
  });
});
