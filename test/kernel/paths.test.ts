// Ways through real dumps, told by hand: the same set of Services in every mode.
import { describe, expect, it } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { CLIENTS, type Client } from '../../src/core/service-path.ts';
import { pathOf } from '../../src/kernel/kernel.ts';
import { EMPTY, IP_VS, IPTABLES_SAVE, IPVS_DUMPS, kernelOf, NFT_JSON, SEVEN_SERVICES, type Texts } from './dumps.ts';

const DUMPS: Record<Mode, Texts> = {
  iptables: { ...EMPTY, iptables: { 'iptables-nft': IPTABLES_SAVE } },
  nftables: { ...EMPTY, nft: { ip: NFT_JSON } },
  ipvs: IPVS_DUMPS,
};
const way = (mode: Mode, key: string, client: Client, over: Partial<Texts> = {}) =>
  pathOf(kernelOf({ ...DUMPS[mode], ...over }), mode, key, client);
const hops = (...args: Parameters<typeof way>) =>
  way(...args).hops.map(h => `${h.table ? `${h.table} ` : ''}${h.name}`);

describe('iptables mode', () => {
  it('goes by the chains of the Service to those of its endpoints', () => {
    const made = way('iptables', '10.96.0.11:80/TCP', 'pod');
    expect(made.hops.map(h => h.name)).toEqual(['PREROUTING', 'KUBE-SERVICES', 'KUBE-SVC-67NZLRHBNDSAWJRO']);
    expect(made).toMatchObject({ outcome: 'endpoints', endpoints: 2, masquerade: 'self' });
    expect(made.ends).toEqual([
      { address: '10.244.0.5:8080', chain: 'KUBE-SEP-2QFQVMZDRZXAQWB2' },
      { address: '10.244.1.7:8080', chain: 'KUBE-SEP-UGQTAJUJOQJVZIEC' },
    ]);
  });

  it('masquerades everybody but pods at a ClusterIP', () => {
    expect(hops('iptables', '10.96.0.11:80/TCP', 'node')).toEqual([
      'nat OUTPUT',
      'nat KUBE-SERVICES',
      'nat KUBE-SVC-67NZLRHBNDSAWJRO',
      'nat POSTROUTING',
      'nat KUBE-POSTROUTING',
    ]);
    expect(way('iptables', '10.96.0.11:80/TCP', 'outside').masquerade).toBe('all');
  });

  it('does not mark at a load balancer address what is only marked at the ClusterIP', () => {
    const made = way('iptables', '203.0.113.9:443/TCP', 'node');
    const marking = made.hops.filter(h => h.does?.includes('marks it')).map(h => h.name);
    expect(marking).toEqual(['KUBE-EXT-6DIQQWZY5FTPVDUK']);
    expect(made.hops.map(h => h.name)).toContain('KUBE-FW-6DIQQWZY5FTPVDUK');
    expect(made.sourceRanges).toEqual(['198.51.100.0/24']);
  });

  it('refuses in the filter table', () => {
    expect(hops('iptables', '10.96.0.14:80/TCP', 'pod')).toEqual(['filter FORWARD', 'filter KUBE-SERVICES']);
    expect(hops('iptables', '10.96.0.14:80/TCP', 'node')).toEqual(['filter OUTPUT', 'filter KUBE-SERVICES']);
    expect(hops('iptables', '0.0.0.0:30081/TCP', 'outside')).toEqual(['filter INPUT', 'filter KUBE-EXTERNAL-SERVICES']);
  });

  it('says that rules are in the older backend', () => {
    const iptables = { 'iptables-nft': '', 'iptables-legacy': IPTABLES_SAVE };
    expect(way('iptables', '10.96.0.11:80/TCP', 'pod', { iptables })).toMatchObject({ legacy: true, endpoints: 2 });
    expect(way('iptables', '10.96.0.11:80/TCP', 'pod')).not.toHaveProperty('legacy');
  });
});

describe('nftables mode', () => {
  it('looks the address up in a map, and translates in the chain of the Service', () => {
    const made = way('nftables', '10.96.0.11:80/TCP', 'pod');
    expect(made.hops.map(h => `${h.kind} ${h.name}`)).toEqual([
      'hook nat-prerouting',
      'chain services',
      'map service-ips',
      'chain service-KHN6ECMT-shop/web/tcp/http',
    ]);
    expect(made).toMatchObject({ outcome: 'endpoints', endpoints: 2, masquerade: 'self' });
  });

  it('has chains of endpoints where it remembers clients', () => {
    const made = way('nftables', '10.96.0.12:80/TCP', 'outside');
    expect(made.ends.map(e => e.chain)).toEqual([
      'endpoint-Q7QP54OX-shop/cart/tcp/http__10.244.0.6/8080',
      'endpoint-37NHSEK5-shop/cart/tcp/http__10.244.1.8/8080',
    ]);
    expect(made.hops.map(h => h.does).join()).toContain('keeps a client with its own for 10800 s');
    expect(made.masquerade).toBe('all');
  });

  it('meets the firewall before the translation', () => {
    const names = hops('nftables', '203.0.113.9:443/TCP', 'outside');
    expect(names).toEqual([
      'filter-prerouting-pre-dnat',
      'firewall-check',
      'firewall-ips',
      'firewall-KD2G2ZC4-shop/edge/tcp/http',
      'nat-prerouting',
      'services',
      'service-ips',
      'external-KD2G2ZC4-shop/edge/tcp/http',
      'local-KD2G2ZC4-shop/edge/tcp/http',
    ]);
  });

  it('refuses by the map of those without endpoints, and what only the ClusterIP is known of', () => {
    expect(hops('nftables', '10.96.0.14:80/TCP', 'pod')).toEqual([
      'filter-forward',
      'service-endpoints-check',
      'no-endpoint-services',
      'reject-chain',
    ]);
    expect(way('nftables', '10.96.0.11:81/TCP', 'pod')).toMatchObject({ outcome: 'reject' });
  });

  it('leads NodePorts on where nodePortAddresses names every address', () => {
    const dump = JSON.parse(NFT_JSON);
    const left = { payload: { protocol: 'ip', field: 'daddr' } };
    const anywhere = { op: '!=', left, right: { prefix: { addr: '127.0.0.0', len: 8 } } };
    const local = { op: '==', left: { fib: { result: 'type', flags: ['daddr'] } }, right: 'local' };
    for (const { rule } of dump.nftables) {
      const at = rule?.expr?.findIndex((e: { match?: { right: unknown } }) => e.match?.right === '@nodeport-ips') ?? -1;
      if (at >= 0) rule.expr.splice(at, 1, { match: local }, { match: anywhere });
    }
    const over = { nft: { ip: JSON.stringify(dump) } };
    const key = SEVEN_SERVICES.find(rule => rule.key.startsWith('0.0.0.0:') && rule.endpoints.length > 0)?.key ?? '';
    expect(way('nftables', key, 'outside', over)).toEqual(way('nftables', key, 'outside'));
    expect(way('nftables', key, 'outside', over).outcome).toBe('endpoints');
  });

  it('masquerades no pod that reaches itself where none of the endpoints is on the node', () => {
    expect(way('nftables', '10.96.0.15:53/UDP', 'pod').masquerade).toBe('none');
  });
});

describe('iptables and nftables mode', () => {
  it.each(SEVEN_SERVICES)('lead $key to what their rules were read to do', ({ key, ...rule }) => {
    for (const mode of ['iptables', 'nftables'] as const) {
      for (const client of CLIENTS) {
        const made = way(mode, key, client);
        const wanted = client === 'outside' ? rule.endpoints : (rule.fromCluster ?? rule.endpoints);
        expect(
          made.ends.map(e => e.address),
          `${mode} ${client}`,
        ).toEqual(wanted);
        expect(made.outcome, `${mode} ${client}`).toBe(wanted.length > 0 ? 'endpoints' : rule.empty);
        expect(made.sourceRanges, `${mode} ${client}`).toEqual(rule.sourceRanges);
      }
    }
  });

  it('know nothing of an address that is no Service’s', () => {
    for (const mode of ['iptables', 'nftables'] as const)
      expect(way(mode, '198.51.100.7:80/TCP', 'pod')).toMatchObject({ outcome: 'nothing', hops: [] });
  });
});

describe('ipvs mode', () => {
  it('goes over the device to the virtual server', () => {
    const made = way('ipvs', '10.96.0.11:80/TCP', 'outside');
    expect(made.hops.map(h => `${h.kind} ${h.name}`)).toEqual([
      'hook PREROUTING',
      'chain KUBE-SERVICES',
      'set KUBE-CLUSTER-IP',
      'device kube-ipvs0',
      'server 10.96.0.11:80/TCP',
      'hook POSTROUTING',
      'chain KUBE-POSTROUTING',
    ]);
    expect(made).toMatchObject({ masquerade: 'all', ends: [{ address: '10.244.0.5:8080' }] });
    expect(way('ipvs', '10.96.0.11:80/TCP', 'pod').masquerade).toBe('none');
  });

  it('has a virtual server on each address of the node for a NodePort', () => {
    expect(hops('ipvs', '0.0.0.0:30080/TCP', 'outside')).toEqual([
      'nat PREROUTING',
      'nat KUBE-SERVICES',
      'nat KUBE-NODE-PORT',
      'KUBE-NODE-PORT-TCP',
      '192.168.7.2:30080/TCP',
      'nat POSTROUTING',
      'nat KUBE-POSTROUTING',
    ]);
  });

  it('is refused by the filter where a set lacks it, and by a server without destinations', () => {
    const ipsetMembers = IPVS_DUMPS.ipsetMembers?.replace('add KUBE-CLUSTER-IP 10.96.0.11,tcp:80\n', '') ?? '';
    const made = way('ipvs', '10.96.0.11:80/TCP', 'pod', { ipsetMembers });
    expect(made).toMatchObject({ outcome: 'reject', endpoints: 0 });
    expect(made.hops.at(-1)).toMatchObject({ name: 'KUBE-IPVS-FILTER', does: 'refuses it' });
    expect(way('ipvs', '10.96.0.12:80/TCP', 'pod')).toMatchObject({ outcome: 'reject' });
  });

  it('tells the scheduler, and knows IPv6', () => {
    const ipVs = IP_VS.replace(
      '  -> 0AF40005:1F90      Masq    1      1          0\n',
      '  -> 0AF40005:1F90      Masq    1      1          0\n  -> 0AF40006:1F90      Masq    1      1          0\n',
    );
    const made = way('ipvs', '10.96.0.11:80/TCP', 'pod', { ipVs });
    expect(made.hops.at(-1)?.does).toBe('picks one of 2 endpoints by rr');
    expect(way('ipvs', '[fd00:10:96::b]:53/UDP', 'pod').ends).toEqual([{ address: '[fd00:10:244::5]:53' }]);
  });
});
