// Hands established connections from ip_vs over to conntrack, so that removing ipvs does not cut them.
//
// ip_vs translates a connection by an entry of its own and lets conntrack only look on. When the virtual server goes, the entry
// goes, and with it the conntrack entry (ip_vs_conn_drop_conntrack, Linux 6.1). So for a moment shorter than a retransmission
// the packets of these flows are held back, the virtual server is removed, and conntrack gets entries that translate the same
// way. What holds packets back forgets them by itself after HOLD_SECONDS: nothing that dies in here can cut a connection off.
// So that it is a moment however many there are, it is done for so many flows at a time, by one program for each step.
import type { NodeIo } from '../core/node-io.ts';
import { servicePort } from '../core/service-port.ts';
import { parseIpVsConnections } from '../kernel/ipvs.ts';

const TABLE = 'proxyctl-adopt';
const HOLD_SECONDS = 10;
const EXPIRE_MS = 3_000;
const POLL_MS = 50;
/** Flows that are held back at once, but for those of a single virtual server that has more. */
const MOST_FLOWS = 500;
/** The first that takes many entries from one file. */
const CONNTRACK_NEEDS = [1, 4, 7] as const;
const TIMEOUT_SECONDS = 86_400;

/** A connection as conntrack lists it: the client's question, and the answer that ip_vs expects. */
export interface Flow {
  readonly family: 'ip' | 'ip6';
  readonly src: string;
  readonly sport: string;
  readonly dst: string;
  readonly dport: string;
  readonly replySrc: string;
  readonly replySport: string;
  readonly replyDst: string;
  readonly replyDport: string;
}

/** Established TCP flows in the output of `conntrack -L -p tcp --state ESTABLISHED`. */
export function parseFlows(text: string): Flow[] {
  const flows: Flow[] = [];
  for (const line of text.split('\n')) {
    const values = [...line.matchAll(/\b(src|dst|sport|dport)=(\S+)/g)].map(m => m[2] ?? '');
    const [src, dst, sport, dport, replySrc, replyDst, replySport, replyDport] = values;
    if (!src || !dst || !sport || !dport || !replySrc || !replyDst || !replySport || !replyDport) continue;
    const family = src.includes(':') ? 'ip6' : 'ip';
    flows.push({ family, src, dst, sport, dport, replySrc, replyDst, replySport, replyDport });
  }
  return flows;
}

/** Address and port of a TCP virtual server. */
export interface Server {
  readonly address: string;
  readonly port: number;
}

/** Whether this node has what handing over takes. */
export async function canAdopt(io: NodeIo): Promise<boolean> {
  const [conntrack, nft] = await Promise.all([io.run('conntrack', ['--version']), io.run('nft', ['--version'])]);
  const version = /v(\d+)\.(\d+)\.(\d+)/.exec(conntrack.stdout)?.slice(1).map(Number) ?? [];
  return nft.code === 0 && conntrack.code === 0 && !isBefore(version, CONNTRACK_NEEDS);
}

function isBefore(version: readonly number[], needed: readonly number[]): boolean {
  const at = needed.findIndex((part, i) => version[i] !== part);
  return at >= 0 && (version[at] ?? 0) < (needed[at] ?? 0);
}

/** How many flows were handed over, and what went wrong with others. */
export interface Adopted {
  readonly flows: number;
  readonly troubles: readonly unknown[];
}

/**
 * Removes TCP virtual servers by `remove`, group by group, and keeps their established connections. Throws when packets could
 * not be held back, before the group in question was touched. A mode that serves beside ipvs has taken all new connections:
 * flows only become fewer.
 */
export async function adoptAround<S extends Server>(
  io: NodeIo,
  servers: readonly S[],
  remove: (servers: readonly S[]) => Promise<void>,
): Promise<Adopted> {
  const flows = Map.groupBy(await flowsTo(io, servers), serverOf);
  const flowsOf = (server: S) => flows.get(keyOf(server)) ?? [];
  const idle = servers.filter(server => flowsOf(server).length === 0);
  if (idle.length > 0) await remove(idle);
  const adopted = { flows: 0, troubles: [] as unknown[] };
  for (const group of grouped(servers, server => flowsOf(server).length)) {
    const own = group.flatMap(flowsOf);
    const trouble = await adopt(io, own, group, remove);
    if (trouble === undefined) adopted.flows += own.length;
    else adopted.troubles.push(trouble);
  }
  return adopted;
}

/** Servers that have flows, as many together as MOST_FLOWS allows. */
function grouped<S>(servers: readonly S[], flowsOf: (server: S) => number): S[][] {
  const groups: S[][] = [];
  let open = Number.POSITIVE_INFINITY;
  for (const server of servers) {
    const flows = flowsOf(server);
    if (flows === 0) continue;
    if (open + flows > MOST_FLOWS) {
      groups.push([]);
      open = 0;
    }
    groups.at(-1)?.push(server);
    open += flows;
  }
  return groups;
}

/** What went wrong once the servers had gone: there is no way back then, and the others must not wait for it. */
async function adopt<S extends Server>(
  io: NodeIo,
  flows: readonly Flow[],
  servers: readonly S[],
  remove: (servers: readonly S[]) => Promise<void>,
): Promise<unknown> {
  const families = [...new Set(flows.map(flow => flow.family))];
  try {
    for (const family of families) {
      await hold(
        io,
        flows.filter(flow => flow.family === family),
      );
    }
    await remove(servers);
    try {
      await expired(io, flows);
      await insert(io, flows, await flowsTo(io, servers));
      return undefined;
    } catch (error) {
      return error;
    }
  } finally {
    for (const family of families) await run(io, 'nft', ['delete', 'table', family, TABLE]);
  }
}

function keyOf({ address, port }: Server): string {
  return `${address} ${port}`;
}

function serverOf({ dst, dport }: Flow): string {
  return `${dst} ${dport}`;
}

/** Established flows that ip_vs translates for these servers. */
async function flowsTo(io: NodeIo, servers: readonly Server[]): Promise<Flow[]> {
  const wanted = new Set(servers.map(keyOf));
  const flows: Flow[] = [];
  for (const family of ['ipv4', 'ipv6']) {
    const listed = await run(io, 'conntrack', ['-L', '-f', family, '-p', 'tcp', '--state', 'ESTABLISHED']);
    // A flow whose answer comes from the address itself is not translated by ip_vs.
    flows.push(...parseFlows(listed).filter(flow => wanted.has(serverOf(flow)) && flow.replySrc !== flow.dst));
  }
  return flows;
}

/** Both directions of the flows, before conntrack sees them, for HOLD_SECONDS at most. */
async function hold(io: NodeIo, flows: readonly Flow[]): Promise<void> {
  const family = flows[0]?.family ?? 'ip';
  const type = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  const timeout = `timeout ${HOLD_SECONDS}s`;
  const elements = flows.flatMap(f => [
    `${f.src} . ${f.sport} . ${f.dst} . ${f.dport} ${timeout}`,
    `${f.replySrc} . ${f.replySport} . ${f.replyDst} . ${f.replyDport} ${timeout}`,
  ]);
  const match = `${family} saddr . tcp sport . ${family} daddr . tcp dport @flows drop`;
  const script = `table ${family} ${TABLE} {
  set flows { type ${type} . inet_service . ${type} . inet_service; flags timeout; elements = { ${elements.join(', ')} } }
  chain prerouting { type filter hook prerouting priority -400; ${match}; }
  chain output { type filter hook output priority -400; ${match}; }
}
`;
  await run(io, 'nft', ['-f', '-'], script);
}

/** ip_vs drops entries without a destination by itself (expire_nodest_conn=1, which kube-proxy sets) shortly after. */
async function expired(io: NodeIo, flows: readonly Flow[]): Promise<void> {
  const end = io.now() + EXPIRE_MS;
  while (flows.length > 0 && io.now() < end) {
    const { established } = parseIpVsConnections(await io.readFile('/proc/net/ip_vs_conn'));
    if (!flows.some(flow => established.has(servicePort(flow.dst, Number(flow.dport), 'TCP')))) return;
    await io.sleep(POLL_MS);
  }
}

/** Entries of `stale` flows are still there, and do not translate; as a rule they have gone with those of ip_vs. */
async function insert(io: NodeIo, flows: readonly Flow[], stale: readonly Flow[]): Promise<void> {
  const lines = [...stale.map(flow => `-D ${tupleOf(flow)}`), ...flows.map(entryOf)];
  await run(io, 'conntrack', ['-R', '/dev/stdin'], lines.map(line => `${line}\n`).join(''));
}

function tupleOf({ src, dst, sport, dport }: Flow): string {
  return `-p tcp -s ${src} -d ${dst} --sport ${sport} --dport ${dport}`;
}

function entryOf(flow: Flow): string {
  const { src, sport, replySrc, replySport, replyDst, replyDport } = flow;
  const isMasqueraded = replyDst !== src || replyDport !== sport;
  const source = isMasqueraded ? ` --src-nat ${joined(replyDst, replyDport)}` : '';
  const state = `--state ESTABLISHED -u SEEN_REPLY,ASSURED -t ${TIMEOUT_SECONDS}`;
  return `-A ${tupleOf(flow)} --dst-nat ${joined(replySrc, replySport)}${source} ${state}`;
}

function joined(address: string, port: string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

async function run(io: NodeIo, program: string, args: string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await io.run(program, args, input);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 2).join(' ')}: exit ${code}: ${stderr.trim()}`);
  return stdout;
}
