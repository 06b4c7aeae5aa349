// What the rules of iptables mode do. Source of their forms: kube-proxy 1.36 pkg/proxy/iptables/proxier.go.
import { hostPort, nodePort, servicePort } from '../core/service-port.ts';
import type { ServiceRule } from '../core/service-rules.ts';
import { type Chains, type Options, parseOptions, reachable, reachableFromAll, type Tables } from './iptables.ts';
import { common, type Lead, type ModeReading, type Reach, RuleBook } from './reading.ts';

/** `dumps` are those of all backends. Where two of them know an address, either may meet a connection first. */
export function readIptables(dumps: readonly { family: 'ip' | 'ip6'; tables: Tables }[]): ModeReading {
  let present = false;
  let rules: ReadonlyMap<string, ServiceRule> = new Map();
  for (const { family, tables } of dumps) {
    const reader = new Reader(family, tables);
    present ||= reader.present();
    rules = rules.size === 0 ? reader.rules() : common(rules, reader.rules());
  }
  return { present, rules };
}

/** One family of one backend. */
class Reader {
  private readonly family: 'ip' | 'ip6';
  private readonly nat: Chains;
  private readonly filter: Chains;
  private readonly reaches = new Map<string, Reach>();
  private readonly book = new RuleBook();

  constructor(family: 'ip' | 'ip6', tables: Tables) {
    this.family = family;
    this.nat = tables.get('nat') ?? new Map();
    this.filter = tables.get('filter') ?? new Map();
  }

  /** Chains that ipvs mode does not write are hooked. */
  present(): boolean {
    const filter = reachable(this.filter, ['INPUT', 'FORWARD', 'OUTPUT']);
    if (filter.has('KUBE-SERVICES') || filter.has('KUBE-EXTERNAL-SERVICES')) return true;
    return reachable(this.nat, ['PREROUTING', 'OUTPUT']).has('KUBE-NODEPORTS');
  }

  rules(): Map<string, ServiceRule> {
    // What comes from elsewhere and what the node itself sends take different ways; both must lead to a Service.
    const translating = reachableFromAll(this.nat, ['PREROUTING', 'OUTPUT']);
    for (const chain of ['KUBE-SERVICES', 'KUBE-NODEPORTS']) {
      if (translating.has(chain)) this.readEntries(chain);
    }
    const refusing = [
      ...this.keysIn('KUBE-SERVICES', ['FORWARD', 'OUTPUT']),
      ...this.keysIn('KUBE-EXTERNAL-SERVICES', ['INPUT', 'FORWARD']),
    ];
    for (const { key, target } of refusing) {
      if (target === 'REJECT' || target === 'DROP') this.book.refuse(key, target === 'REJECT' ? 'reject' : 'drop');
    }
    return this.book.rules();
  }

  private readEntries(chain: string): void {
    for (const { text } of this.nat.get(chain)?.rules ?? []) {
      const options = parseOptions(text);
      const { target, address } = options;
      // NodePorts on loopback are counted by a rule of their own.
      if (target === undefined || !this.nat.has(target) || (chain === 'KUBE-NODEPORTS' && address !== undefined))
        continue;
      const key = this.keyOf(options, chain === 'KUBE-NODEPORTS');
      if (key !== undefined) this.book.lead(key, this.leadOf(target, address));
    }
  }

  private *keysIn(chain: string, hooks: readonly string[]): Generator<{ key: string; target: string | undefined }> {
    if (!reachableFromAll(this.filter, hooks).has(chain)) return;
    for (const { text } of this.filter.get(chain)?.rules ?? []) {
      const options = parseOptions(text);
      const key = this.keyOf(options, options.toNode);
      if (key !== undefined) yield { key, target: options.target };
    }
  }

  private keyOf({ address, port, protocol }: Options, toNode: boolean): string | undefined {
    if (port === undefined || protocol === undefined) return undefined;
    if (address !== undefined) return servicePort(address, port, protocol);
    return toNode ? nodePort(this.family, port, protocol) : undefined;
  }

  /** `address` is the one that is led: among the source ranges it means the node itself. */
  private leadOf(chain: string, address: string | undefined): Lead {
    if (chain.startsWith('KUBE-FW-')) return this.firewall(chain, address);
    return chain.startsWith('KUBE-EXT-') ? this.external(chain) : { outside: this.reach(chain) };
  }

  private firewall(chain: string, address: string | undefined): Lead {
    const passing = this.rulesTo('KUBE-EXT-', chain);
    const [first] = passing;
    if (first?.target === undefined) return {};
    const lead = this.external(first.target);
    const sources = passing.map(({ source }) => source?.replace(/\/(32|128)$/, ''));
    if (sources.includes(undefined)) return lead;
    return { ...lead, sourceRanges: sources.filter(source => source !== undefined && source !== address) as string[] };
  }

  private external(chain: string): Lead {
    let within: Reach | undefined;
    for (const { target = '', source, conditional } of this.rulesTo('KUBE-SV', chain)) {
      if (!conditional && source === undefined) return { outside: this.reach(target), within };
      within ??= this.reach(target);
    }
    return { within };
  }

  private rulesTo(prefix: string, chain: string): Options[] {
    const rules = this.nat.get(chain)?.rules ?? [];
    return rules.filter(rule => rule.target?.startsWith(prefix)).map(rule => parseOptions(rule.text));
  }

  private reach(chain: string): Reach {
    const known = this.reaches.get(chain);
    if (known) return known;
    const reach = this.readReach(chain);
    this.reaches.set(chain, reach);
    return reach;
  }

  /** A client with affinity meets two rules to each endpoint: one for those it has met before, one for all others. */
  private readReach(chain: string): Reach {
    const seconds = new Map<string, number | undefined>();
    for (const { target, text } of this.nat.get(chain)?.rules ?? []) {
      if (!target?.startsWith('KUBE-SEP-')) continue;
      const sticky = / --rcheck .*?--seconds (\d+)/.exec(text)?.[1];
      if (sticky !== undefined || !seconds.has(target))
        seconds.set(target, sticky === undefined ? undefined : Number(sticky));
    }
    const endpoints: string[] = [];
    const affinity = new Set<number | undefined>();
    for (const [target, sticky] of seconds) {
      const endpoint = this.endpoint(target);
      if (endpoint === undefined) continue;
      endpoints.push(endpoint.address);
      affinity.add(endpoint.remembers ? sticky : undefined);
    }
    const [affinitySeconds] = affinity;
    return affinity.size === 1 && affinitySeconds !== undefined ? { endpoints, affinitySeconds } : { endpoints };
  }

  private endpoint(chain: string): { address: string; remembers: boolean } | undefined {
    const rule = this.nat.get(chain)?.rules.find(({ target }) => target === 'DNAT');
    const [, v6, v4, port] = / --to-destination (?:\[([^\]]+)\]|([\d.]+)):(\d+)/.exec(rule?.text ?? '') ?? [];
    const address = v6 ?? v4;
    if (rule === undefined || address === undefined || port === undefined) return undefined;
    return { address: hostPort(address, port), remembers: rule.text.includes(' --set ') };
  }
}
