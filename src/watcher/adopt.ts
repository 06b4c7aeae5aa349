// Hands established connections from ip_vs over to conntrack, so that removing ipvs does not cut them.
//
// ip_vs translates a connection by an entry of its own and lets conntrack only look on. When the virtual server goes, the entry
// goes, and with it the conntrack entry (ip_vs_conn_drop_conntrack, Linux 6.1). So for a moment shorter than a retransmission
// the packets of these flows are held back, the virtual server is removed, and conntrack gets entries that translate the same
// way. What holds packets back forgets them by itself after HOLD_SECONDS: nothing that dies in here can cut a connection off.
import type { NodeIo } from '../core/node-io.ts';
import { servicePort } from '../core/service-port.ts';
import { parseIpVsConnections } from '../kernel/ipvs.ts';
import { eachAtMost } from './pace.ts';

const TABLE = 'proxyctl-adopt';
const HOLD_SECONDS = 10;
const EXPIRE_MS = 3_000;
const POLL_MS = 50;
const MAX_PROGRAMS = 8;
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
  const tools = await Promise.all([io.run('conntrack', ['--version']), io.run('nft', ['--version'])]);
  return tools.every(({ code }) => code === 0);
}

/**
 * Calls `remove`, which removes these TCP virtual servers, and keeps their established connections. Gives how many were handed
 * over; throws when packets could not be held back, before anything was removed.
 */
export async function adoptAround(
  io: NodeIo,
  servers: readonly Server[],
  remove: () => Promise<void>,
): Promise<number> {
  const flows = (await Promise.all((['ipv4', 'ipv6'] as const).map(family => flowsTo(io, family, servers)))).flat();
  const families = [...new Set(flows.map(flow => flow.family))];
  try {
    for (const family of families) {
      await hold(
        io,
        flows.filter(flow => flow.family === family),
      );
    }
    await remove();
    await expired(io, flows);
    await eachAtMost(MAX_PROGRAMS, flows, flow => insert(io, flow));
  } finally {
    for (const family of families) await run(io, 'nft', ['delete', 'table', family, TABLE]);
  }
  return flows.length;
}

async function flowsTo(io: NodeIo, family: 'ipv4' | 'ipv6', servers: readonly Server[]): Promise<Flow[]> {
  const listed = parseFlows(await run(io, 'conntrack', ['-L', '-f', family, '-p', 'tcp', '--state', 'ESTABLISHED']));
  const wanted = new Set(servers.map(({ address, port }) => `${address} ${port}`));
  // A flow whose answer comes from the address itself is not translated by ip_vs.
  return listed.filter(flow => wanted.has(`${flow.dst} ${flow.dport}`) && flow.replySrc !== flow.dst);
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

async function insert(io: NodeIo, flow: Flow): Promise<void> {
  const tuple = ['-p', 'tcp', '-s', flow.src, '-d', flow.dst, '--sport', flow.sport, '--dport', flow.dport];
  // Gone with the ip_vs entry as a rule; what is still there does not translate.
  await io.run('conntrack', ['-D', ...tuple]);
  const nat = ['--dst-nat', joined(flow.replySrc, flow.replySport)];
  if (flow.replyDst !== flow.src || flow.replyDport !== flow.sport)
    nat.push('--src-nat', joined(flow.replyDst, flow.replyDport));
  const state = ['--state', 'ESTABLISHED', '-u', 'SEEN_REPLY,ASSURED', '-t', String(TIMEOUT_SECONDS)];
  await run(io, 'conntrack', ['-I', ...tuple, ...nat, ...state]);
}

function joined(address: string, port: string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

async function run(io: NodeIo, program: string, args: string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await io.run(program, args, input);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 2).join(' ')}: exit ${code}: ${stderr.trim()}`);
  return stdout;
}
