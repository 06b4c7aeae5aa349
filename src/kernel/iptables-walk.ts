// Follows one new connection through the chains of kube-proxy, in the order of their rules. Other programs' chains are passed by.

import type { Client } from '../core/service-path.ts';
import { type Frontend, shortAddress } from '../core/service-port.ts';
import type { IpSets } from './ipset.ts';
import { type Chains, type Options, parseOptions, reachable, type Tables } from './iptables.ts';
import { chainOwner } from './ownership.ts';
import { affinityText, PathDraft } from './path-draft.ts';

export type TableName = 'nat' | 'filter';

const NO_CHAINS: Chains = new Map();
const MAX_DEPTH = 8;

export class IptablesWalk {
  readonly draft = new PathDraft();
  /** The address is one of the node's own: ipvs mode puts all of them on a device. */
  isBound = false;
  private readonly tables: Tables;
  private readonly frontend: Frontend;
  private readonly client: Client;
  private readonly sets: IpSets;

  constructor(tables: Tables, frontend: Frontend, client: Client, sets: IpSets = new Map()) {
    this.tables = tables;
    this.frontend = frontend;
    this.client = client;
    this.sets = sets;
  }

  chains(table: TableName): Chains {
    return this.tables.get(table) ?? NO_CHAINS;
  }

  /** From a built-in chain on; true when a rule has decided. */
  from(table: TableName, hook: string): boolean {
    const before = this.draft.hops.length;
    this.draft.add({ kind: 'hook', table, name: hook });
    if (this.follow(table, hook, 0)) return true;
    if (this.draft.hops.length === before + 1) this.draft.forget(before);
    return false;
  }

  /** What is marked is masqueraded behind POSTROUTING. */
  masquerade(): boolean {
    if (!this.draft.marked || !reachable(this.chains('nat'), ['POSTROUTING']).has('KUBE-POSTROUTING')) return false;
    this.draft.add({ kind: 'hook', table: 'nat', name: 'POSTROUTING' });
    this.draft.add({ kind: 'chain', table: 'nat', name: 'KUBE-POSTROUTING', does: 'masquerades what is marked' });
    return true;
  }

  private follow(table: TableName, chain: string, depth: number): boolean {
    const { draft } = this;
    for (const { target, text } of this.chains(table).get(chain)?.rules ?? []) {
      if (target === undefined || !this.mayMeet(text)) continue;
      const options = parseOptions(text);
      if (target.startsWith('KUBE-SEP-')) this.takeEnd(target);
      else if (!this.meets(chain, text, options)) continue;
      else if (target === 'KUBE-MARK-MASQ') draft.mark();
      else if (target === 'RETURN') break;
      else if (target === 'ACCEPT') return true;
      else if (target === 'REJECT' || target === 'DROP') {
        draft.refuse(target === 'REJECT' ? 'reject' : 'drop');
        return true;
      } else if (chainOwner(table, target) !== undefined && depth < MAX_DEPTH) {
        if (this.enter(table, target, depth)) return true;
      }
    }
    if (draft.ends.size === 0) return false;
    draft.spread(`at random${affinityText(this.affinity(chain))}`);
    return true;
  }

  private enter(table: TableName, chain: string, depth: number): boolean {
    const { draft } = this;
    const before = draft.hops.length;
    draft.add({ kind: 'chain', table, name: chain });
    if (this.follow(table, chain, depth + 1)) return true;
    // Without a word it was only passed through.
    if (draft.hops.length === before + 1 && draft.hops.at(-1)?.does === undefined) draft.forget(before);
    return false;
  }

  /** Cheap: of tens of thousands of rules most are for another address. */
  private mayMeet(text: string): boolean {
    if (!text.startsWith('-d ')) return true;
    const { address } = this.frontend;
    const to = text.slice(3, text.indexOf(' ', 3)).replace(/\/(32|128)$/, '');
    return address !== undefined && shortAddress(to) === address;
  }

  private meets(chain: string, text: string, options: Options): boolean {
    const { frontend, client } = this;
    const { address, port, protocol, source, toNode, set } = options;
    if (address !== undefined && (frontend.address === undefined || shortAddress(address) !== frontend.address))
      return false;
    if (port !== undefined && port !== frontend.port) return false;
    if (protocol !== undefined && protocol !== frontend.protocol) return false;
    if (toNode && !this.isOfNode()) return false;
    if (set && !this.inSet(set[0], set[1])) return false;
    if (/ --mark | --rcheck | --ctstate (?!NEW)/.test(text)) return false;
    if (/--src-type LOCAL/.test(text) && (client === 'node') === /! --src-type LOCAL/.test(text)) return false;
    if (source !== undefined && chain.startsWith('KUBE-FW-')) {
      // The load balancer's own address among them means the node.
      if (source.replace(/\/(32|128)$/, '') !== options.address) this.draft.sourceRanges.add(source);
      return true;
    }
    // All others that ask for a source tell pods of the cluster from everybody else.
    if (/(^| )! -[si] /.test(text)) return client !== 'pod';
    if (source?.startsWith('127.') || source === '::1/128') return false;
    return (source === undefined && !/(^| )-i /.test(text)) || client === 'pod';
  }

  private isOfNode(): boolean {
    return this.frontend.address === undefined || this.isBound;
  }

  private inSet(name: string, flags: string): boolean {
    const { address, port, protocol } = this.frontend;
    const entries = this.sets.get(name) ?? new Set<string>();
    if (address === undefined) {
      if (flags === 'dst') return entries.has(port);
      return [...entries].some(entry => entry.endsWith(`,${protocol}:${port}`));
    }
    const entry = `${address},${protocol}:${port}`;
    if (flags !== 'dst,dst,src') return entries.has(flags === 'dst' ? address : entry);
    const ranges = [...entries].filter(e => e.startsWith(`${entry},`)).map(e => e.slice(entry.length + 1));
    for (const range of ranges) if (range !== address) this.draft.sourceRanges.add(range);
    return ranges.length > 0;
  }

  private takeEnd(chain: string): void {
    const dnat = this.chains('nat')
      .get(chain)
      ?.rules.find(rule => rule.target === 'DNAT');
    const [, address] = / --to-destination (\S+)/.exec(dnat?.text ?? '') ?? [];
    if (address !== undefined) this.draft.end({ address, chain });
  }

  private affinity(chain: string): number | undefined {
    const rules = this.chains('nat').get(chain)?.rules ?? [];
    const seconds = rules.map(({ text }) => / --rcheck .*?--seconds (\d+)/.exec(text)?.[1]).find(s => s !== undefined);
    return seconds === undefined ? undefined : Number(seconds);
  }
}
