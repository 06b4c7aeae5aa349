import { describe, expect, it } from 'vitest';
import { cleansItself, foldNames, leftoverNames, leftovers, tracesOf } from '../../src/kernel/leftovers.ts';
import { EMPTY, IPTABLES_SAVE, IPVS_DUMPS, IPVS_SAVE, kernelOf, NFT_JSON, type Texts } from './dumps.ts';

const kernel = (dumps: Partial<Texts>) => kernelOf({ ...EMPTY, ...dumps });
const iptables = kernel({ iptables: { 'iptables-nft': IPTABLES_SAVE } });
const ipvs = kernelOf(IPVS_DUMPS);
const SHARED = ['nat/KUBE-SERVICES', 'nat/KUBE-POSTROUTING', 'nat/KUBE-MARK-MASQ', 'filter/KUBE-FORWARD'];

describe('what iptables mode leaves behind', () => {
  it('is its own chains and jumps while ipvs serves, never a shared chain', () => {
    const traces = tracesOf('iptables', 'ipvs', iptables);
    expect(traces).toContain('filter/KUBE-EXTERNAL-SERVICES');
    expect(traces).toContain('filter/KUBE-SERVICES');
    expect(traces).toContain('nat/KUBE-SEP-2PMJH7YGRM562E33');
    expect(traces).toContain('filter/OUTPUT -> KUBE-PROXY-FIREWALL');
    for (const shared of [...SHARED, 'filter/KUBE-PROXY-FIREWALL']) expect(traces).not.toContain(shared);
  });

  it('includes the shared chains once nftables serves', () => {
    expect(tracesOf('iptables', 'nftables', iptables)).toEqual(expect.arrayContaining(SHARED));
  });

  it("never includes kubelet's and other programs' chains", () => {
    const foreign = IPTABLES_SAVE.replace(
      ':KUBE-FORWARD',
      ':KUBE-ROUTER-INPUT - [0:0]\n:KUBE-KUBELET-CANARY - [0:0]\n:KUBE-POD-FW-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-FORWARD',
    );
    const names = leftoverNames(leftovers('iptables', 'nftables', kernel({ iptables: { 'iptables-nft': foreign } })));
    expect(names.filter(name => /FIREWALL|ROUTER|KUBELET|POD-FW|HINT/.test(name))).toEqual([
      'filter/KUBE-PROXY-FIREWALL',
    ]);
  });

  it("leaves alone what a CNI's rule needs, and counts it as no leftover", () => {
    const portmap = IPTABLES_SAVE.replace(
      ':KUBE-MARK-MASQ - [0:0]',
      ':CNI-DN-1 - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n-A CNI-DN-1 -p tcp -j KUBE-MARK-MASQ',
    );
    const traces = tracesOf('iptables', 'nftables', kernel({ iptables: { 'iptables-nft': portmap } }));
    expect(traces).not.toContain('nat/KUBE-MARK-MASQ');
    expect(traces).toContain('nat/KUBE-SERVICES');
    expect(cleansItself(kernel({ iptables: { 'iptables-nft': portmap } }))).toBe(false);
  });

  it('goes by itself, unless it stands in both backends or is needed', () => {
    expect(cleansItself(iptables)).toBe(true);
    expect(cleansItself(kernel({}))).toBe(true);
    const save = '*nat\n:KUBE-NODEPORTS - [0:0]\nCOMMIT\n';
    expect(cleansItself(kernel({ iptables: { 'iptables-nft': save, 'ip6tables-nft': save } }))).toBe(true);
    expect(cleansItself(kernel({ iptables: { 'iptables-nft': save, 'iptables-legacy': save } }))).toBe(false);
  });

  it('names a chain that a live rule needs, and does not offer to remove it', () => {
    const dump = IPTABLES_SAVE.replace(
      '-A KUBE-MARK-MASQ -j MARK',
      '-A KUBE-MARK-MASQ -j KUBE-SVC-53NQGHIA2LBTRYDO\n-A KUBE-MARK-MASQ -j MARK',
    );
    const left = leftovers('iptables', 'ipvs', kernel({ iptables: { 'iptables-legacy': dump } }));
    expect(left.chains.map(c => c.chain)).not.toContain('KUBE-SVC-53NQGHIA2LBTRYDO');
    expect(leftoverNames(left)).toContain('nat/KUBE-SVC-53NQGHIA2LBTRYDO');
  });

  it('is the same name in both backends and another one for IPv6', () => {
    const save = '*nat\n:KUBE-NODEPORTS - [0:0]\nCOMMIT\n';
    const both = kernel({ iptables: { 'iptables-nft': save, 'iptables-legacy': save, 'ip6tables-nft': save } });
    expect(tracesOf('iptables', 'ipvs', both)).toEqual(['nat/KUBE-NODEPORTS', 'ip6 nat/KUBE-NODEPORTS']);
  });
});

describe('what ipvs mode leaves behind', () => {
  const nowIptables = kernelOf({
    ...IPVS_DUMPS,
    iptables: { 'iptables-nft': IPVS_SAVE, 'iptables-legacy': IPTABLES_SAVE },
  });

  it('is device, sets, chains, jumps and the virtual servers of Services', () => {
    const traces = tracesOf('ipvs', 'iptables', nowIptables);
    expect(traces).toEqual(
      expect.arrayContaining([
        'filter/KUBE-IPVS-FILTER',
        'filter/KUBE-SOURCE-RANGES-FIREWALL',
        'filter/FORWARD -> KUBE-PROXY-FIREWALL',
        'virtual server 10.96.0.11:80/TCP',
        'virtual server [fd00:10:96::b]:53/UDP',
        'virtual server 192.168.7.2:30080/TCP',
        'device kube-ipvs0',
        'ipset KUBE-6-LOAD-BALANCER-SOURCE-CID',
      ]),
    );
    // Of keepalived or the like, and of kube-router.
    expect(traces).not.toContain('virtual server 192.168.7.99:6443/TCP');
    expect(traces).not.toContain('ipset KUBE-SRC-7WSNKQ');
    for (const shared of SHARED) expect(traces).not.toContain(shared);
  });

  it('does not include what kube-proxy was told to leave alone', () => {
    const left = leftovers('ipvs', 'iptables', nowIptables, address => address === '192.168.7.2');
    expect(left.virtualServers.map(s => s.address)).toEqual(['10.96.0.11', '10.96.0.12', 'fd00:10:96::b']);
  });

  it('holds back chains that the shared chains still lead to', () => {
    const left = leftovers('ipvs', 'iptables', ipvs);
    expect(
      left.held
        .filter(c => c.variant === 'iptables-nft')
        .map(c => c.chain)
        .toSorted(),
    ).toEqual(['KUBE-LOAD-BALANCER', 'KUBE-NODE-PORT', 'KUBE-SOURCE-RANGES-FIREWALL']);
  });
});

describe('what nftables mode leaves behind', () => {
  it('is its tables', () => {
    const both = kernel({ nft: { ip: NFT_JSON, ip6: '{"nftables":[]}' } });
    expect(tracesOf('nftables', 'iptables', both)).toEqual(['table ip kube-proxy', 'table ip6 kube-proxy']);
  });
});

it('nothing is left of the mode that serves', () => {
  expect(tracesOf('iptables', 'iptables', iptables)).toEqual([]);
  expect(tracesOf('ipvs', 'ipvs', ipvs)).toEqual([]);
});

it('leaves shared chains out while nobody said which mode serves', () => {
  expect(tracesOf('iptables', undefined, iptables)).not.toContain('nat/KUBE-SERVICES');
});

it('folds long lists', () => {
  const names = Array.from({ length: 60 }, (_, n) => `n${n}`);
  expect(foldNames(names)).toHaveLength(51);
  expect(foldNames(names).at(-1)).toBe('and 10 more');
});
