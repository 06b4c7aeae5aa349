// What ipvs mode does: virtual servers, the addresses of kube-ipvs0, and the sets and chains that let packets reach them.
// Source: kube-proxy 1.36 pkg/proxy/ipvs/proxier.go.
import { nodePort } from '../core/service-port.ts';
import type { ServiceRule } from '../core/service-rules.ts';
import { type IpSets, setName } from './ipset.ts';
import { type Chain, type Options, parseOptions, reachableFromAll, type Tables } from './iptables.ts';
import { type VirtualServer, virtualServerKey } from './ipvs.ts';
import { type ModeReading, type Reach, RuleBook } from './reading.ts';

export interface IpvsParts {
  readonly servers: readonly VirtualServer[];
  /** Of kube-ipvs0; undefined without the device: then ipvs mode is not there. */
  readonly addresses: ReadonlySet<string> | undefined;
  readonly sets: IpSets;
  /** Of the kernel's clock; undefined where nobody found out. */
  readonly ticksPerSecond: number | undefined;
  readonly iptables: readonly { readonly family: 'ip' | 'ip6'; readonly tables: Tables }[];
}

export function readIpvs(parts: IpvsParts): ModeReading {
  if (parts.addresses === undefined) return { present: false, rules: new Map() };
  const rules = (['ip', 'ip6'] as const).flatMap(family => [...new Reader(family, parts).rules()]);
  return { present: true, rules: new Map(rules) };
}

/** One family. */
class Reader {
  private readonly family: 'ip' | 'ip6';
  private readonly parts: IpvsParts;
  private readonly servers: readonly VirtualServer[];
  private readonly dumps: readonly Tables[];
  private readonly book = new RuleBook();
  private readonly sources: ReadonlyMap<string, readonly string[]>;

  constructor(family: 'ip' | 'ip6', parts: IpvsParts) {
    this.family = family;
    this.parts = parts;
    this.servers = parts.servers.filter(server => server.address.includes(':') === (family === 'ip6'));
    this.dumps = parts.iptables.filter(dump => dump.family === family).map(dump => dump.tables);
    this.sources = bySet(this.set('LOAD-BALANCER-SOURCE-CIDR'));
  }

  rules(): Map<string, ServiceRule> {
    // Without these chains nothing is masqueraded: answers take ways of their own, and the node itself reaches no Service.
    if (this.chainsOf('nat', ['PREROUTING', 'OUTPUT'], 'KUBE-SERVICES').length === 0) return new Map();
    const refusing = this.chainsOf('filter', ['INPUT'], 'KUBE-IPVS-FILTER');
    const limiting = this.chainsOf('filter', ['INPUT'], 'KUBE-PROXY-FIREWALL');
    const onNode: VirtualServer[] = [];
    for (const server of this.servers) {
      if (this.parts.addresses?.has(server.address) || this.isExternal(server)) {
        if (this.isNodePortOfService(server)) continue;
        const refused = refusing.some(chain => this.verdict(chain, server) === 'REJECT');
        const limited = limiting.some(chain => this.verdict(chain, server) === 'KUBE-SOURCE-RANGES-FIREWALL');
        this.take(virtualServerKey(server), server, { refused, limited });
      } else if (this.isNodePort(server)) onNode.push(server);
    }
    for (const servers of groups(onNode)) this.takeNodePort(servers);
    return this.book.rules();
  }

  private take(key: string, server: VirtualServer, found: { refused: boolean; limited: boolean }): void {
    // ip_vs answers for a virtual server without destinations with "port unreachable".
    if (found.refused || server.destinations.length === 0) this.book.refuse(key, 'reject');
    else {
      const sourceRanges = found.limited ? (this.sources.get(entryOf(server)) ?? []) : undefined;
      this.book.lead(key, { outside: this.reach(server), sourceRanges });
    }
  }

  /** Each address of the node has a virtual server of its own; what only some of them do does not count. */
  private takeNodePort(servers: readonly VirtualServer[]): void {
    const [first, ...others] = servers.map(server => this.reach(server));
    const [server] = servers;
    if (!first || !server) return;
    const key = nodePort(this.family, server.port, server.protocol);
    if (servers.every(({ destinations }) => destinations.length === 0)) this.book.refuse(key, 'reject');
    else this.book.lead(key, { outside: others.reduce(commonReach, first) });
  }

  private reach({ destinations, persistentTicks: ticks }: VirtualServer): Reach {
    const { ticksPerSecond } = this.parts;
    if (ticks === undefined || ticksPerSecond === undefined) return { endpoints: destinations };
    return { endpoints: destinations, affinitySeconds: ticks / ticksPerSecond };
  }

  /** An external or load balancer address that the node has on an interface of its own. */
  private isExternal(server: VirtualServer): boolean {
    const entry = entryOf(server);
    return ['EXTERNAL-IP', 'EXTERNAL-IP-LOCAL', 'LOAD-BALANCER'].some(name => this.set(name).has(entry));
  }

  /** Other programs have virtual servers too. */
  private isNodePort(server: VirtualServer): boolean {
    if (server.protocol === 'SCTP') return this.set('NODE-PORT-SCTP-HASH').has(entryOf(server));
    return this.set(`NODE-PORT-${server.protocol}`).has(String(server.port));
  }

  /**
   * Ranges of nodePortAddresses may hold addresses of Services, which kube-proxy then takes for the node's own: each has a virtual
   * server for every NodePort (`GetNodeIPs` looks at all devices).
   */
  private isNodePortOfService(server: VirtualServer): boolean {
    return this.isNodePort(server) && !this.set('CLUSTER-IP').has(entryOf(server)) && !this.isExternal(server);
  }

  private set(name: string): ReadonlySet<string> {
    return this.parts.sets.get(setName(this.family, name)) ?? new Set();
  }

  /** The rules of a chain, in each backend where all these built-in chains lead to it. */
  private chainsOf(table: string, hooks: readonly string[], chain: string): Options[][] {
    return this.dumps.flatMap(tables => {
      const chains = tables.get(table) ?? new Map<string, Chain>();
      if (!reachableFromAll(chains, hooks).has(chain)) return [];
      return [(chains.get(chain)?.rules ?? []).map(rule => parseOptions(rule.text))];
    });
  }

  /** The target of the first rule whose set has the virtual server's address, its port, or both. */
  private verdict(rules: readonly Options[], server: VirtualServer): string | undefined {
    const entries = [entryOf(server), server.address, String(server.port)];
    const sets = this.parts.sets;
    return rules.find(({ set }) => set && entries.some(entry => sets.get(set[0])?.has(entry)))?.target;
  }
}

/** As sets have it: `10.96.0.11,tcp:80`. */
function entryOf({ address, protocol, port }: VirtualServer): string {
  return `${address},${protocol.toLowerCase()}:${port}`;
}

/** Of entries such as `203.0.113.9,tcp:443,198.51.100.0/24` the last parts, by the others. */
function bySet(entries: ReadonlySet<string>): Map<string, string[]> {
  const parts = [...entries].map(entry => [
    entry.slice(0, entry.lastIndexOf(',')),
    entry.slice(entry.lastIndexOf(',') + 1),
  ]);
  const grouped = Map.groupBy(parts, ([first = '']) => first);
  return new Map([...grouped].map(([first, pairs]) => [first, pairs.map(([, last = '']) => last)]));
}

/** Virtual servers that stand for one NodePort, where every address of the node has one. */
function groups(servers: readonly VirtualServer[]): VirtualServer[][] {
  const addresses = new Set(servers.map(server => server.address));
  const byPort = Map.groupBy(servers, ({ port, protocol }) => `${port}/${protocol}`);
  return [...byPort.values()].filter(group => group.length === addresses.size);
}

function commonReach(a: Reach, b: Reach): Reach {
  const others = new Set(b.endpoints);
  const endpoints = a.endpoints.filter(endpoint => others.has(endpoint));
  const same = a.affinitySeconds !== undefined && a.affinitySeconds === b.affinitySeconds;
  return same ? { endpoints, affinitySeconds: a.affinitySeconds } : { endpoints };
}
