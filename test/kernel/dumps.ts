// Dumps of one set of seven Services by kube-proxy 1.36.3 (dumps/), and of ipvs mode in the kernel's own format.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceRule } from '../../src/core/service-rules.ts';
import { ipsetSaveParser } from '../../src/kernel/ipset.ts';
import { iptablesSaveParser } from '../../src/kernel/iptables.ts';
import { type IptablesVariant, type Kernel, type KernelDumps, parseKernel } from '../../src/kernel/kernel.ts';
import { nftTableParser } from '../../src/kernel/nftables.ts';
import { isIpvsSet } from '../../src/kernel/ownership.ts';
import type { Parser } from '../../src/kernel/parser.ts';

function dump(name: string): string {
  return readFileSync(join(import.meta.dirname, 'dumps', name), 'utf8');
}

export const IPTABLES_SAVE = dump('iptables-nat.txt') + dump('iptables-filter.txt');
/** ipvs mode's chains, as iptables-nft-save 1.8.9 prints them. */
export const IPVS_SAVE = dump('ipvs-iptables.txt');
export const NFT_JSON = dump('nftables.json');

const rule = (key: string, endpoints: string[], more: Partial<ServiceRule> = {}): ServiceRule => ({
  key,
  endpoints,
  ...more,
});
const EDGE = ['10.244.0.7:8080', '10.244.1.9:8080'];
const CART = ['10.244.0.6:8080', '10.244.1.8:8080'];
/** What the rules of both dumps do, read by hand. The node has the endpoints in 10.244.0.0/24. */
export const SEVEN_SERVICES: readonly ServiceRule[] = [
  rule('0.0.0.0:30080/TCP', CART, { affinitySeconds: 10800 }),
  rule('0.0.0.0:30081/TCP', [], { fromCluster: ['10.244.1.11:8080'], empty: 'drop' }),
  rule('0.0.0.0:30443/TCP', ['10.244.0.7:8080'], { fromCluster: EDGE }),
  rule('10.96.0.11:80/TCP', ['10.244.0.5:8080', '10.244.1.7:8080']),
  rule('10.96.0.12:80/TCP', CART, { affinitySeconds: 10800 }),
  rule('10.96.0.13:443/TCP', EDGE),
  rule('10.96.0.14:80/TCP', [], { empty: 'reject' }),
  rule('10.96.0.15:53/UDP', ['10.244.1.10:5353']),
  rule('10.96.0.16:80/TCP', ['10.244.1.11:8080']),
  rule('10.96.0.17:80/TCP', ['10.244.0.9:8080']),
  rule('203.0.113.9:443/TCP', ['10.244.0.7:8080'], { fromCluster: EDGE, sourceRanges: ['198.51.100.0/24'] }),
];

export function sortedRules({ rules }: { rules: ReadonlyMap<string, ServiceRule> }): ServiceRule[] {
  return [...rules.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

export const IP_VS = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A60000B:0050 rr
  -> 0AF40005:1F90      Masq    1      1          0
TCP  0A60000C:0050 rr persistent 2700000 FFFFFFFF
UDP  [fd00:0010:0096:0000:0000:0000:0000:000b]:0035 rr
  -> [fd00:0010:0244:0000:0000:0000:0000:0005]:0035      Masq    1      0          0
TCP  C0A80702:7580 rr
  -> 0AF40005:1F90      Masq    1      0          0
TCP  C0A80763:192B wlc
FWM  00000001 rr
`;
export const IP_VS_CONN = `Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0AF40105 D4A2 0A60000B 0050 0AF40005 1F90 ESTABLISHED     899
TCP 0AF40105 D4A3 0A60000B 0050 0AF40005 1F90 TIME_WAIT        99
UDP [fd00:0010:0244:0000:0000:0000:0000:0001] 9C40 [fd00:0010:0096:0000:0000:0000:0000:000b] 0035 [fd00:0010:0244:0000:0000:0000:0000:0005] 0035 UDP             299
`;
export const KUBE_IPVS0 = `7: kube-ipvs0    inet 10.96.0.11/32 scope global kube-ipvs0\\       valid_lft forever preferred_lft forever
7: kube-ipvs0    inet 10.96.0.12/32 scope global kube-ipvs0\\       valid_lft forever preferred_lft forever
7: kube-ipvs0    inet6 fd00:10:96::b/128 scope global \\       valid_lft forever preferred_lft forever
`;
export const IPSETS =
  'KUBE-CLUSTER-IP\nKUBE-LOOP-BACK\nKUBE-6-CLUSTER-IP\nKUBE-6-LOAD-BALANCER-SOURCE-CID\nKUBE-SRC-7WSNKQ\n';

/** Of the ipvs node, as far as it has them filled. */
export const IPSET_SAVE = `create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1
add KUBE-CLUSTER-IP 10.96.0.11,tcp:80
add KUBE-CLUSTER-IP 10.96.0.12,tcp:80
create KUBE-6-CLUSTER-IP hash:ip,port family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0x2
add KUBE-6-CLUSTER-IP fd00:10:96::b,udp:53
create KUBE-IPVS-IPS hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x3
add KUBE-IPVS-IPS 10.96.0.11
add KUBE-IPVS-IPS 10.96.0.12
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-TCP 30080
create KUBE-SRC-7WSNKQ hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x4
add KUBE-SRC-7WSNKQ 10.244.0.9 timeout 0
`;

/** What programs print, before it is parsed. */
export type Texts = Omit<KernelDumps, 'nft' | 'iptables' | 'ipsetMembers'> & {
  readonly nft: Partial<Record<'ip' | 'ip6', string>>;
  readonly iptables: Partial<Record<IptablesVariant, string>>;
  readonly ipsetMembers?: string;
};

/** What a parser makes of a text that comes in pieces of so many characters. */
export function parsed<T>(parser: Parser<T>, text: string, size = 997): T {
  return filled(parser, text, size).end();
}

function filled<T>(parser: Parser<T>, text: string, size = 997): Parser<T> {
  for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
  return parser;
}

export function kernelOf({ nft, iptables, ipsetMembers, ...others }: Texts): Kernel {
  const tables = Object.entries(nft).map(([family, text]) => [family, filled(nftTableParser(family as 'ip'), text)]);
  const saves = Object.entries(iptables).map(([variant, text]) => [variant, filled(iptablesSaveParser(), text)]);
  return parseKernel({
    ...others,
    nft: Object.fromEntries(tables),
    iptables: Object.fromEntries(saves),
    ...(ipsetMembers === undefined ? {} : { ipsetMembers: filled(ipsetSaveParser(isIpvsSet), ipsetMembers) }),
  });
}

export const EMPTY: Texts = { nft: {}, iptables: {}, ipsets: '' };
export const IPVS_DUMPS: Texts = {
  nft: {},
  iptables: {
    'iptables-nft': IPVS_SAVE,
    'ip6tables-nft': IPVS_SAVE.replaceAll('--match-set KUBE-', '--match-set KUBE-6-'),
  },
  ipsets: IPSETS,
  ipVs: IP_VS,
  device: KUBE_IPVS0,
  ipsetMembers: IPSET_SAVE,
  ticksPerSecond: 250,
};
