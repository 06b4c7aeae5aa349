// The node's connection tracking, which every mode uses.
import type { NodeIo } from '../core/node-io.ts';
import type { ConntrackSample } from '../core/observation.ts';

export type ConntrackCounts = Pick<ConntrackSample, 'count' | 'max' | 'drop' | 'earlyDrop' | 'insertFailed'>;

const SYSCTL = '/proc/sys/net/netfilter';
export const CONNTRACK_STAT = '/proc/net/stat/nf_conntrack';

/**
 * `statError` is set when the counters could not be read (kernels without CONFIG_NF_CONNTRACK_PROCFS); they are 0 then.
 * Rejects when count and maximum cannot be read.
 */
export async function lookAtConntrack(io: NodeIo): Promise<{ counts: ConntrackCounts; statError?: unknown }> {
  const count = number(await io.readFile(`${SYSCTL}/nf_conntrack_count`));
  const max = number(await io.readFile(`${SYSCTL}/nf_conntrack_max`));
  try {
    return { counts: { count, max, ...conntrackStat(await io.readFile(CONNTRACK_STAT)) } };
  } catch (statError) {
    return { counts: { count, max, drop: 0, earlyDrop: 0, insertFailed: 0 }, statError };
  }
}

/** Sums over the processors of /proc/net/stat/nf_conntrack: one line each, hexadecimal, columns named in the first line. */
export function conntrackStat(text: string): Pick<ConntrackCounts, 'drop' | 'earlyDrop' | 'insertFailed'> {
  const [header = '', ...rows] = text.trim().split('\n');
  const names = header.trim().split(/\s+/);
  const sum = (name: string) => {
    const column = names.indexOf(name);
    if (column < 0) throw new Error(`no column ${name}`);
    return rows.reduce((total, row) => total + Number.parseInt(row.trim().split(/\s+/)[column] ?? '', 16), 0);
  };
  return { drop: sum('drop'), earlyDrop: sum('early_drop'), insertFailed: sum('insert_failed') };
}

function number(text: string): number {
  const value = Number.parseInt(text, 10);
  if (Number.isNaN(value)) throw new Error(`not a number: ${text.slice(0, 50)}`);
  return value;
}
