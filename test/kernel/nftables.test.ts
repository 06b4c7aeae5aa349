import { describe, expect, it } from 'vitest';
import { nftTableParser } from '../../src/kernel/nftables.ts';
import { readNftables } from '../../src/kernel/nftables-rules.ts';
import { NFT_JSON, parsed, SEVEN_SERVICES, sortedRules } from './dumps.ts';

interface Item {
  rule?: { chain: string; expr: Statement[] };
  map?: { name: string; elem?: [unknown, unknown][] };
  set?: { name: string; elem?: unknown[]; timeout?: number };
  chain?: { name: string; hook?: string };
}
// biome-ignore lint/suspicious/noExplicitAny: the shapes are what is tested.
type Statement = any;

const read = (dump: string, family: 'ip' | 'ip6' = 'ip') => readNftables([parsed(nftTableParser(family), dump)]);
/** The real table with some of its objects changed or (undefined) taken away. */
const altered = (change: (item: Item) => Item | undefined) => {
  const { nftables } = JSON.parse(NFT_JSON) as { nftables: Item[] };
  return JSON.stringify({ nftables: nftables.flatMap(item => change(item) ?? []) });
};
const withoutRules = (chain: string) => altered(item => (item.rule?.chain === chain ? undefined : item));
const withRule = (chain: string, expr: Statement[]) =>
  altered(item => (item.rule?.chain === chain ? { rule: { chain, expr } } : item));
const missing = (dump: string) => {
  const { rules } = read(dump);
  return SEVEN_SERVICES.map(rule => rule.key).filter(key => !rules.has(key));
};
const WEB = 'service-KHN6ECMT-shop/web/tcp/http';
const CART_ENDPOINT = 'endpoint-37NHSEK5-shop/cart/tcp/http__10.244.1.8/8080';
const isTcp = { match: { op: '==', left: { meta: { key: 'l4proto' } }, right: 'tcp' } };

describe('nftables mode', () => {
  it('does what its rules do: the same as iptables mode', () => {
    const reading = read(NFT_JSON);
    expect(reading.present).toBe(true);
    expect(sortedRules(reading)).toEqual(SEVEN_SERVICES);
  });

  it('has no rule for a Service whose chain has no rules, or whose element is gone', () => {
    expect(missing(withoutRules(WEB))).toEqual(['10.96.0.11:80/TCP']);
    const noElement = altered(item => {
      if (item.map?.name !== 'service-ips') return item;
      return { map: { ...item.map, elem: item.map.elem?.filter(e => !JSON.stringify(e).includes(WEB)) ?? [] } };
    });
    expect(missing(noElement)).toEqual(['10.96.0.11:80/TCP']);
  });

  it('does not reach an endpoint whose chain is empty, and has no affinity where it forgets its clients', () => {
    const { rules } = read(withoutRules(CART_ENDPOINT));
    expect(rules.get('10.96.0.12:80/TCP')).toEqual({
      key: '10.96.0.12:80/TCP',
      endpoints: ['10.244.0.6:8080'],
      affinitySeconds: 10800,
    });
    const forgetting = altered(i => (i.rule?.chain === CART_ENDPOINT && i.rule.expr[0]?.set ? undefined : i));
    expect(read(forgetting).rules.get('10.96.0.12:80/TCP')).toEqual({
      key: '10.96.0.12:80/TCP',
      endpoints: ['10.244.0.6:8080', '10.244.1.8:8080'],
    });
  });

  it('serves no NodePort where no address accepts any', () => {
    const none = altered(i => (i.set?.name === 'nodeport-ips' ? { set: { name: 'nodeport-ips' } } : i));
    expect(missing(none)).toEqual(['0.0.0.0:30080/TCP', '0.0.0.0:30081/TCP', '0.0.0.0:30443/TCP']);
    const all = { match: { op: '==', left: { fib: { result: 'type', flags: ['daddr'] } }, right: 'local' } };
    const onAll = altered(({ rule, ...item }) => {
      if (!rule || !JSON.stringify(rule.expr).includes('@nodeport-ips')) return rule ? { rule } : item;
      return { rule: { ...rule, expr: [all, ...rule.expr.slice(1)] } };
    });
    expect(missing(onAll)).toEqual([]);
  });

  it('lets everybody come where nothing leads to the firewall', () => {
    const { rules } = read(withoutRules('filter-prerouting-pre-dnat'));
    expect(rules.get('203.0.113.9:443/TCP')).toEqual({
      key: '203.0.113.9:443/TCP',
      endpoints: ['10.244.0.7:8080'],
      fromCluster: ['10.244.0.7:8080', '10.244.1.9:8080'],
    });
  });

  it('reads several source ranges, joined, without the node itself', () => {
    const prefix = (addr: string, len: number) => ({ prefix: { addr, len } });
    const set = [
      prefix('198.51.100.0', 25),
      { range: ['198.51.100.128', '198.51.100.255'] },
      '192.0.2.7',
      '203.0.113.9',
    ];
    const saddr = { payload: { protocol: 'ip', field: 'saddr' } };
    const expr = [{ match: { op: '!=', left: saddr, right: { set } } }, { drop: null }];
    const { rules } = read(withRule('firewall-KD2G2ZC4-shop/edge/tcp/http', expr));
    expect(rules.get('203.0.113.9:443/TCP')?.sourceRanges).toEqual(['192.0.2.7/32', '198.51.100.0/24']);
  });

  it('serves nothing when not all hooks lead to the Services', () => {
    for (const hook of ['nat-prerouting', 'nat-output']) {
      const { present, rules } = read(withoutRules(hook));
      expect(present).toBe(true);
      expect([...rules.values()].flatMap(rule => rule.endpoints)).toEqual([]);
      expect([...rules.keys()].toSorted()).toEqual(['0.0.0.0:30081/TCP', '10.96.0.14:80/TCP']);
    }
    const noBase = altered(item => (item.chain?.hook === undefined ? item : { chain: { name: item.chain.name } }));
    expect(read(noBase)).toEqual({ present: false, rules: new Map() });
  });

  it('refuses as the rules say', () => {
    expect(missing(withoutRules('filter-input'))).toEqual([]);
    expect(read(withoutRules('filter-input')).rules.get('0.0.0.0:30081/TCP')).not.toHaveProperty('empty');
    expect(missing(withoutRules('filter-forward'))).toEqual(['10.96.0.14:80/TCP']);
    expect(missing(withoutRules('reject-chain'))).toEqual(['10.96.0.14:80/TCP']);
  });

  it('takes a table that kube-proxy has just made for what it is: empty', () => {
    const dump = '{"nftables":[{"metainfo":{}},{"table":{"family":"ip6","name":"kube-proxy"}}]}';
    expect(read(dump, 'ip6')).toEqual({ present: false, rules: new Map() });
  });
});

describe('forms of other versions', () => {
  const endpoints = ['10.244.0.5:8080', '10.244.1.7:8080'];
  const numgen = { numgen: { mode: 'random', mod: 2, offset: 0 } };

  it('a chain for each endpoint, until 1.35', () => {
    const chains = endpoints.map(endpoint => `endpoint-ABCDEFGH-shop/web/tcp/http__${endpoint.replace(':', '/')}`);
    const set = chains.map((target, index) => [index, { goto: { target } }]);
    const saddr = { payload: { protocol: 'ip', field: 'saddr' } };
    const { nftables } = JSON.parse(withRule(WEB, [{ vmap: { key: numgen, data: { set } } }])) as { nftables: Item[] };
    for (const [index, name] of chains.entries()) {
      const [addr = '', port] = endpoints[index]?.split(':') ?? [];
      const hairpin = [{ match: { op: '==', left: saddr, right: addr } }, { mangle: { key: {}, value: {} } }];
      nftables.push({ chain: { name } }, { rule: { chain: name, expr: hairpin } });
      nftables.push({ rule: { chain: name, expr: [isTcp, { dnat: { addr, port: Number(port) } }] } });
    }
    expect(sortedRules(read(JSON.stringify({ nftables })))).toEqual(SEVEN_SERVICES);
  });

  it.each([
    ['an address and a port', { addr: '10.244.0.5', port: 8080 }],
    ['both together', { family: 'ip', addr: { concat: ['10.244.0.5', 8080] } }],
  ])('%s for a single endpoint, from 1.37', (_what, dnat) => {
    const { rules } = read(withRule(WEB, [isTcp, { dnat }]));
    expect(rules.get('10.96.0.11:80/TCP')).toEqual({ key: '10.96.0.11:80/TCP', endpoints: ['10.244.0.5:8080'] });
  });

  it('protocols by number, where nft does not know their names', () => {
    const numbers = NFT_JSON.replaceAll(/("concat": \[(?:"10[^"]*", )?)"tcp"/g, '$16').replaceAll(
      '"udp", 53]',
      '17, 53]',
    );
    expect(sortedRules(read(numbers))).toEqual(SEVEN_SERVICES);
  });
});

describe('a dump', () => {
  const table = (dump: string, size?: number) => parsed(nftTableParser('ip'), dump, size);

  it('that is none, or was cut off anywhere, is refused', () => {
    expect(() => table('{}')).toThrow('nftables');
    expect(() => table(`{"other":[],${' '.repeat(2000)}"nftables":[]}`)).toThrow('at the beginning');
    expect(() => table(`${NFT_JSON.trim()}, {}`)).toThrow();
    const end = NFT_JSON.trimEnd().length;
    for (let length = 0; length < end; length += 13)
      expect(() => table(NFT_JSON.slice(0, length)), `${length}`).toThrow();
    expect(() => table(NFT_JSON.slice(0, end - 1))).toThrow();
  });

  it.each([1, 2, 3, 64, 1_000_000])('is the same in pieces of %i characters', size => {
    const strange = { chain: { name: 'a "\\" ]},{[ \\\\"', hook: 'z\\' } };
    const dump = altered(item => item).replace('[', `[ ${JSON.stringify(strange)},\n`);
    const whole = table(dump);
    expect([...whole.chains.keys()][0]).toBe(strange.chain.name);
    expect(table(dump, size)).toEqual(whole);
  });

  it('with a rule of a chain that it does not list is refused', () => {
    expect(() => table('{"nftables": [{"rule": {"chain": "x", "expr": []}}]}')).toThrow('x');
  });
});
