import type { Client, ServicePath } from '../core/service-path.ts';
import { type Frontend, readKey } from '../core/service-port.ts';
import type { NftElement, NftRule, NftTable } from './nftables.ts';
import { affinityText, noPath, PathDraft } from './path-draft.ts';

/** The way in nftables mode; `tables` are of one family each. */
export function nftablesPath(tables: readonly NftTable[], key: string, client: Client): ServicePath {
  const frontend = readKey(key);
  const table = tables.find(({ family }) => family === frontend?.family);
  return frontend && table ? new Way(table, frontend, client).path(key) : noPath(key, client);
}

const isFirewall = (rule: NftRule) => rule.map === 'firewall-ips';

class Way {
  private readonly table: NftTable;
  private readonly frontend: Frontend;
  private readonly client: Client;
  private readonly draft = new PathDraft();

  constructor(table: NftTable, frontend: Frontend, client: Client) {
    this.table = table;
    this.frontend = frontend;
    this.client = client;
  }

  path(key: string): ServicePath {
    const { client, draft } = this;
    const way = client === 'node' ? 'output' : 'prerouting';
    // Where a firewall stands, it is met before the translation.
    this.from(`filter ${way}`, chain => this.rulesOf(chain).some(isFirewall));
    this.from(`nat ${way}`);
    if (draft.ends.size === 0) {
      const behind = this.frontend.address === undefined ? 'input' : 'forward';
      const others = (chain: string) => !this.rulesOf(chain).some(isFirewall);
      for (const hook of client === 'node' ? ['output', 'input'] : [behind])
        if (!draft.verdict) this.from(`filter ${hook}`, others);
    }
    if (draft.ends.size === 0) return draft.path(key, client, 'none');
    if (draft.marked && this.masquerade()) return draft.path(key, client, 'all');
    return draft.path(key, client, client === 'pod' && this.reachesItself() ? 'self' : 'none');
  }

  private from(hook: string, wanted: (chain: string) => boolean = () => true): void {
    const { draft } = this;
    for (const [name, chain] of this.table.chains) {
      if (chain.hook !== hook) continue;
      const before = draft.hops.length;
      draft.add({ kind: 'hook', name });
      const decided = chain.rules.some(({ targets: [target] }) => {
        return target !== undefined && wanted(target) && this.enter(target);
      });
      if (!decided && draft.hops.length === before + 1) draft.forget(before);
      if (decided) return;
    }
  }

  /** True when a rule has decided. */
  private enter(chain: string): boolean {
    const { draft } = this;
    const before = draft.hops.length;
    draft.add({ kind: 'chain', name: chain });
    if (this.follow(chain)) return true;
    if (draft.hops.length === before + 1 && draft.hops.at(-1)?.does === undefined) draft.forget(before);
    return false;
  }

  private follow(chain: string): boolean {
    const { draft } = this;
    for (const rule of this.rulesOf(chain)) {
      if (!this.meets(rule)) continue;
      if (rule.marks) draft.mark();
      else if (rule.map !== undefined) {
        if (this.lookUp(rule.map)) return true;
      } else if (rule.verdict) {
        draft.refuse(rule.verdict);
        return true;
      } else if (this.takeEnds(chain, rule)) return true;
      else {
        const [target] = rule.targets;
        if (target !== undefined) return this.enter(target);
      }
    }
    return false;
  }

  private meets(rule: NftRule): boolean {
    const { client, frontend } = this;
    if (rule.toRange || rule.sourceSet !== undefined) return false;
    if (rule.toNode && frontend.address !== undefined) return false;
    if (rule.fromNode && client !== 'node') return false;
    if (rule.destinationSet !== undefined && !this.isIn(rule.destinationSet)) return false;
    if (rule.notFrom && rule.verdict === 'drop') {
      // The load balancer's own address among them means the node.
      for (const range of rule.notFrom) if (range !== frontend.address) this.draft.sourceRanges.add(range);
      this.draft.say('drops what comes from elsewhere');
      return false;
    }
    // All others that ask for a source tell pods of the cluster from everybody else.
    if (rule.notFrom || rule.notThrough !== undefined) return client !== 'pod';
    return (rule.from === undefined && rule.through === undefined) || client === 'pod';
  }

  private isIn(name: string): boolean {
    const set = this.table.sets.get(name);
    const { address } = this.frontend;
    // NodePorts: to any of the addresses that accept them.
    return address === undefined ? name !== 'cluster-ips' && set?.filled === true : set?.elements.has(address) === true;
  }

  private lookUp(map: string): boolean {
    const { draft } = this;
    const element = this.elementOf(map);
    if (!element) return false;
    draft.add({ kind: 'map', name: map, does: `holds ${element.key.join(' . ')}` });
    if (element.drop) {
      draft.refuse('drop');
      return true;
    }
    return element.target !== undefined && this.enter(element.target);
  }

  private elementOf(map: string): NftElement | undefined {
    const { address, protocol, port } = this.frontend;
    const wanted = (address === undefined ? [protocol, port] : [address, protocol, port]).join(' ');
    return this.table.maps.get(map)?.find(({ key }) => key.join(' ') === wanted);
  }

  /** Where the rule translates: itself, or in the chains of endpoints that it picks from. */
  private takeEnds(chain: string, rule: NftRule): boolean {
    const { draft } = this;
    for (const address of rule.endpoints) draft.end({ address });
    for (const target of rule.targets) {
      if (!target.startsWith('endpoint-')) continue;
      for (const address of this.rulesOf(target).flatMap(inner => inner.endpoints))
        draft.end({ address, chain: target });
    }
    if (draft.ends.size === 0) return false;
    draft.spread(`at random${affinityText(this.affinity(chain))}`);
    return true;
  }

  private affinity(chain: string): number | undefined {
    const set = this.rulesOf(chain).find(rule => rule.sourceSet !== undefined)?.sourceSet;
    return set === undefined ? undefined : this.table.sets.get(set)?.timeout;
  }

  private masquerade(): boolean {
    for (const [name, { hook, rules }] of this.table.chains) {
      const target = rules[0]?.targets[0];
      if (hook !== 'nat postrouting' || target === undefined) continue;
      this.draft.add({ kind: 'hook', name });
      this.draft.add({ kind: 'chain', name: target, does: 'masquerades what is marked' });
      return true;
    }
    return false;
  }

  /** Since 1.36 a set has the endpoints of this node, before each endpoint's chain had a rule. */
  private reachesItself(): boolean {
    const known = this.table.sets.get('hairpin-connections')?.elements;
    return [...this.draft.ends.values()].some(({ address: end, chain = '' }) => {
      const at = end.lastIndexOf(':');
      const address = end.slice(0, at).replace(/[[\]]/g, '');
      const itself = `${address} . ${address} . ${this.frontend.protocol} . ${end.slice(at + 1)}`;
      return known?.has(itself) || this.rulesOf(chain).some(rule => rule.marks);
    });
  }

  private rulesOf(chain: string): readonly NftRule[] {
    return this.table.chains.get(chain)?.rules ?? [];
  }
}
