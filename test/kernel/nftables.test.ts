import { describe, expect, it } from 'vitest';
import { parseNftTable, readNftables } from '../../src/kernel/nftables.ts';
import { NFT_JSON } from './dumps.ts';

interface Item {
  rule?: { chain: string; expr: unknown[] };
  map?: { name: string; elem: [unknown, unknown][] };
  chain?: { name: string; hook?: string };
}
const read = (dump: string) => readNftables([parseNftTable(dump)]);
/** The real table with some of its objects changed or (undefined) taken away. */
const altered = (change: (item: Item) => Item | undefined) => {
  const { nftables } = JSON.parse(NFT_JSON) as { nftables: Item[] };
  return JSON.stringify({ nftables: nftables.flatMap(item => change(item) ?? []) });
};
const WEB = 'service-KHN6ECMT-shop/web/tcp/http';

describe('nftables mode', () => {
  it('answers for the same addresses and NodePorts as iptables mode', () => {
    const reading = read(NFT_JSON);
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

  it('misses a Service whose chain has no rules, or whose element is gone', () => {
    expect(read(altered(i => (i.rule?.chain === WEB ? undefined : i))).served.has('10.96.0.11:80/TCP')).toBe(false);
    const noElement = altered(item => {
      if (item.map?.name !== 'service-ips') return item;
      return { map: { ...item.map, elem: item.map.elem.filter(e => !JSON.stringify(e).includes(WEB)) } };
    });
    expect(read(noElement).served.has('10.96.0.11:80/TCP')).toBe(false);
    expect(read(noElement).served.size).toBe(7);
  });

  it('reads the endpoint chains of Kubernetes 1.35 and before', () => {
    const vmap = { vmap: { key: { numgen: {} }, data: { set: [[0, { goto: { target: 'endpoint-X-shop/web' } }]] } } };
    const old = altered(item => (item.rule?.chain === WEB ? { rule: { ...item.rule, expr: [vmap] } } : item));
    expect(read(old).served.size).toBe(8);
  });

  it('serves nothing when no hook leads to the Services', () => {
    const unhooked = altered(item => (item.rule?.chain === 'nat-prerouting' ? undefined : item));
    expect(read(unhooked)).toEqual({ present: true, served: new Set(), nodePorts: new Set() });
    const noBase = altered(item => (item.chain?.hook === undefined ? item : { chain: { name: item.chain.name } }));
    expect(read(noBase)).toEqual({ present: false, served: new Set(), nodePorts: new Set() });
  });

  it('takes a table that kube-proxy has just made for what it is: empty', () => {
    expect(read('{"nftables":[{"metainfo":{}},{"table":{"family":"ip6","name":"kube-proxy"}}]}').present).toBe(false);
  });

  it('refuses what nft does not print', () => {
    expect(() => parseNftTable('{}')).toThrow('nftables');
    expect(() => parseNftTable(NFT_JSON.slice(0, 5000))).toThrow();
  });
});
