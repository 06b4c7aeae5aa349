// `nft -j list table ip kube-proxy`. Only JSON is read: the text form prints well-known ports by name.
import { servicePort } from '../core/service-port.ts';
import type { ModeReading } from './reading.ts';

interface NftTable {
  /** Chains with the number of their rules. */
  readonly chains: ReadonlyMap<string, number>;
  /** Some chain hangs on a hook. */
  readonly hooked: boolean;
  /** A nat chain on the prerouting hook leads to the Services. */
  readonly serving: boolean;
  /** Key and, where the verdict goes to a chain, its name; by map. */
  readonly maps: ReadonlyMap<string, readonly MapElement[]>;
}

interface MapElement {
  readonly key: readonly (string | number)[];
  readonly target?: string;
}

type Json = { readonly [field: string]: unknown };

const MAPS = ['service-ips', 'service-nodeports', 'no-endpoint-services', 'no-endpoint-nodeports'];

/** Throws on anything that is not what `nft -j list table` prints. */
export function parseNftTable(dump: string): NftTable {
  const items = field(JSON.parse(dump), 'nftables');
  if (!Array.isArray(items)) throw new Error('no "nftables" list in the output of nft');
  const chains = new Map<string, number>();
  const maps = new Map<string, MapElement[]>();
  const preroutingNat = new Set<unknown>();
  let hooked = false;
  let serving = false;
  for (const item of items) {
    const chain = field(item, 'chain');
    const map = field(item, 'map');
    const rule = field(item, 'rule');
    if (chain !== undefined) {
      chains.set(String(field(chain, 'name')), 0);
      if (field(chain, 'hook') !== undefined) hooked = true;
      if (field(chain, 'hook') === 'prerouting' && field(chain, 'type') === 'nat')
        preroutingNat.add(field(chain, 'name'));
    } else if (map !== undefined && MAPS.includes(String(field(map, 'name')))) {
      maps.set(String(field(map, 'name')), elements(field(map, 'elem')));
    } else if (rule !== undefined) {
      const name = field(rule, 'chain');
      chains.set(String(name), (chains.get(String(name)) ?? 0) + 1);
      if (preroutingNat.has(name) && list(field(rule, 'expr')).some(goesToServices)) serving = true;
    }
  }
  return { chains, hooked, serving, maps };
}

/** What nftables mode answers for in these tables, of one family each. */
export function readNftables(tables: readonly NftTable[]): ModeReading {
  const served = new Set<string>();
  const nodePorts = new Set<string>();
  for (const table of tables.filter(t => t.serving)) {
    for (const [name, entries] of table.maps) {
      const rejected = name.startsWith('no-endpoint-');
      for (const { key, target } of entries) {
        // kube-proxy empties a chain at once and deletes it a second later.
        if (!rejected && (target === undefined || (table.chains.get(target) ?? 0) === 0)) continue;
        const [first = '', second = '', third] = key;
        if (third !== undefined) served.add(servicePort(String(first), third, String(second)));
        else nodePorts.add(`${second}/${String(first).toUpperCase()}`);
      }
    }
  }
  return { present: tables.some(t => t.hooked), served, nodePorts };
}

function goesToServices(expression: unknown): boolean {
  const verdict = field(expression, 'jump') ?? field(expression, 'goto');
  return field(verdict, 'target') === 'services';
}

/** `[key, verdict]` pairs; a key with a comment is wrapped in `{"elem":{"val":..}}`. */
function elements(elem: unknown): MapElement[] {
  return list(elem).map(pair => {
    const [key, verdict] = list(pair);
    const concat = list(field(field(field(key, 'elem'), 'val') ?? key, 'concat'));
    const target = field(field(verdict, 'goto') ?? field(verdict, 'jump'), 'target');
    const parts = concat.filter(part => typeof part === 'string' || typeof part === 'number');
    return typeof target === 'string' ? { key: parts, target } : { key: parts };
  });
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Json)[name] : undefined;
}
