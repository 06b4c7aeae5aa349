// Hands established connections from ip_vs over to conntrack, so that removing ipvs does not cut them.
//
// ip_vs translates a connection by an entry of its own and lets conntrack only look on. When the virtual server goes, the entry
// goes, and with it the conntrack entry (ip_vs_conn_drop_conntrack, Linux 6.1). So for a moment shorter than a retransmission
// the packets of these flows are held back, the virtual server is removed, and conntrack gets entries that translate the same
// way. What holds packets back forgets them by itself after HOLD_SECONDS: nothing that dies in here can cut a connection off.
// So that it is a moment however many there are, it is done for so many flows at a time, by one program for each step, started
// before it is needed where that can be: on slow nodes the start of a program takes as long as all that it does.
import { atLeast } from '../core/mode.ts';
import type { NodeIo, Prepared, ProgramResult } from '../core/node-io.ts';
import { hostPort, servicePort } from '../core/service-port.ts';
import { ipVsClients, parseIpVsConnections } from '../kernel/ipvs.ts';

const TABLE = 'proxyctl-adopt';
const HOLD_SECONDS = 10;
const EXPIRE_MS = 3_000;
const POLL_MS = 50;
/** Flows that are held back at once, but for those of a single virtual server that has more. */
const MOST_FLOWS = 500;
/** `conntrack -D` reads the whole table for each flow: where there is more to read in all, it is looked up which ones are there. */
const MOST_READ = 200_000;
/** The first that takes many entries from one file. */
const CONNTRACK_NEEDS = [1, 4, 7] as const;
const TIMEOUT_SECONDS = 86_400;
/** The same of a connection that one side has ended; any packet of it sets the kernel's own. */
const CLOSING_SECONDS = 3_600;

/** Of these there is data to come: in the last three one side has ended, and the other may still send or wait for its answer. */
const STATES = ['ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'] as const;
type State = (typeof STATES)[number];

/** A connection as conntrack lists it: the client's question, and the answer that ip_vs expects. */
export interface Flow {
  readonly state: State;
  /** The connection's own mark; `0` without one. */
  readonly mark: string;
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

/** The flows in the output of `conntrack -L -p tcp --state STATE`. */
function parseFlows(text: string, state: State): Flow[] {
  const flows: Flow[] = [];
  for (const line of text.split('\n')) {
    const values = [...line.matchAll(/\b(src|dst|sport|dport)=(\S+)/g)].map(m => m[2] ?? '');
    const [src, dst, sport, dport, replySrc, replyDst, replySport, replyDport] = values;
    if (!src || !dst || !sport || !dport || !replySrc || !replyDst || !replySport || !replyDport) continue;
    const family = src.includes(':') ? 'ip6' : 'ip';
    const mark = / mark=(\d+)/.exec(line)?.[1] ?? '0';
    flows.push({ state, mark, family, src, dst, sport, dport, replySrc, replyDst, replySport, replyDport });
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
  return nft.code === 0 && conntrack.code === 0 && atLeast(version, CONNTRACK_NEEDS);
}

/** What a sweeper that was killed meanwhile has left: tables that hold nothing back any more. Named as leftovers are. */
export async function leftTables(io: NodeIo): Promise<string[]> {
  // Where nft does not work nothing was held back.
  const { stdout } = await io.run('nft', ['list', 'tables']);
  return stdout.split('\n').filter(line => line.endsWith(` ${TABLE}`));
}

/** How many flows were handed over, and what went wrong with others. */
export interface Adopted {
  readonly flows: number;
  readonly troubles: readonly unknown[];
}

/** Makes ready to remove servers; what it gives removes them, once. */
export type Removal<S> = () => (servers: readonly S[]) => Promise<void>;

/**
 * Removes TCP virtual servers group by group, and keeps their established connections. Throws when connections cannot be
 * listed or packets held back, before the group in question was touched. A mode that serves beside ipvs has taken all new
 * connections: flows only become fewer.
 */
export async function adoptAround<S extends Server>(
  io: NodeIo,
  servers: readonly S[],
  removal: Removal<S>,
): Promise<Adopted> {
  // conntrack lists those that the other mode translates in the same words.
  const own = ipVsClients(await io.readFile('/proc/net/ip_vs_conn'));
  const through = (await flowsTo(io, servers)).filter(({ src, sport, dst, dport }) =>
    own.has(`${src} ${sport} ${dst} ${dport}`),
  );
  const flows = Map.groupBy(through, serverOf);
  const flowsOf = (server: S) => flows.get(keyOf(server)) ?? [];
  const idle = servers.filter(server => flowsOf(server).length === 0);
  if (idle.length > 0) await removal()(idle);
  const adopted = { flows: 0, troubles: [] as unknown[] };
  for (const group of grouped(servers, server => flowsOf(server).length)) {
    const held = group.flatMap(flowsOf);
    const troubles = await adopt(io, held, group, removal);
    if (troubles.length === 0) adopted.flows += held.length;
    adopted.troubles.push(...troubles);
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

/** Gives what went wrong once packets were held back: there is no way back then, and other groups must not wait for it. */
async function adopt<S extends Server>(
  io: NodeIo,
  flows: readonly Flow[],
  servers: readonly S[],
  removal: Removal<S>,
): Promise<unknown[]> {
  const families = [...new Set(flows.map(flow => flow.family))];
  const holding = io.prepare('nft', ['-f', '-']);
  const letting = io.prepare('nft', ['-f', '-']);
  const remove = removal();
  try {
    await give(holding, 'nft -f -', families.map(family => heldTable(family, flows)).join(''));
  } catch (error) {
    // What waits for input ends without any.
    await Promise.all([remove([]), letting.give('')]);
    throw error;
  }
  const troubles: unknown[] = [];
  const attempt = (work: Promise<void>) => work.catch(error => void troubles.push(error));
  await attempt(moved(io, flows, servers, remove));
  await attempt(give(letting, 'nft -f -', families.map(family => `delete table ${family} ${TABLE}\n`).join('')));
  return troubles;
}

async function moved<S extends Server>(
  io: NodeIo,
  flows: readonly Flow[],
  servers: readonly S[],
  remove: (servers: readonly S[]) => Promise<void>,
): Promise<void> {
  await remove(servers);
  await expired(io, flows);
  await insert(io, flows, await suspects(io, flows, servers));
}

/** Flows of which conntrack may still have the entry of ip_vs. */
async function suspects(io: NodeIo, flows: readonly Flow[], servers: readonly Server[]): Promise<readonly Flow[]> {
  const entries = Number(await io.readFile('/proc/sys/net/netfilter/nf_conntrack_count'));
  if (flows.length * entries <= MOST_READ) return flows;
  return flowsTo(io, servers, [...new Set(flows.map(flow => flow.state))]);
}

function keyOf({ address, port }: Server): string {
  return `${address} ${port}`;
}

function serverOf({ dst, dport }: Flow): string {
  return `${dst} ${dport}`;
}

/** Flows to these servers that are translated. */
async function flowsTo(io: NodeIo, servers: readonly Server[], states: readonly State[] = STATES): Promise<Flow[]> {
  const wanted = new Set(servers.map(keyOf));
  const flows: Flow[] = [];
  for (const family of ['ipv4', 'ipv6']) {
    for (const state of states) {
      const listed = await run(io, 'conntrack', ['-L', '-f', family, '-p', 'tcp', '--state', state]);
      flows.push(...parseFlows(listed, state).filter(flow => wanted.has(serverOf(flow)) && isTranslated(flow)));
    }
  }
  return flows;
}

/** Not where the answer comes from what was asked. Of a NodePort to a host-network pod of this node only the port differs. */
function isTranslated({ dst, dport, replySrc, replySport }: Flow): boolean {
  return replySrc !== dst || replySport !== dport;
}

/** Holds both directions of the flows back, before conntrack sees them, for HOLD_SECONDS at most. */
function heldTable(family: Flow['family'], all: readonly Flow[]): string {
  const flows = all.filter(flow => flow.family === family);
  const type = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  const timeout = `timeout ${HOLD_SECONDS}s`;
  const elements = flows.flatMap(f => [
    `${f.src} . ${f.sport} . ${f.dst} . ${f.dport} ${timeout}`,
    `${f.replySrc} . ${f.replySport} . ${f.replyDst} . ${f.replyDport} ${timeout}`,
  ]);
  const match = `${family} saddr . tcp sport . ${family} daddr . tcp dport @flows drop`;
  return `table ${family} ${TABLE} {
  set flows { type ${type} . inet_service . ${type} . inet_service; flags timeout; elements = { ${elements.join(', ')} } }
  chain prerouting { type filter hook prerouting priority -400; ${match}; }
  chain output { type filter hook output priority -400; ${match}; }
}
`;
}

/** ip_vs drops entries without a destination by itself (expire_nodest_conn=1, which kube-proxy sets) shortly after. */
async function expired(io: NodeIo, flows: readonly Flow[]): Promise<void> {
  const end = io.now() + EXPIRE_MS;
  while (flows.length > 0 && io.now() < end) {
    const { established, closing } = parseIpVsConnections(await io.readFile('/proc/net/ip_vs_conn'));
    const isThere = ({ state, dst, dport }: Flow) =>
      (state === 'ESTABLISHED' ? established : closing).has(servicePort(dst, Number(dport), 'TCP'));
    if (!flows.some(isThere)) return;
    await io.sleep(POLL_MS);
  }
}

/** Entries of ip_vs do not translate; as a rule they have gone with its own. That there is nothing to delete is no failure. */
async function insert(io: NodeIo, flows: readonly Flow[], doubtful: readonly Flow[]): Promise<void> {
  const lines = [...doubtful.map(flow => `-D ${tupleOf(flow)}`), ...flows.map(entryOf)];
  await run(io, 'conntrack', ['-R', '/dev/stdin'], lines.map(line => `${line}\n`).join(''));
}

function tupleOf({ src, dst, sport, dport }: Flow): string {
  return `-p tcp -s ${src} -d ${dst} --sport ${sport} --dport ${dport}`;
}

function entryOf(flow: Flow): string {
  const { state, mark, src, sport, replySrc, replySport, replyDst, replyDport } = flow;
  const isMasqueraded = replyDst !== src || replyDport !== sport;
  const source = isMasqueraded ? ` --src-nat ${hostPort(replyDst, replyDport)}` : '';
  const timeout = state === 'ESTABLISHED' ? TIMEOUT_SECONDS : CLOSING_SECONDS;
  const status = `--state ${state} -u SEEN_REPLY,ASSURED -t ${timeout}${mark === '0' ? '' : ` -m ${mark}`}`;
  return `-A ${tupleOf(flow)} --dst-nat ${hostPort(replySrc, replySport)}${source} ${status}`;
}

async function run(io: NodeIo, program: string, args: string[], input?: string): Promise<string> {
  return checked([program, ...args.slice(0, 2)].join(' '), await io.run(program, args, input));
}

async function give(prepared: Prepared, what: string, input: string): Promise<void> {
  checked(what, await prepared.give(input));
}

function checked(what: string, { code, stdout, stderr }: ProgramResult): string {
  if (code !== 0) throw new Error(`${what}: exit ${code}: ${stderr.trim()}`);
  return stdout;
}
