import { type Chains, type Iptables, TABLES, type TableName, targetOf } from './iptables.ts';

type Draft = Record<TableName, Chains>;

/**
 * `iptables-restore --noflush`: all lines or none. Returns the error text, or undefined when it went well. Understands
 * `:CHAIN`, -A, -I, -D, -F, -N and -X.
 */
export function restore(iptables: Iptables, program: string, input: string): string | undefined {
  const draft = iptables.draft();
  let table: TableName | undefined;
  let open = false;
  for (const [index, raw] of input.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const failed = (why: string) => `${program}: line ${index + 1} failed: ${why}.\n`;
    if (line.startsWith('*')) {
      const name = line.slice(1);
      if (!Object.hasOwn(TABLES, name)) return failed(`Table does not exist (${name})`);
      table = name as TableName;
      open = true;
    } else if (line === 'COMMIT') {
      open = false;
    } else if (!table || !open) {
      return failed('no table');
    } else {
      const why = apply(draft, table, line);
      if (why !== undefined) return failed(why);
    }
  }
  if (open) return `${program}: COMMIT expected at line ${input.split('\n').length}\n`;
  iptables.commit(draft);
  return undefined;
}

const MISSING = 'No chain/target/match by that name';

function apply(draft: Draft, table: TableName, line: string): string | undefined {
  const chains = draft[table];
  const declared = /^:(\S+) /.exec(`${line} `)?.[1];
  if (declared !== undefined) {
    if (!TABLES[table].includes(declared)) chains.set(declared, []);
    return undefined;
  }
  const [, command = '', chain = '', rest = ''] = /^(-\w)\s+(\S+)\s*(.*)$/.exec(line) ?? [];
  const rules = chains.get(chain);
  if (command === '-N') {
    if (rules) return 'Chain already exists';
    chains.set(chain, []);
    return undefined;
  }
  if (!rules) return MISSING;
  const rule = rest.trim();
  switch (command) {
    case '-F':
      chains.set(chain, []);
      return undefined;
    case '-X':
      return dropChain(chains, table, chain);
    case '-D': {
      const at = rules.findIndex(r => squeeze(r) === squeeze(rule));
      if (at < 0) return 'Bad rule (does a matching rule exist in that chain?)';
      chains.set(chain, rules.toSpliced(at, 1));
      return undefined;
    }
    case '-A':
    case '-I': {
      const target = targetOf(rule) ?? '';
      if (target.startsWith('KUBE-') && !chains.has(target)) return MISSING;
      chains.set(chain, command === '-A' ? [...rules, rule] : [rule, ...rules]);
      return undefined;
    }
    default:
      return `unknown option "${command}"`;
  }
}

function dropChain(chains: Chains, table: TableName, chain: string): string | undefined {
  if (TABLES[table].includes(chain)) return 'Operation not supported';
  if ((chains.get(chain)?.length ?? 0) > 0) return 'Directory not empty';
  for (const rules of chains.values())
    if (rules.some(rule => targetOf(rule) === chain)) return 'Device or resource busy';
  chains.delete(chain);
  return undefined;
}

/** The normal form has doubled spaces in places; they do not count. */
function squeeze(rule: string): string {
  return rule.replaceAll(/ +/g, ' ');
}
