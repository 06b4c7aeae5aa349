// What the rules of nftables mode do. Source of their forms: kube-proxy 1.36 pkg/proxy/nftables/proxier.go; until 1.35 every
// endpoint has a chain, since 1.36 only those with affinity, since 1.37 a single endpoint has no map.
import { nodePort, servicePort } from '../core/service-port.ts';
import type { ServiceRule } from '../core/service-rules.ts';
import type { NftElement, NftRule, NftTable } from './nftables.ts';
import { type Lead, type ModeReading, type Reach, RuleBook } from './reading.ts';

/** `tables` are of one family each. */
export function readNftables(tables: readonly NftTable[]): ModeReading {
  const rules = new Map<string, ServiceRule>();
  for (const table of tables) for (const [key, rule] of new Reader(table).rules()) rules.set(key, rule);
  const present = tables.some(({ chains }) => [...chains.values()].some(chain => chain.hook !== undefined));
  return { present, rules };
}

class Reader {
  private readonly table: NftTable;
  private readonly reaches = new Map<string, Reach>();
  private readonly book = new RuleBook();

  constructor(table: NftTable) {
    this.table = table;
  }

  rules(): Map<string, ServiceRule> {
    const firewalls = this.firewalls();
    // What comes from elsewhere and what the node itself sends take different ways; both must lead to a Service.
    for (const [key, { target }] of this.elements(['nat prerouting', 'nat output'], 'service-')) {
      if (target !== undefined) this.book.lead(key, { ...this.leadOf(target), sourceRanges: firewalls.get(key) });
    }
    for (const [key, element] of this.elements(['filter forward', 'filter output'], 'no-endpoint-services'))
      this.refuse(key, element);
    for (const [key, element] of this.elements(['filter input'], 'no-endpoint-nodeports')) this.refuse(key, element);
    return this.book.rules();
  }

  /** Elements of the maps, by key, that decide in a chain to which all these hooks lead. */
  private *elements(hooks: readonly string[], maps: string): Generator<[string, NftElement]> {
    for (const { map, destinationSet } of this.rulesFrom(hooks)) {
      if (!map?.startsWith(maps)) continue;
      // Addresses that accept NodePorts: none, none does.
      if (destinationSet !== undefined && !this.table.sets.get(destinationSet)?.filled) continue;
      for (const element of this.table.maps.get(map) ?? []) yield [this.keyOf(element.key), element];
    }
  }

  private keyOf([first = '', second = '', third]: readonly string[]): string {
    return third === undefined ? nodePort(this.table.family, second, first) : servicePort(first, third, second);
  }

  private *rulesFrom(hooks: readonly string[]): Generator<NftRule> {
    const [first = new Set<string>(), ...others] = hooks.map(hook => this.reachable(hook));
    for (const name of first) {
      if (others.every(other => other.has(name))) yield* this.table.chains.get(name)?.rules ?? [];
    }
  }

  private reachable(hook: string): Set<string> {
    const reached = new Set<string>();
    for (const [name, chain] of this.table.chains) if (chain.hook === hook) reached.add(name);
    // A Set is walked in order of insertion, so what is added while walking is walked too.
    for (const name of reached) {
      for (const { targets } of this.table.chains.get(name)?.rules ?? []) for (const to of targets) reached.add(to);
    }
    return reached;
  }

  private refuse(key: string, { drop, target }: NftElement): void {
    const verdict = drop ? 'drop' : this.rulesOf(target).find(rule => rule.verdict !== undefined)?.verdict;
    if (verdict) this.book.refuse(key, verdict);
  }

  private rulesOf(chain: string | undefined): readonly NftRule[] {
    return (chain === undefined ? undefined : this.table.chains.get(chain)?.rules) ?? [];
  }

  /** Sources that may come, by key. The load balancer's own address among them means the node. */
  private firewalls(): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const [key, { key: parts, target }] of this.elements(['filter prerouting', 'filter output'], 'firewall-ips')) {
      const limits = this.rulesOf(target).filter(rule => rule.verdict === 'drop' && rule.notFrom);
      const sources = limits.flatMap(rule => rule.notFrom ?? []).filter(source => source !== parts[0]);
      if (limits.length > 0) found.set(key, sources);
    }
    return found;
  }

  private leadOf(chain: string): Lead {
    let within: Reach | undefined;
    for (const rule of this.rulesOf(chain)) {
      const [target] = rule.targets;
      if (target === undefined || rule.sourceSet !== undefined || !this.isService(target)) continue;
      if (!rule.conditional) return { outside: this.reach(target), within };
      within ??= this.reach(target);
    }
    return within ? { within } : { outside: this.reach(chain) };
  }

  /** Whether connections are spread over endpoints there, as they are not in the chain of an endpoint. */
  private isService(chain: string): boolean {
    return chain.startsWith('service-') || chain.startsWith('local-');
  }

  private reach(chain: string): Reach {
    const known = this.reaches.get(chain);
    if (known) return known;
    const reach = this.readReach(chain);
    this.reaches.set(chain, reach);
    return reach;
  }

  private readReach(chain: string): Reach {
    const endpoints: string[] = [];
    const affinity = new Set<number | undefined>();
    const remembered = new Map<string, string>();
    for (const rule of this.rulesOf(chain)) {
      endpoints.push(...rule.endpoints);
      const [first] = rule.targets;
      if (rule.sourceSet !== undefined && first !== undefined) {
        remembered.set(first, rule.sourceSet);
        continue;
      }
      for (const target of rule.targets) {
        const found = this.rulesOf(target).flatMap(inner => inner.endpoints);
        endpoints.push(...found);
        if (found.length > 0) affinity.add(this.affinityOf(target, remembered.get(target)));
      }
    }
    const [affinitySeconds] = affinity;
    return affinity.size === 1 && affinitySeconds !== undefined ? { endpoints, affinitySeconds } : { endpoints };
  }

  /** Seconds for which a client comes back to the endpoint: where it is put into the set by which it is recognised. */
  private affinityOf(endpoint: string, set: string | undefined): number | undefined {
    if (set === undefined || !this.rulesOf(endpoint).some(rule => rule.update === set)) return undefined;
    return this.table.sets.get(set)?.timeout;
  }
}
