// What a scenario needs of a cluster, real or embedded: the CLI as a process, an independent witness, the truth per node.

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
  seconds: number;
}

/** What clients lost while the witness ran. */
export interface Witnessed {
  tcp: number;
  tcpFailed: number;
  udp: number;
  udpFailed: number;
  keptBroken: number;
  /** Stretches of time of which a client brought no result. */
  blind: number;
  /** UDP exchanges past every Service, straight to a server, that failed meanwhile: `0 of 90`. Absent where nobody asks so. */
  direct?: string;
  /** Of what failed, what did while a server was called unready, so whoever wrote the rules. Absent where nobody follows that. */
  unready?: Pick<Witnessed, 'tcpFailed' | 'udpFailed'>;
  /** Where and how, one line each: `client-node2 udp: 5 of 90, i/o timeout`. */
  losses: string[];
}

/** One command under the witness. */
export interface Row extends Witnessed {
  what: string;
  seconds: number;
  /** Of these, kube-proxy's own stops and starts; and what the watching on purpose (soak, with its forced change) took. */
  proxySeconds: number;
  soakSeconds: number;
}

/**
 * What a witness may lose: nothing, where the machine keeps up. A share of new connections, and a number of kept ones, on
 * machines so slow that clients of untouched nodes lose some too; the rows say what it was.
 */
export interface Noise {
  readonly share: number;
  readonly kept: number;
  readonly blind: number;
}

/** The least that a witness must have seen to tell anything. */
const LEAST_TCP = 50;

/** What was lost beyond the noise and what a fault of the test's own costs, one line each; empty when all is well. */
export function lostBeyond(seen: Witnessed, noise: Noise, cost?: Witnessed): string[] {
  const figures: [what: string, seen: number, allowed: number][] = [
    ['TCP connections failed', seen.tcpFailed, noise.share * seen.tcp + COST_FACTOR * (cost?.tcpFailed ?? 0)],
    ['UDP exchanges failed', seen.udpFailed, noise.share * seen.udp + COST_FACTOR * (cost?.udpFailed ?? 0)],
    ['kept connections broke', seen.keptBroken, noise.kept + COST_FACTOR * (cost?.keptBroken ?? 0)],
    ['stretches brought no result', seen.blind, noise.blind],
  ];
  const over = figures.filter(([, is, allowed]) => is > allowed);
  return [
    ...over.map(([what, is, allowed]) => `${is} ${what}, ${Math.floor(allowed)} are allowed`),
    ...(over.length > 0 ? seen.losses : []),
    ...(seen.tcp > LEAST_TCP ? [] : [`only ${seen.tcp} TCP connections were tried`]),
  ];
}

/** A fault costs more in one place than in another. */
const COST_FACTOR = 2;

export interface Witness {
  /** Ends the witness and gives what it saw. */
  finished(): Promise<Witnessed>;
}

export interface NodeTruth {
  name: string;
  /** Answer of the node's own /proxyMode. */
  mode: string;
  /** Rule sets of modes that the kernel holds, named: chains, tables, devices, virtual servers, sets. */
  rules: { iptables: string[]; ipvs: string[]; nftables: string[] };
}

export interface Testbed {
  readonly name: 'real' | 'embedded';
  /** Nothing when not given. */
  readonly noise?: Noise;
  /** What was measured so far, where somebody wants to know. */
  readonly rows?: Row[];
  /** Runs `proxyctl` with these arguments in a process of its own. */
  proxyctl(...args: string[]): Promise<CliResult>;
  /** New connections over TCP and UDP, and one kept open, from the pod network of every node. */
  witness(): Promise<Witness>;
  truth(): Promise<NodeTruth[]>;
  /** Every object that matters, by `kind namespace/name`, without what a server writes by itself. */
  objects(): Promise<Map<string, string>>;
  close(): Promise<void>;
}

/** Differences between two pictures of the same cluster, one line each. */
export function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const lines: string[] = [];
  for (const [key, text] of before) {
    const now = after.get(key);
    if (now === undefined) lines.push(`gone: ${key}`);
    else if (now !== text) lines.push(`changed: ${key}\n  was ${text}\n  is  ${now}`);
  }
  for (const key of after.keys()) if (!before.has(key)) lines.push(`left: ${key}`);
  return lines;
}

/** An object as comparable text: no versions, times, statuses, nor what controllers count up. */
export function comparable(object: Record<string, unknown>): string {
  const { status: _status, ...rest } = object;
  const metadata = Object.fromEntries(
    Object.entries(rest.metadata as Record<string, unknown>).filter(
      ([key]) => !['resourceVersion', 'generation', 'managedFields', 'creationTimestamp', 'uid'].includes(key),
    ),
  );
  const annotations = Object.entries((metadata.annotations as Record<string, string> | undefined) ?? {}).filter(
    ([key]) => key !== 'deprecated.daemonset.template.generation',
  );
  delete metadata.annotations;
  if (annotations.length > 0) metadata.annotations = Object.fromEntries(annotations);
  return JSON.stringify({ ...rest, metadata }, sorted);
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
