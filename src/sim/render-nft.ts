// `nft -j list table ip kube-proxy`, in the form of nft 1.0.6 with JSON schema 1.
import type { NftTable } from './nft.ts';
import { chainRules, goTo, type Json, l4proto, MARK, mark, prefix, setMark } from './render-nft-chains.ts';

const BASE_CHAINS: readonly [string, string, string, number][] = [
  ['filter-prerouting-pre-dnat', 'filter', 'prerouting', -110],
  ['filter-output-pre-dnat', 'filter', 'output', -110],
  ['filter-input', 'filter', 'input', 0],
  ['filter-forward', 'filter', 'forward', 0],
  ['filter-output', 'filter', 'output', 0],
  ['nat-prerouting', 'nat', 'prerouting', -100],
  ['nat-output', 'nat', 'output', -100],
  ['nat-postrouting', 'nat', 'postrouting', 100],
];
const HELPER_CHAINS = [
  'nodeport-endpoints-check',
  'service-endpoints-check',
  'firewall-check',
  'services',
  'masquerading',
  'cluster-ips-check',
  'reject-chain',
];
const dport = { payload: { protocol: 'th', field: 'dport' } };
const isNew = { match: { op: 'in', left: { ct: { key: 'state' } }, right: 'new' } };
const jump = (target: string) => ({ jump: { target } });

const rendered = new WeakMap<NftTable, string>();

/** The whole document as one line. Rendered once for each state of the table. */
export function renderNft(table: NftTable): string {
  let text = rendered.get(table);
  if (text === undefined) {
    text = `${JSON.stringify({ nftables: new Renderer(table).all() })}\n`;
    rendered.set(table, text);
  }
  return text;
}

export const METAINFO = { metainfo: { version: '1.0.6', release_name: 'Lester Gooch #5', json_schema_version: 1 } };

class Renderer {
  private readonly table: NftTable;
  private readonly family: string;
  private handle = 10;

  constructor(table: NftTable) {
    this.table = table;
    this.family = table.family;
  }

  all(): Json[] {
    const { family } = this;
    const head = [METAINFO, { table: { family, name: 'kube-proxy', handle: this.next() } }];
    return [
      ...head,
      ...this.sets(),
      ...this.maps(),
      ...this.affinitySets(),
      ...this.chains(),
      ...this.helperRules(),
      ...this.serviceRules(),
    ];
  }

  private next(): number {
    return ++this.handle;
  }

  private sets(): Json[] {
    const address = this.family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const set = (name: string, type: unknown, comment: string, elem: readonly unknown[]) => ({
      set: {
        family: this.family,
        name,
        table: 'kube-proxy',
        type,
        handle: this.next(),
        comment,
        ...(elem.length > 0 ? { elem } : {}),
      },
    });
    const { hairpins, clusterIPs, nodePortIPs } = this.table;
    const pairs = hairpins.map(({ protocol, endpoint: { ip, port } }) => ({ concat: [ip, ip, protocol, port] }));
    const sets = [
      set(
        'hairpin-connections',
        [address, address, 'inet_proto', 'inet_service'],
        'service hairpin connections',
        pairs,
      ),
      set('cluster-ips', address, 'Active ClusterIPs', [...clusterIPs]),
    ];
    if (nodePortIPs) sets.push(set('nodeport-ips', address, 'IPs that accept NodePort traffic', nodePortIPs));
    return sets;
  }

  private maps(): Json[] {
    const address = this.family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const full = [address, 'inet_proto', 'inet_service'];
    const short = ['inet_proto', 'inet_service'];
    const map = (name: string, type: unknown, comment: string, elem: readonly unknown[]) => ({
      map: {
        family: this.family,
        name,
        table: 'kube-proxy',
        type,
        handle: this.next(),
        comment,
        map: 'verdict',
        ...(elem.length > 0 ? { elem } : {}),
      },
    });
    const { services, nodePorts, noEndpointServices, noEndpointNodePorts, firewalls } = this.table;
    const commented = (key: string, comment: string) => ({ elem: { val: concat(key), comment } });
    const refused = (elements: typeof noEndpointServices) =>
      [...elements].map(([key, { label, drop }]) => [
        commented(key, label),
        drop ? { drop: null } : goTo('reject-chain'),
      ]);
    const leading = (elements: typeof services) => [...elements].map(([key, chain]) => [concat(key), goTo(chain)]);
    return [
      map(
        'no-endpoint-services',
        full,
        'vmap to drop or reject packets to services with no endpoints',
        refused(noEndpointServices),
      ),
      map(
        'no-endpoint-nodeports',
        short,
        'vmap to drop or reject packets to service nodeports with no endpoints',
        refused(noEndpointNodePorts),
      ),
      map('firewall-ips', full, 'destinations that are subject to LoadBalancerSourceRanges', leading(firewalls)),
      map('service-ips', full, 'ClusterIP, ExternalIP and LoadBalancer IP traffic', leading(services)),
      map('service-nodeports', short, 'NodePort traffic', leading(nodePorts)),
    ];
  }

  private affinitySets(): Json[] {
    const { family } = this;
    const type = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const common = { family, table: 'kube-proxy', type, size: 65535, flags: ['timeout'] };
    return [...this.table.affinitySets].map(([name, timeout]) => ({
      set: { ...common, name, handle: this.next(), timeout },
    }));
  }

  private chains(): Json[] {
    const { family } = this;
    const base = BASE_CHAINS.map(([name, type, hook, prio]) => ({
      chain: { family, table: 'kube-proxy', name, handle: this.next(), type, hook, prio, policy: 'accept' },
    }));
    const plain = [...HELPER_CHAINS, ...this.table.chains.keys()].map(name => ({
      chain: { family, table: 'kube-proxy', name, handle: this.next() },
    }));
    return [...base, ...plain];
  }

  private rule(chain: string, expr: Json[], comment?: string): Json {
    const more = comment === undefined ? {} : { comment };
    return { rule: { family: this.family, table: 'kube-proxy', chain, handle: this.next(), ...more, expr } };
  }

  private helperRules(): Json[] {
    const daddr = { payload: { protocol: this.family, field: 'daddr' } };
    const saddr = { payload: { protocol: this.family, field: 'saddr' } };
    const serviceKey = { concat: [daddr, l4proto, dport] };
    const vmap = (key: Json, data: string) => ({ vmap: { key, data } });
    const is = (left: Json, right: unknown, op = '==') => ({ match: { op, left, right } });
    const icmp = { reject: { type: this.family === 'ip' ? 'icmp' : 'icmpv6', expr: 'port-unreachable' } };
    const { nodePortIPs } = this.table;
    const loopback = this.family === 'ip' ? { prefix: { addr: '127.0.0.0', len: 8 } } : '::1';
    const onNode = nodePortIPs
      ? [is(daddr, '@nodeport-ips')]
      : [is({ fib: { result: 'type', flags: ['daddr'] } }, 'local'), is(daddr, loopback, '!=')];
    const portKey = { concat: [l4proto, dport] };
    const check = (chain: string, ...targets: string[]) =>
      targets.map(target => this.rule(chain, [isNew, jump(target)]));
    const rules = [
      ...check('filter-prerouting-pre-dnat', 'firewall-check'),
      ...check('filter-output-pre-dnat', 'firewall-check'),
      ...check('filter-input', 'nodeport-endpoints-check', 'service-endpoints-check'),
      ...check('filter-forward', 'service-endpoints-check', 'cluster-ips-check'),
      ...check('filter-output', 'service-endpoints-check', 'cluster-ips-check'),
      this.rule('nat-prerouting', [jump('services')]),
      this.rule('nat-output', [jump('services')]),
      this.rule('nat-postrouting', [jump('masquerading')]),
      this.rule('nodeport-endpoints-check', [...onNode, vmap(portKey, '@no-endpoint-nodeports')]),
      this.rule('service-endpoints-check', [vmap(serviceKey, '@no-endpoint-services')]),
      this.rule('firewall-check', [vmap(serviceKey, '@firewall-ips')]),
    ];
    const fromOutside = [is(daddr, '@cluster-ips'), is(saddr, prefix(this.table.clusterCIDR), '!='), setMark];
    if (this.family === 'ip')
      rules.push(this.rule('services', fromOutside, 'masquerade clusterIP traffic from outside cluster'));
    const marked = { match: { op: '!=', left: { '&': [mark, MARK] }, right: 0 } };
    const unmark = { mangle: { key: mark, value: { '^': [mark, MARK] } } };
    const masquerade = { masquerade: { flags: 'fully-random' } };
    const hairpin = is({ concat: [saddr, daddr, l4proto, dport] }, '@hairpin-connections');
    const translated = { match: { op: 'in', left: { ct: { key: 'status' } }, right: 'dnat' } };
    return [
      ...rules,
      this.rule('services', [vmap(serviceKey, '@service-ips')]),
      this.rule('services', [...onNode, vmap(portKey, '@service-nodeports')]),
      this.rule('masquerading', [marked, unmark, masquerade]),
      this.rule('masquerading', [translated, hairpin, masquerade]),
      this.rule(
        'cluster-ips-check',
        [is(daddr, '@cluster-ips'), icmp],
        'Reject traffic to invalid ports of ClusterIPs',
      ),
      this.rule('reject-chain', [icmp]),
    ];
  }

  private serviceRules(): Json[] {
    return [...this.table.chains].flatMap(([name, chain]) =>
      chainRules(this.table, chain).map(({ expr, comment }) => this.rule(name, expr, comment)),
    );
  }
}

/** `10.96.0.1/tcp/443` or `tcp/30080` as a concatenation. */
function concat(key: string): Json {
  return { concat: key.split('/').map((part, index, all) => (index === all.length - 1 ? Number(part) : part)) };
}
