// /proc/net/ip_vs, /proc/net/ip_vs_conn and the addresses of kube-ipvs0. Numbers in the first two are hexadecimal.
import { servicePort, shortAddress } from '../core/service-port.ts';
import type { ModeReading } from './reading.ts';

export interface VirtualServer {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** In its shortest form. */
  readonly address: string;
  readonly port: number;
}

/** `10.96.0.1:443/TCP`. */
export function virtualServerKey(server: VirtualServer): string {
  return servicePort(server.address, server.port, server.protocol);
}

const SERVER = /^(TCP|UDP|SCTP)\s+(?:([0-9A-F]{8})|\[([0-9a-f:.]+)\]):([0-9A-F]{4})\s/i;

/** Virtual servers of /proc/net/ip_vs; those of firewall marks are no Service's and are left out. */
export function parseIpVs(text: string): VirtualServer[] {
  const servers: VirtualServer[] = [];
  for (const line of text.split('\n')) {
    const [, protocol, v4, v6, port] = SERVER.exec(`${line} `) ?? [];
    if (protocol === undefined || port === undefined) continue;
    const address = v4 === undefined ? shortAddress(v6 ?? '') : dotted(v4);
    servers.push({
      protocol: protocol.toUpperCase() as VirtualServer['protocol'],
      address,
      port: Number.parseInt(port, 16),
    });
  }
  return servers;
}

/** How many connections /proc/net/ip_vs_conn lists, and how many TCP ones are established at each virtual server (by key). */
export function parseIpVsConnections(text: string): { total: number; established: Map<string, number> } {
  const established = new Map<string, number>();
  let total = 0;
  for (const line of text.split('\n')) {
    const [protocol, , , address, port, , , state] = line.split(/\s+/);
    if (protocol === undefined || address === undefined || !/^(TCP|UDP|SCTP)$/.test(protocol)) continue;
    total++;
    if (state !== 'ESTABLISHED') continue;
    const host = address.includes(':') ? address.replace(/[[\]]/g, '') : dotted(address);
    const key = servicePort(host, Number.parseInt(port ?? '', 16), protocol);
    established.set(key, (established.get(key) ?? 0) + 1);
  }
  return { total, established };
}

/** Addresses in the output of `ip -o addr show dev DEVICE`, in their shortest form. */
export function parseAddresses(text: string): Set<string> {
  return new Set([...text.matchAll(/ inet6? ([0-9a-fA-F.:]+)/g)].map(([, address]) => shortAddress(address ?? '')));
}

/**
 * What ipvs mode answers for: virtual servers whose address kube-ipvs0 carries, for else nothing reaches them; the others'
 * ports stand for NodePorts. A virtual server without destinations counts: a Service without endpoints has one too.
 */
export function readIpvs(servers: readonly VirtualServer[], addresses: ReadonlySet<string> | undefined): ModeReading {
  const served = new Set<string>();
  const nodePorts = new Set<string>();
  if (addresses === undefined) return { present: false, served, nodePorts };
  for (const server of servers) {
    if (addresses.has(server.address)) served.add(virtualServerKey(server));
    else nodePorts.add(`${server.port}/${server.protocol}`);
  }
  return { present: true, served, nodePorts };
}

function dotted(hex: string): string {
  const bits = Number.parseInt(hex, 16);
  return [24, 16, 8, 0].map(shift => (bits >>> shift) & 255).join('.');
}
