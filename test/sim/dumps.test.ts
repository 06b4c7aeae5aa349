// Rule sets as the real tools print them; expected lines are those of a real kube-proxy 1.36.3 for the same Services.
import { describe, expect, it } from 'vitest';
import { hash32 } from '../../src/sim/hash32.ts';
import { Kernel } from '../../src/sim/kernel.ts';
import { programNft, withoutService } from '../../src/sim/nft.ts';
import { procFile } from '../../src/sim/node-files.ts';
import { runTool } from '../../src/sim/node-tools.ts';
import { programIptables } from '../../src/sim/program-iptables.ts';
import { programIpvs } from '../../src/sim/program-ipvs.ts';
import { Random } from '../../src/sim/random.ts';
import type { ServicePort, ServiceView } from '../../src/sim/services.ts';
import { IPTABLES_SAVE, kernelOf, NFT_JSON, SEVEN_SERVICES, sortedRules } from '../kernel/dumps.ts';

const base = {
  service: 'shop/web',
  portName: 'http',
  protocol: 'tcp',
  port: 80,
  externalIPs: [],
  balancerIPs: [],
  sourceRanges: [],
  internalLocal: false,
  localOnly: false,
  draining: [],
} as const;
const ends = (...addresses: string[]) =>
  addresses.map(address => ({
    ip: address.split(':')[0] ?? '',
    port: Number(address.split(':')[1]),
    node: address.startsWith('10.244.0.') ? 'n' : 'm',
  }));
const PORTS: ServicePort[] = [
  { ...base, clusterIP: '10.96.0.11', endpoints: ends('10.244.0.5:8080', '10.244.1.7:8080') },
  { ...base, service: 'shop/void', clusterIP: '10.96.0.14', endpoints: [] },
  { ...base, service: 'shop/one', portName: '', clusterIP: '10.96.0.17', endpoints: ends('10.244.0.9:8080') },
  {
    ...base,
    service: 'shop/dns',
    portName: 'dns',
    protocol: 'udp',
    port: 53,
    clusterIP: '10.96.0.15',
    endpoints: ends('10.244.1.10:5353'),
  },
  { ...base, service: 'shop/cart', clusterIP: '10.96.0.12', nodePort: 30080, endpoints: ends('10.244.0.6:8080') },
  {
    ...base,
    service: 'shop/edge2',
    clusterIP: '10.96.0.16',
    nodePort: 30081,
    localOnly: true,
    endpoints: ends('10.244.1.11:8080'),
  },
];
const VIEW: ServiceView = { version: 1, ports: PORTS };
/** The seven Services of the dumps of a real kube-proxy. */
const SEVEN: ServiceView = {
  version: 1,
  ports: [
    ...PORTS.filter(port => port.service !== 'shop/cart'),
    {
      ...base,
      service: 'shop/cart',
      clusterIP: '10.96.0.12',
      nodePort: 30080,
      affinitySeconds: 10_800,
      endpoints: ends('10.244.0.6:8080', '10.244.1.8:8080'),
    },
    {
      ...base,
      service: 'shop/edge',
      clusterIP: '10.96.0.13',
      port: 443,
      nodePort: 30443,
      balancerIPs: ['203.0.113.9'],
      sourceRanges: ['198.51.100.0/24'],
      localOnly: true,
      endpoints: ends('10.244.0.7:8080', '10.244.1.9:8080'),
    },
  ],
};
const NODE = { name: 'n', ip: '192.168.7.2', clusterCIDR: '10.244.0.0/16', nodePortIPs: ['192.168.7.2'] };
const kernel = () => new Kernel([NODE.ip], new Random(1));
const run = (k: Kernel, line: string, input?: string) => {
  const [program = '', ...args] = line.split(' ');
  return runTool(k, program, args, input);
};

describe('iptables', () => {
  const programmed = () => {
    const k = kernel();
    programIptables(k.iptables.IPv4, VIEW, { ...NODE, nodePortIPs: undefined });
    return k;
  };

  it('names chains as kube-proxy does', () => {
    expect(hash32('ns1/svc1:p80tcp', 16)).toBe('XPGD46QRK7WJZT7O');
    expect(hash32('ns1/svc1:p80tcp10.180.0.1:80', 16)).toBe('SXIVWICOYRO3J4NJ');
  });

  it('prints what the real one prints', () => {
    const lines = run(programmed(), 'iptables-nft-save').stdout.split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        ':KUBE-SVC-67NZLRHBNDSAWJRO - [0:0]',
        '-A KUBE-SERVICES -d 10.96.0.11/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-67NZLRHBNDSAWJRO',
        '-A KUBE-SVC-67NZLRHBNDSAWJRO ! -s 10.244.0.0/16 -d 10.96.0.11/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
        '-A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.0.5:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-2QFQVMZDRZXAQWB2',
        '-A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.1.7:8080" -j KUBE-SEP-UGQTAJUJOQJVZIEC',
        '-A KUBE-SEP-2QFQVMZDRZXAQWB2 -s 10.244.0.5/32 -m comment --comment "shop/web:http" -j KUBE-MARK-MASQ',
        '-A KUBE-SEP-2QFQVMZDRZXAQWB2 -p tcp -m comment --comment "shop/web:http" -m tcp -j DNAT --to-destination 10.244.0.5:8080',
        '-A KUBE-SVC-53NQGHIA2LBTRYDO -m comment --comment "shop/one -> 10.244.0.9:8080" -j KUBE-SEP-NETJIAQZ6FJ3AFAY',
        '-A KUBE-SEP-BH7NSFC4BM75DVT4 -p udp -m comment --comment "shop/dns:dns" -m udp -j DNAT --to-destination 10.244.1.10:5353',
        '-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/cart:http" -m tcp --dport 30080 -j KUBE-EXT-I5LIAMPLWKMBJ54B',
        '-A KUBE-EXT-W6DXU4YJTOIY46LC -s 10.244.0.0/16 -m comment --comment "pod traffic for shop/edge2:http external destinations" -j KUBE-SVC-W6DXU4YJTOIY46LC',
        '-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "shop/edge2:http has no local endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30081 -j DROP',
        '-A KUBE-SERVICES -d 10.96.0.14/32 -p tcp -m comment --comment "shop/void:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable',
        ':KUBE-KUBELET-CANARY - [0:0]',
      ]),
    );
    expect(lines.filter(line => line === 'COMMIT')).toHaveLength(3);
    expect(run(programmed(), 'iptables-nft-save -t nat').stdout.match(/^\*\w+$/gm)).toEqual(['*nat']);
    expect(run(programmed(), 'iptables-legacy-save').stdout).toBe('');
  });

  it('has rule for rule what a real one has for the same Services', () => {
    const k = kernel();
    programIptables(k.iptables.IPv4, SEVEN, { ...NODE, nodePortIPs: undefined });
    const rules = (save: string) =>
      save
        .split('\n')
        .filter(line => line.startsWith('-A ') && !line.includes('health check node port'))
        .toSorted();
    const saved = ['nat', 'filter'].map(table => run(k, `iptables-nft-save -t ${table}`).stdout).join('');
    expect(rules(saved)).toEqual(rules(IPTABLES_SAVE));
  });

  it('decides connections by its rules', () => {
    const k = programmed();
    const to = (ip: string, port: number, protocol: 'tcp' | 'udp' = 'tcp') =>
      k.connect({ ip, port, protocol, from: 'pod' });
    expect(to('10.96.0.17', 80)).toEqual({ kind: 'backend', backend: '10.244.0.9:8080', via: 'iptables' });
    expect(to('10.96.0.15', 53, 'udp')).toMatchObject({ backend: '10.244.1.10:5353' });
    expect(to('192.168.7.2', 30080)).toMatchObject({ backend: '10.244.0.6:8080' });
    expect(to('10.96.0.14', 80)).toEqual({ kind: 'refused' });
    expect(to('10.96.0.17', 81)).toEqual({ kind: 'untouched' });
    const seen = new Set(Array.from({ length: 40 }, () => JSON.stringify(to('10.96.0.11', 80))));
    expect(seen.size).toBe(2);
  });

  it('restores all lines or none', () => {
    const k = programmed();
    const chain = 'KUBE-SEP-NETJIAQZ6FJ3AFAY';
    const used = run(k, 'iptables-nft-restore --noflush', `*nat\n-F ${chain}\n-X ${chain}\nCOMMIT\n`);
    expect(used.code).toBe(1);
    expect(used.stderr).toContain('line 3 failed');
    expect(k.iptables.IPv4.chain('nat', chain)).toHaveLength(2);
    const jump = '-m comment --comment "shop/one -> 10.244.0.9:8080" -j KUBE-SEP-NETJIAQZ6FJ3AFAY';
    const script = `*nat\n:${chain} - [0:0]\n-D KUBE-SVC-53NQGHIA2LBTRYDO ${jump}\n-X ${chain}\nCOMMIT\n`;
    expect(run(k, 'iptables-nft-restore --noflush', script)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(k.iptables.IPv4.chain('nat', chain)).toBeUndefined();
    expect(run(k, 'iptables-nft-restore --noflush', script).stderr).toContain('does a matching rule exist');
  });
});

describe('nftables', () => {
  const programmed = () => {
    const k = kernel();
    k.setNft('ip', programNft('ip', VIEW, NODE));
    return k;
  };
  const listed = (k: Kernel): Record<string, Record<string, unknown>>[] =>
    JSON.parse(run(k, 'nft -j list table ip kube-proxy').stdout).nftables;

  it('prints JSON in the real form', () => {
    const all = listed(programmed());
    const named = (kind: string, name: string) => all.map(item => item[kind]).find(item => item?.name === name);
    expect(all[0]).toHaveProperty('metainfo.json_schema_version', 1);
    expect(named('map', 'service-ips')?.elem).toContainEqual([
      { concat: ['10.96.0.11', 'tcp', 80] },
      { goto: { target: 'service-KHN6ECMT-shop/web/tcp/http' } },
    ]);
    expect(named('map', 'no-endpoint-services')?.elem).toEqual([
      [
        { elem: { val: { concat: ['10.96.0.14', 'tcp', 80] }, comment: 'shop/void:http' } },
        { goto: { target: 'reject-chain' } },
      ],
    ]);
    expect(named('map', 'no-endpoint-nodeports')?.elem).toEqual([
      [{ elem: { val: { concat: ['tcp', 30081] }, comment: 'shop/edge2:http' } }, { drop: null }],
    ]);
    const rules = all.map(item => item.rule).filter(rule => rule?.chain === 'service-KHN6ECMT-shop/web/tcp/http');
    const key = { numgen: { mode: 'random', mod: 2, offset: 0 } };
    const set = [
      [0, { concat: ['10.244.0.5', 8080] }],
      [1, { concat: ['10.244.1.7', 8080] }],
    ];
    expect(rules.map(rule => rule?.expr)).toEqual([
      [
        { match: { op: '==', left: { meta: { key: 'l4proto' } }, right: 'tcp' } },
        { dnat: { family: 'ip', addr: { map: { key, data: { set } } } } },
      ],
    ]);
    const referred = JSON.stringify(all).matchAll(/"(?:goto|jump)":\{"target":"([^"]+)"/g);
    for (const [, target] of referred) expect(named('chain', target ?? ''), target).toBeDefined();
  });

  it('has object for object what a real one has for the same Services', () => {
    const k = kernel();
    k.setNft('ip', programNft('ip', SEVEN, NODE));
    const objects = (dump: string) => {
      const { nftables } = JSON.parse(dump) as { nftables: Record<string, { handle?: number; elem?: unknown[] }>[] };
      const texts = nftables.flatMap(item =>
        Object.entries(item).map(([kind, { handle, ...rest }]) => {
          const elem = rest.elem && { elem: rest.elem.map(one => JSON.stringify(one)).toSorted() };
          return JSON.stringify([kind, Object.entries({ ...rest, ...elem }).toSorted()]);
        }),
      );
      // What the ServiceCIDR adds is not simulated.
      return texts.filter(text => !text.includes('unallocated')).toSorted();
    };
    expect(objects(run(k, 'nft -j list table ip kube-proxy').stdout)).toEqual(objects(NFT_JSON));
  });

  it('has no nodeport-ips where every address counts', () => {
    const k = kernel();
    k.setNft('ip', programNft('ip', VIEW, { ...NODE, nodePortIPs: undefined }));
    expect(listed(k).some(item => item.set?.name === 'nodeport-ips')).toBe(false);
    expect(run(k, 'nft -j list table ip kube-proxy').stdout).toContain('"fib":{"result":"type","flags":["daddr"]}');
  });

  it('decides connections, and is deleted as a whole', () => {
    const k = programmed();
    const to = (ip: string, port: number) => k.connect({ ip, port, protocol: 'tcp', from: 'pod' });
    expect(to('10.96.0.17', 80)).toMatchObject({ backend: '10.244.0.9:8080', via: 'nftables' });
    expect(to('192.168.7.2', 30080)).toMatchObject({ backend: '10.244.0.6:8080' });
    expect(to('10.96.0.14', 80)).toEqual({ kind: 'refused' });
    expect(to('10.96.0.17', 81)).toEqual({ kind: 'refused' });
    k.setNft('ip', withoutService(programNft('ip', VIEW, NODE), 'shop/one'));
    expect(to('10.96.0.17', 80)).toEqual({ kind: 'refused' });
    expect(to('10.96.0.12', 80)).toMatchObject({ kind: 'backend' });
    expect(run(k, 'nft delete table ip kube-proxy').code).toBe(0);
    expect(run(k, 'nft delete table ip kube-proxy').stderr).toContain('No such file or directory');
    expect(to('10.96.0.17', 80)).toEqual({ kind: 'untouched' });
  });
});

describe('ipvs', () => {
  const programmed = () => {
    const k = kernel();
    const node = { ...NODE, scheduler: 'rr', excluded: () => false };
    for (const family of ['IPv4', 'IPv6'] as const) {
      programIpvs(k.ipvs, k.iptables[family], family, family === 'IPv4' ? VIEW : { version: 1, ports: [] }, node);
    }
    return k;
  };

  it('is seen in /proc, on its device and in its sets', () => {
    const k = programmed();
    const kept = { client: '10.244.0.20', clientPort: 50_000, server: 'tcp/10.96.0.11/80', backend: '10.244.0.5:8080' };
    const servers = procFile(k, '/proc/net/ip_vs', true, [kept])?.split('\n') ?? [];
    expect(servers).toEqual(
      expect.arrayContaining([
        'TCP  0A60000B:0050 rr ',
        '  -> 0AF40005:1F90      Masq    1      1          0         ',
        'UDP  0A60000F:0035 rr ',
      ]),
    );
    expect(procFile(k, '/proc/net/ip_vs_conn', true, [kept])).toContain(
      'TCP 0AF40014 C350 0A60000B 0050 0AF40005 1F90 ESTABLISHED     899',
    );
    expect(run(k, 'ip -o addr show dev kube-ipvs0').stdout).toContain('    inet 10.96.0.11/32 scope global kube-ipvs0');
    const sets = run(k, 'ipset list -n').stdout.trim().split('\n');
    expect(sets).toHaveLength(34);
    expect(Math.max(...sets.map(set => set.length))).toBe(31);
    expect(procFile(kernel(), '/proc/net/ip_vs', true, [])).toBeUndefined();
  });

  it('does for Services what iptables mode does, but for policies Local', () => {
    const k = kernel();
    const node = { ...NODE, scheduler: 'rr', excluded: () => false };
    programIpvs(k.ipvs, k.iptables.IPv4, 'IPv4', SEVEN, node);
    const { readings } = kernelOf({
      nft: {},
      iptables: { 'iptables-nft': run(k, 'iptables-nft-save').stdout },
      ipsets: run(k, 'ipset list -n').stdout,
      ipVs: procFile(k, '/proc/net/ip_vs', true, []) ?? '',
      device: run(k, 'ip -o addr show dev kube-ipvs0').stdout,
      ipsetMembers: run(k, 'ipset save').stdout,
      ticksPerSecond: 250,
    });
    const expected = SEVEN_SERVICES.map(({ fromCluster, empty, ...rule }) => {
      if (rule.endpoints.length === 0 && fromCluster) return { ...rule, endpoints: fromCluster };
      return empty ? { ...rule, empty } : rule;
    });
    expect(sortedRules(readings.ipvs)).toEqual(expected);
  });

  it('is removed piece by piece', () => {
    const k = programmed();
    expect(run(k, 'ipset destroy KUBE-CLUSTER-IP').stderr).toContain('in use by a kernel component');
    expect(k.connect({ ip: '10.96.0.17', port: 80, protocol: 'tcp', from: 'pod' })).toMatchObject({
      via: 'ipvs',
      server: 'tcp/10.96.0.17/80',
    });
    expect(run(k, 'ipvsadm -D -t 10.96.0.17:80').code).toBe(0);
    expect(run(k, 'ipvsadm -D -t 10.96.0.17:80').code).toBe(1);
    expect(run(k, 'ipvsadm -D -u 10.96.0.15:53').code).toBe(0);
    expect(k.connect({ ip: '10.96.0.17', port: 80, protocol: 'tcp', from: 'pod' })).toEqual({ kind: 'refused' });
    expect(run(k, 'ip link del kube-ipvs0').code).toBe(0);
    expect(run(k, 'ip -o addr show dev kube-ipvs0').code).toBe(1);
  });

  it('leaves a NodePort dead where iptables mode has left its rejection behind', () => {
    const k = kernel();
    const empty = { ...base, service: 'shop/late', clusterIP: '10.96.0.20', nodePort: 30090 };
    programIptables(k.iptables.IPv4, { version: 1, ports: [{ ...empty, endpoints: [] }] }, NODE);
    const filled: ServiceView = { version: 2, ports: [{ ...empty, endpoints: ends('10.244.0.9:8080') }] };
    programIpvs(k.ipvs, k.iptables.IPv4, 'IPv4', filled, { ...NODE, scheduler: 'rr', excluded: () => false });
    const nodePort = () => k.connect({ ip: NODE.ip, port: 30090, protocol: 'tcp', from: 'pod' });
    expect(nodePort()).toEqual({ kind: 'refused' });
    run(k, 'iptables-nft-restore --noflush', '*filter\n-F KUBE-EXTERNAL-SERVICES\nCOMMIT\n');
    expect(nodePort()).toMatchObject({ kind: 'backend', via: 'ipvs' });
  });
});
