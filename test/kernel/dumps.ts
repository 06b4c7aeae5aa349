// Dumps of one set of seven Services by kube-proxy 1.36.3 (dumps/), and of ipvs mode in the kernel's own format.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KernelDumps } from '../../src/kernel/kernel.ts';

function dump(name: string): string {
  return readFileSync(join(import.meta.dirname, 'dumps', name), 'utf8');
}

export const IPTABLES_SAVE = dump('iptables-nat.txt') + dump('iptables-filter.txt');
/** ipvs mode's chains, as iptables-nft-save 1.8.9 prints them. */
export const IPVS_SAVE = dump('ipvs-iptables.txt');
export const NFT_JSON = dump('nftables.json');

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

export const EMPTY: KernelDumps = { nft: {}, iptables: {}, ipsets: '' };
export const IPVS_DUMPS: KernelDumps = {
  nft: {},
  iptables: { 'iptables-nft': IPVS_SAVE },
  ipsets: IPSETS,
  ipVs: IP_VS,
  device: KUBE_IPVS0,
};
