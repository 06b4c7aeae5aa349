// /proc/net/ip_vs, /proc/net/ip_vs_conn and the addresses of kube-ipvs0. Numbers in the first two are hexadecimal.
import { hostPort, servicePort, shortAddress } from '../core/service-port.ts';

export interface VirtualServer {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** In its shortest form. */
  readonly address: string;
  readonly port: number;
  /** `rr`, `wlc` ... */
  readonly scheduler: string;
  /** How long a client stays with its destination, in ticks of the kernel's clock. */
  readonly persistentTicks?: number;
  /** `address:port` of the destinations that get new connections: with weight 0 they only end what they have. */
  readonly destinations: readonly string[];
}

/** `10.96.0.1:443/TCP`. */
export function virtualServerKey(server: Pick<VirtualServer, 'protocol' | 'address' | 'port'>): string {
  return servicePort(server.address, server.port, server.protocol);
}

const SERVER = /^(TCP|UDP|SCTP)\s+(\S+):([0-9A-F]{4})\s(.*)$/;
const DESTINATION = /^\s+->\s+(\S+):([0-9A-F]{4})\s+\S+\s+(\d+)\s/;
const HEAD = /^(IP Virtual Server version|Prot LocalAddress:Port|\s+-> RemoteAddress:Port)/;
const FIREWALL_MARK = /^FWM\s/;

/**
 * Virtual servers of /proc/net/ip_vs; those of firewall marks are no Service's and are left out. Throws on what is none of its
 * lines, and on a last line that was cut off.
 */
export function parseIpVs(text: string): VirtualServer[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error('/proc/net/ip_vs ends in the middle of a line');
  const servers: VirtualServer[] = [];
  let destinations: string[] = [];
  for (const line of text.split('\n')) {
    const end = DESTINATION.exec(line);
    if (end) {
      const [, address = '', port = '', weight] = end;
      if (weight !== '0') destinations.push(hostPort(plainAddress(address), Number.parseInt(port, 16)));
      continue;
    }
    const [, protocol, address = '', port = '', flags = ''] = SERVER.exec(`${line} `) ?? [];
    if (protocol === undefined && line !== '' && !HEAD.test(line) && !FIREWALL_MARK.test(line))
      throw new Error(`/proc/net/ip_vs has a line that is not known: ${line.slice(0, 100)}`);
    // Those of a firewall mark go to a list that nobody has.
    destinations = [];
    if (protocol === undefined) continue;
    const ticks = / persistent (\d+) /.exec(flags)?.[1];
    servers.push({
      protocol: protocol as VirtualServer['protocol'],
      address: plainAddress(address),
      port: Number.parseInt(port, 16),
      scheduler: flags.split(' ', 1)[0] ?? '',
      destinations,
      ...(ticks === undefined ? {} : { persistentTicks: Number(ticks) }),
    });
  }
  return servers;
}

/** Virtual servers of /proc/net/ip_vs that stand for a firewall mark: the marks, as numbers of the C language. */
export function parseFirewallMarks(text: string): string[] {
  return [...text.matchAll(/^FWM\s+([0-9A-F]{8})\s/gm)].map(([, mark = '']) => `0x${mark.replace(/^0+(?=.)/, '')}`);
}

/** `0A60000B` or `[fd00:0000:...]`. */
function plainAddress(text: string): string {
  return text.startsWith('[') ? shortAddress(text.slice(1, -1)) : dotted(text);
}

/**
 * How many ticks of its clock make a second in this kernel: what `ipvsadm -S -n` calls seconds, /proc/net/ip_vs has in ticks.
 * Undefined when nothing is persistent in both.
 */
export function ticksPerSecond(servers: readonly VirtualServer[], saved: string): number | undefined {
  const ticks = new Map(servers.map(server => [virtualServerKey(server), server.persistentTicks]));
  for (const line of saved.split('\n')) {
    const [, flag = '', address = '', port = ''] = /^-A (-t|-u|--sctp-service) (\S+):(\d+) /.exec(line) ?? [];
    const seconds = Number(/ -p (\d+)/.exec(line)?.[1] ?? 0);
    const protocol = { '-t': 'TCP', '-u': 'UDP' }[flag] ?? 'SCTP';
    const inTicks = ticks.get(servicePort(address.replace(/[[\]]/g, ''), port, protocol));
    if (inTicks !== undefined && seconds > 0) return inTicks / seconds;
  }
  return undefined;
}

/** How many TCP connections each virtual server has, by its key. */
type Counts = Map<string, number>;

/** One side has ended them. */
const CLOSING: readonly (string | undefined)[] = ['FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'];

/** What /proc/net/ip_vs_conn lists: how many connections in all, and of the TCP ones those that live. */
export function parseIpVsConnections(text: string): { total: number; established: Counts; closing: Counts } {
  const established: Counts = new Map();
  const closing: Counts = new Map();
  let total = 0;
  for (const line of text.split('\n')) {
    const [protocol, , , address, port, , , state] = line.split(/\s+/);
    if (protocol === undefined || address === undefined || !/^(TCP|UDP|SCTP)$/.test(protocol)) continue;
    total++;
    const counts = state === 'ESTABLISHED' ? established : CLOSING.includes(state) ? closing : undefined;
    if (!counts) continue;
    const key = servicePort(hostOf(address), Number.parseInt(port ?? '', 16), protocol);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return { total, established, closing };
}

/** The TCP connections that /proc/net/ip_vs_conn lists, each as client, its port, virtual address and port, by spaces. */
export function ipVsClients(text: string): Set<string> {
  const clients = new Set<string>();
  for (const line of text.split('\n')) {
    const [protocol, client = '', clientPort = '', address = '', port = ''] = line.split(/\s+/);
    if (protocol !== 'TCP') continue;
    const [from, to] = [clientPort, port].map(hex => Number.parseInt(hex, 16));
    clients.add(`${hostOf(client)} ${from} ${hostOf(address)} ${to}`);
  }
  return clients;
}

function hostOf(address: string): string {
  return address.includes(':') ? shortAddress(address.replace(/[[\]]/g, '')) : dotted(address);
}

/** Addresses in the output of `ip -o addr show dev DEVICE`, in their shortest form. Throws on one that was cut off. */
export function parseAddresses(text: string): Set<string> {
  if (text !== '' && !text.endsWith('\n')) throw new Error('the output of ip addr ends in the middle of a line');
  return new Set([...text.matchAll(/ inet6? ([0-9a-fA-F.:]+)/g)].map(([, address]) => shortAddress(address ?? '')));
}

function dotted(hex: string): string {
  const bits = Number.parseInt(hex, 16);
  return [24, 16, 8, 0].map(shift => (bits >>> shift) & 255).join('.');
}
