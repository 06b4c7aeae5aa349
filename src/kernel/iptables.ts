// iptables-save, of any backend and family. The kernel prints rules in its own order and spelling, so rules are read by option.
import { Lines, Parser } from './parser.ts';

export interface Rule {
  /** `-j` or `-g`. */
  readonly target?: string;
  /** The rule as it was printed, without `-A CHAIN `. */
  readonly text: string;
}

export interface Chain {
  readonly builtin: boolean;
  readonly rules: readonly Rule[];
}

export type Chains = ReadonlyMap<string, Chain>;
/** Chains by name, by table. */
export type Tables = ReadonlyMap<string, Chains>;

/** All tables of an `iptables-save`; throws on a dump that was cut off or has rules of a chain that it does not name. */
export function iptablesSaveParser(): Parser<Tables> {
  const tables = new Map<string, Map<string, Filling>>();
  let chains: Map<string, Filling> | undefined;
  let last: Filling | undefined;
  const take = (line: string) => {
    if (line.startsWith('-A ')) {
      if (!chains) return;
      const chain = addRule(chains, line.slice(3));
      // An array to which something was added keeps room for more: one for each of so many chains.
      if (last && last !== chain) last.rules = [...last.rules];
      last = chain;
    } else if (line.startsWith('*')) {
      const name = line.slice(1).trim();
      chains = tables.get(name) ?? new Map();
      tables.set(name, chains);
    } else if (line === 'COMMIT') {
      chains = undefined;
    } else if (chains && line.startsWith(':')) {
      const [name = '', policy] = line.slice(1).split(' ');
      chains.set(name, { builtin: policy !== '-', rules: [] });
    }
  };
  return new Parser(new Lines('the output of iptables-save', take), () => {
    if (chains) throw new Error('the output of iptables-save ends in the middle of a table');
    return tables;
  });
}

interface Filling extends Chain {
  rules: Rule[];
}

/** `CHAIN rule`. Gives the chain. */
function addRule(chains: ReadonlyMap<string, Filling>, line: string): Filling {
  const end = line.indexOf(' ');
  const name = end < 0 ? line : line.slice(0, end);
  const text = end < 0 ? '' : line.slice(end + 1);
  const chain = chains.get(name);
  if (!chain) throw new Error(`a rule of the chain ${name}, which is not in its table`);
  const target = targetOf(text);
  chain.rules.push(target === undefined ? { text } : { target, text });
  return chain;
}

/** Hundreds of thousands of rules have their target behind the last quote; the others are read word by word. */
function targetOf(text: string): string | undefined {
  const quoted = text.lastIndexOf('"') + 1;
  const at = text.indexOf('-j ', quoted);
  if (at < 0 || (at > 0 && text[at - 1] !== ' '))
    return quoted > 0 || text.includes('-g ') ? parseOptions(text).target : undefined;
  const end = text.indexOf(' ', at + 3);
  return end < 0 ? text.slice(at + 3) : text.slice(at + 3, end);
}

/** What a rule asks and does, as far as anybody here wants to know. */
export interface Options {
  target?: string;
  /** Destination without its full-length mask. */
  address?: string;
  protocol?: string;
  port?: string;
  source?: string;
  /** `--dst-type LOCAL`: for the node's own addresses. */
  toNode: boolean;
  /** The set that the packet must be in, and what of the packet: `dst,dst`. */
  set?: readonly [name: string, flags: string];
  comment?: string;
  /** There is more that a packet must be than what is named above. */
  conditional: boolean;
}

export function parseOptions(text: string): Options {
  const options: Options = { toNode: false, conditional: false };
  const all = words(text);
  for (let at = 0; at < all.length; at++) {
    const word = all[at] ?? '';
    const value = all[at + 1] ?? '';
    if (word === '-j' || word === '-g') {
      options.target = value;
      break;
    }
    if (!word.startsWith('-') || word === '-m') continue;
    if (all[at - 1] === '!' || !take(options, word, value)) options.conditional = true;
    // What a comment says may look like an option.
    if (word === '--comment') at++;
    if (word === '--match-set') options.set = [value, all[at + 2] ?? ''];
  }
  return options;
}

/** False when it is no option that `Options` has. */
function take(options: Options, word: string, value: string): boolean {
  if (word === '-d') options.address = value.replace(/\/(32|128)$/, '');
  else if (word === '-p') options.protocol = value;
  else if (word === '--dport') options.port = value;
  else if (word === '-s') options.source = value;
  else if (word === '--dst-type' && value === 'LOCAL') options.toNode = true;
  else if (word === '--comment') options.comment = value;
  else return word === '--match-set';
  return true;
}

function words(text: string): string[] {
  return Array.from(text.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g), ([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1'),
  );
}

/** Hundreds of thousands in a large cluster, and none leads to anything but others of them. */
const OF_ONE_SERVICE = /^KUBE-(SVC|SVL|SEP|EXT|FW)-/;

/** Names of the chains that these built-in chains lead to, themselves included; those of single Services are left out. */
export function reachable(chains: Chains, from: readonly string[]): Set<string> {
  const reached = new Set(from.filter(name => chains.has(name)));
  // A Set is walked in order of insertion, so what is added while walking is walked too.
  for (const name of reached) {
    for (const { target } of chains.get(name)?.rules ?? []) {
      if (target !== undefined && !OF_ONE_SERVICE.test(target) && chains.has(target)) reached.add(target);
    }
  }
  return reached;
}

/** Names of the chains that each of these built-in chains leads to. */
export function reachableFromAll(chains: Chains, from: readonly string[]): Set<string> {
  const [first = new Set<string>(), ...others] = from.map(name => reachable(chains, [name]));
  return new Set([...first].filter(name => others.every(other => other.has(name))));
}
