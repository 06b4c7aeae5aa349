// The node's connection tracking, which every mode uses.
import type { NodeIo } from '../core/node-io.ts';
import type { ConntrackSample } from '../core/observation.ts';

export type ConntrackCounts = Omit<ConntrackSample, 't' | 'kind'>;
type Counters = Pick<ConntrackCounts, 'drop' | 'earlyDrop' | 'insertFailed'>;

const SYSCTL = '/proc/sys/net/netfilter';
export const CONNTRACK_STAT = '/proc/net/stat/nf_conntrack';
const ONLINE = '/sys/devices/system/cpu/online';

const UNKNOWN: Counters = { drop: null, earlyDrop: null, insertFailed: null };

/** What could not be read is null, and named in `troubles`. Rejects when count and maximum cannot be read. */
export async function lookAtConntrack(io: NodeIo): Promise<{ counts: ConntrackCounts; troubles: [string, unknown][] }> {
  const troubles: [string, unknown][] = [];
  const count = number(await io.readFile(`${SYSCTL}/nf_conntrack_count`));
  const max = number(await io.readFile(`${SYSCTL}/nf_conntrack_max`));
  const orElse = async <T>(what: string, other: T, read: () => Promise<T>): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      troubles.push([what, error]);
      return other;
    }
  };
  const cores = await orElse<number | null>(ONLINE, null, async () => processors(await io.readFile(ONLINE)));
  const counters = await orElse(CONNTRACK_STAT, UNKNOWN, () => countersOf(io));
  return { counts: { count, max, cores, ...counters }, troubles };
}

/** From /proc, or where the kernel has no such file (CONFIG_NF_CONNTRACK_PROCFS) from netlink. Rejects when neither tells. */
async function countersOf(io: NodeIo): Promise<Counters> {
  try {
    return conntrackStat(await io.readFile(CONNTRACK_STAT));
  } catch (error) {
    const { code, stdout } = await io.run('conntrack', ['-S']);
    if (code !== 0) throw error;
    return toolStat(stdout);
  }
}

/** Sums over the processors of /proc/net/stat/nf_conntrack: one line each, hexadecimal, columns named in the first line. */
export function conntrackStat(text: string): Counters {
  const [header = '', ...rows] = text.trim().split('\n');
  const names = header.trim().split(/\s+/);
  const fields = rows.map(row => row.trim().split(/\s+/));
  return sums(rows.length, name => {
    const column = names.indexOf(name);
    return fields.map(row => Number.parseInt(row[column] ?? '', 16));
  });
}

/** The same of `conntrack -S`: a line a processor with `name=value`, decimal. */
export function toolStat(text: string): Counters {
  const rows = text.split('\n').filter(line => line.startsWith('cpu='));
  return sums(rows.length, name =>
    rows.map(row => Number(new RegExp(`\\b${name}=(\\d+)`).exec(row)?.[1] ?? Number.NaN)),
  );
}

/** Half a table is none: a value that is missing anywhere is an error. */
function sums(rows: number, valuesOf: (name: string) => number[]): Counters {
  const sum = (name: string) => {
    const total = valuesOf(name).reduce((all, value) => all + value, 0);
    if (rows === 0 || Number.isNaN(total)) throw new Error(`the counter ${name} is not there for every processor`);
    return total;
  };
  return { drop: sum('drop'), earlyDrop: sum('early_drop'), insertFailed: sum('insert_failed') };
}

/** How many processors a list such as `0-3,8` names. */
function processors(list: string): number {
  return list
    .trim()
    .split(',')
    .reduce((sum, range) => {
      const [first = '', last = first] = range.split('-');
      return sum + number(last) - number(first) + 1;
    }, 0);
}

function number(text: string): number {
  const value = Number.parseInt(text, 10);
  if (Number.isNaN(value)) throw new Error(`not a number: ${text.slice(0, 50)}`);
  return value;
}
