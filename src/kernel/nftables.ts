// `nft -j list table ip kube-proxy`. Only JSON is read: the text form prints well-known ports by name.
import { hostPort } from '../core/service-port.ts';
import { JsonList } from './json-list.ts';
import { Parser } from './parser.ts';

export interface NftTable {
  readonly family: 'ip' | 'ip6';
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
  readonly maps: ReadonlyMap<string, readonly NftElement[]>;
}

export interface NftChain {
  /** Of a base chain: `nat prerouting`, `filter input`. */
  readonly hook?: string;
  readonly rules: NftRule[];
}

/** What is wanted of a rule. */
export interface NftRule {
  /** It asks for more than a protocol. */
  readonly conditional: boolean;
  /** A set that the source (`ip saddr @x`) or the destination (`ip daddr @x`) must be in. */
  readonly sourceSet?: string;
  readonly destinationSet?: string;
  /** Sources that the rule is for, and those that it is not for. */
  readonly from?: readonly string[];
  readonly notFrom?: readonly string[];
  /** Interfaces that packets come in through, or do not. */
  readonly through?: string;
  readonly notThrough?: string;
  /** For what the node itself sends, or what is sent to one of its own addresses. */
  readonly fromNode?: true;
  readonly toNode?: true;
  /** For a range of destinations. */
  readonly toRange?: true;
  /** It marks what is to be masqueraded. */
  readonly marks?: true;
  /** A set that the source is put into. */
  readonly update?: string;
  /** A map that decides. */
  readonly map?: string;
  /** Chains that it leads to: one, or one of several by chance. */
  readonly targets: readonly string[];
  /** `address:port`. */
  readonly endpoints: readonly string[];
  readonly verdict?: 'reject' | 'drop';
}

export interface NftSet {
  /** It has elements; of a set that packets fill it says nothing. */
  readonly filled: boolean;
  /** As `10.0.0.1 . tcp . 80`, of a set that packets do not fill. */
  readonly elements: ReadonlySet<string>;
  /** Seconds that an element stays. */
  readonly timeout?: number;
}

export interface NftElement {
  readonly key: readonly string[];
  /** The chain that the verdict leads to. */
  readonly target?: string;
  readonly drop: boolean;
}

type Json = { readonly [field: string]: unknown };

/** Protocols by number, for where /etc/protocols is missing. */
const PROTOCOLS: Readonly<Record<string, string>> = { '6': 'tcp', '17': 'udp', '132': 'sctp' };

// Hundreds of thousands of sets and rules have none.
const NO_ELEMENTS: ReadonlySet<string> = new Set();
const NO_NAMES: readonly string[] = [];

/** Throws on anything that is not what `nft -j list table` prints. */
export function nftTableParser(family: 'ip' | 'ip6'): Parser<NftTable> {
  const chains = new Map<string, { -readonly [Key in keyof NftChain]: NftChain[Key] }>();
  const names = new Map<string, string>();
  // Rules and chains tell the same long names, hundreds of thousands of times: each is kept once.
  const once = (name: string): string => {
    const known = names.get(name);
    if (known === undefined) names.set(name, name);
    return known ?? name;
  };
  // The rules of a chain stand together.
  let last: { rules: NftRule[] } | undefined;
  let lastOf: unknown;
  const sets = new Map<string, NftSet>();
  const maps = new Map<string, NftElement[]>();
  const take = (item: unknown) => {
    const { chain, rule, set, map } = fields(item);
    if (chain !== undefined) {
      const { name, type, hook } = fields(chain);
      chains.set(once(text(name)), {
        rules: [],
        ...(hook === undefined ? {} : { hook: `${text(type)} ${text(hook)}` }),
      });
    } else if (rule !== undefined) {
      const { chain: name, expr } = fields(rule);
      if (lastOf !== name) {
        // An array to which something was added keeps room for more: one for each of so many chains.
        if (last) last.rules = [...last.rules];
        last = chains.get(text(name));
        lastOf = name;
      }
      if (!last) throw new Error(`a rule of the chain ${text(name)}, which is not listed`);
      last.rules.push(readRule(list(expr), once));
    } else if (set !== undefined) {
      const { name, elem, timeout } = fields(set);
      sets.set(once(text(name)), {
        filled: list(elem).length > 0,
        elements: typeof timeout === 'number' ? NO_ELEMENTS : new Set(list(elem).map(elementText)),
        ...(typeof timeout === 'number' ? { timeout } : {}),
      });
    } else if (map !== undefined) {
      const { name, elem } = fields(map);
      maps.set(text(name), list(elem).map(readElement));
    }
  };
  return new Parser(new JsonList('nftables', take), () => ({ family, chains, sets, maps }));
}

function readRule(expr: readonly unknown[], once: (name: string) => string): NftRule {
  const rule: { -readonly [Key in keyof NftRule]: NftRule[Key] } = {
    conditional: false,
    targets: NO_NAMES,
    endpoints: NO_NAMES,
  };
  for (const statement of expr) {
    const { match, jump, goto, vmap, dnat, set, drop, reject, mangle } = fields(statement);
    if (match !== undefined) readMatch(rule, fields(match));
    else if (jump !== undefined || goto !== undefined) rule.targets = [text(fields(jump ?? goto).target)];
    else if (vmap !== undefined) readMap(rule, fields(vmap));
    else if (dnat !== undefined) rule.endpoints = readDnat(fields(dnat));
    else if (set !== undefined) rule.update = setName(fields(set).set);
    else if (mangle !== undefined) rule.marks = true;
    else if (reject !== undefined) rule.verdict = 'reject';
    else if (drop !== undefined) rule.verdict = 'drop';
  }
  if (rule.targets.length > 0) rule.targets = rule.targets.map(once);
  if (rule.sourceSet !== undefined) rule.sourceSet = once(rule.sourceSet);
  if (rule.update !== undefined) rule.update = once(rule.update);
  return rule;
}

function readMatch(rule: { -readonly [Key in keyof NftRule]: NftRule[Key] }, { op, left, right }: Json): void {
  const { payload, meta, fib } = fields(left);
  const { key } = fields(meta);
  if (key === 'l4proto') return;
  rule.conditional = true;
  if (key === 'iifname') rule[op === '!=' ? 'notThrough' : 'through'] = text(right);
  if (right === 'local') rule[list(fields(fib).flags).includes('saddr') ? 'fromNode' : 'toNode'] = true;
  const { field } = fields(payload);
  const named = typeof right === 'string' && right.startsWith('@');
  if (field === 'saddr' && op === '!=') rule.notFrom = ranges(right);
  else if (field === 'saddr' && named) rule.sourceSet = setName(right);
  else if (field === 'saddr') rule.from = ranges(right);
  else if (field === 'daddr' && named) rule.destinationSet = setName(right);
  // All but the loopback's are where NodePorts answer when nodePortAddresses names every address.
  else if (field === 'daddr' && op !== '!=') rule.toRange = true;
}

/** `vmap @service-ips`, or `numgen random mod 2 vmap { 0 : goto a, 1 : goto b }`. */
function readMap(rule: { -readonly [Key in keyof NftRule]: NftRule[Key] }, { data }: Json): void {
  if (typeof data === 'string') rule.map = setName(data);
  else rule.targets = list(fields(data).set).flatMap(pair => targetOf(list(pair)[1]) ?? []);
}

/** To one address and port, or to one of a map's by chance. */
function readDnat({ addr, port }: Json): string[] {
  const { map, concat } = fields(addr);
  if (map !== undefined)
    return list(fields(fields(map).data).set).flatMap(pair => endpoint(fields(list(pair)[1]).concat));
  return concat === undefined ? endpoint([addr, port]) : endpoint(concat);
}

function endpoint(concat: unknown): string[] {
  const [address, port] = list(concat);
  return typeof address === 'string' && typeof port === 'number' ? [hostPort(address, port)] : [];
}

function ranges(right: unknown): string[] {
  const { set } = fields(right);
  return (set === undefined ? [right] : list(set)).map(element => {
    const { prefix, range } = fields(element);
    if (prefix !== undefined) return `${text(fields(prefix).addr)}/${text(fields(prefix).len)}`;
    return range === undefined ? text(element) : list(range).map(text).join('-');
  });
}

/** A key with a comment is wrapped in `{"elem":{"val":..}}`. */
function readElement(pair: unknown): NftElement {
  const [left, verdict] = list(pair);
  const { elem } = fields(left);
  const key = list(fields(elem === undefined ? left : fields(elem).val).concat).map(text);
  const target = targetOf(verdict);
  const at = key.length - 2;
  const named = key.map((part, index) => (index === at ? (PROTOCOLS[part] ?? part) : part));
  return { key: named, drop: 'drop' in fields(verdict), ...(target === undefined ? {} : { target }) };
}

function elementText(element: unknown): string {
  const { concat } = fields(element);
  return concat === undefined ? text(element) : list(concat).map(text).join(' . ');
}

function targetOf(verdict: unknown): string | undefined {
  const { goto, jump } = fields(verdict);
  const { target } = fields(goto ?? jump);
  return typeof target === 'string' ? target : undefined;
}

function setName(name: unknown): string {
  return text(name).replace(/^@/, '');
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

const NONE: Json = {};

function fields(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : NONE;
}
