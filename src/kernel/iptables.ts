// iptables-save, of any backend and family. The kernel prints rules in its own order and spelling, so rules are read by option.
import { servicePort } from '../core/service-port.ts';
import type { ModeReading } from './reading.ts';

export interface Rule {
  /** `-j` or `-g`. */
  readonly target?: string;
  /** Destination without its full-length mask. */
  readonly address?: string;
  readonly protocol?: string;
  readonly port?: string;
  /** `--dst-type LOCAL`: for the node's own addresses. */
  readonly local: boolean;
  readonly comment?: string;
  /** The rule as it was printed, without `-A CHAIN `. */
  readonly text: string;
}

export interface Chain {
  readonly builtin: boolean;
  readonly rules: Rule[];
}

/** Chains by name, by table. */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, Chain>>;

const COMMENT = / --comment (?:"((?:[^"\\]|\\.)*)"|(\S+))/;

/** All tables of an `iptables-save`; throws on a dump that was cut off. */
export function parseIptablesSave(dump: string): Tables {
  const tables = new Map<string, Map<string, Chain>>();
  let chains: Map<string, Chain> | undefined;
  for (const line of dump.split('\n')) {
    if (line.startsWith('*')) {
      const name = line.slice(1).trim();
      chains = tables.get(name) ?? new Map();
      tables.set(name, chains);
    } else if (line === 'COMMIT') {
      chains = undefined;
    } else if (chains && line.startsWith(':')) {
      const [name = '', policy] = line.slice(1).split(' ');
      chains.set(name, { builtin: policy !== '-', rules: [] });
    } else if (chains && line.startsWith('-A ')) {
      const end = line.indexOf(' ', 3);
      const chain = chains.get(end < 0 ? line.slice(3) : line.slice(3, end));
      chain?.rules.push(parseRule(end < 0 ? '' : line.slice(end + 1)));
    }
  }
  if (chains) throw new Error('the dump ends in the middle of a table');
  return tables;
}

function parseRule(text: string): Rule {
  const comment = COMMENT.exec(` ${text}`);
  const words = (comment ? ` ${text}`.replace(COMMENT, '') : text).trim().split(/ +/);
  const rule: { -readonly [K in keyof Rule]: Rule[K] } = { local: false, text };
  if (comment) rule.comment = comment[1] ?? comment[2] ?? '';
  for (const [index, word] of words.entries()) {
    const value = words[index + 1];
    if (value === undefined || words[index - 1] === '!') continue;
    if (word === '-j' || word === '-g') rule.target = value;
    else if (word === '-d') rule.address = value.replace(/\/(32|128)$/, '');
    else if (word === '-p') rule.protocol = value;
    else if (word === '--dport') rule.port = value;
    else if (word === '--dst-type') rule.local = value === 'LOCAL';
  }
  return rule;
}

/** Names of the chains that these built-in chains lead to, themselves included. */
export function reachable(chains: ReadonlyMap<string, Chain>, from: readonly string[]): Set<string> {
  const reached = new Set(from.filter(name => chains.has(name)));
  // A Set is walked in order of insertion, so what is added while walking is walked too.
  for (const name of reached) {
    for (const { target } of chains.get(name)?.rules ?? []) {
      if (target !== undefined && chains.has(target)) reached.add(target);
    }
  }
  return reached;
}

/** What iptables mode answers for in these dumps, taken together: either backend, both families. */
export function readIptables(dumps: readonly Tables[]): ModeReading {
  const served = new Set<string>();
  const nodePorts = new Set<string>();
  let present = false;
  for (const tables of dumps) {
    const found = [readNat(tables.get('nat') ?? new Map(), served, nodePorts)];
    found.push(readFilter(tables.get('filter') ?? new Map(), served, nodePorts));
    present ||= found.includes(true);
  }
  return { present, served, nodePorts };
}

/** nat: an address and port counts when its chain leads to at least one DNAT. */
function readNat(chains: ReadonlyMap<string, Chain>, served: Set<string>, nodePorts: Set<string>): boolean {
  const known = new Map<string, boolean>();
  const leadsToDnat = (name: string): boolean => {
    const before = known.get(name);
    if (before !== undefined) return before;
    // Against a loop, which the kernel would refuse.
    known.set(name, false);
    const leads = (chains.get(name)?.rules ?? []).some(
      ({ target }) => target === 'DNAT' || (target !== undefined && chains.has(target) && leadsToDnat(target)),
    );
    known.set(name, leads);
    return leads;
  };
  const reached = reachable(chains, ['PREROUTING']);
  let present = reached.has('KUBE-NODEPORTS');
  for (const name of ['KUBE-SERVICES', 'KUBE-NODEPORTS']) {
    if (!reached.has(name)) continue;
    for (const { address, port, protocol, target } of chains.get(name)?.rules ?? []) {
      if (port === undefined || protocol === undefined || target === undefined || !leadsToDnat(target)) continue;
      present = true;
      if (name === 'KUBE-NODEPORTS') nodePorts.add(`${port}/${protocol.toUpperCase()}`);
      else if (address !== undefined) served.add(servicePort(address, port, protocol));
    }
  }
  return present;
}

/** filter: Services without (local) endpoints are rejected or dropped here. */
function readFilter(chains: ReadonlyMap<string, Chain>, served: Set<string>, nodePorts: Set<string>): boolean {
  const reached = reachable(chains, ['INPUT', 'FORWARD', 'OUTPUT']);
  let present = false;
  for (const name of ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES']) {
    if (!reached.has(name)) continue;
    present = true;
    for (const { address, port, protocol, target, local } of chains.get(name)?.rules ?? []) {
      if (port === undefined || protocol === undefined || (target !== 'REJECT' && target !== 'DROP')) continue;
      if (address !== undefined) served.add(servicePort(address, port, protocol));
      else if (local) nodePorts.add(`${port}/${protocol.toUpperCase()}`);
    }
  }
  return present;
}
