// Files of a node's /proc that tell about Services.
import type { Kernel } from './kernel.ts';

/** A connection that ip_vs keeps. */
export interface IpvsConnection {
  readonly client: string;
  readonly clientPort: number;
  /** `tcp/10.96.0.1/443`. */
  readonly server: string;
  /** `ip:port`. */
  readonly backend: string;
}

/** A file's text, or undefined when there is none. `host` is false in a pod's own network namespace. */
export function procFile(
  kernel: Kernel,
  path: string,
  host: boolean,
  connections: readonly IpvsConnection[],
): string | undefined {
  const { conntrack, ipvs } = kernel;
  switch (path) {
    case '/proc/sys/net/netfilter/nf_conntrack_count':
      return `${host ? conntrack.count : 0}\n`;
    case '/proc/sys/net/netfilter/nf_conntrack_max':
      return `${conntrack.max}\n`;
    case '/proc/net/stat/nf_conntrack':
      return conntrack.render();
    case '/sys/devices/system/cpu/online':
      return '0-3\n';
    case '/proc/net/ip_vs':
      return ipvs.loaded ? servers(kernel, host, connections) : undefined;
    case '/proc/net/ip_vs_conn':
      return ipvs.loaded ? renderConnections(host ? connections : []) : undefined;
    case '/proc/sys/kernel/osrelease':
      return `${kernel.release}\n`;
    case '/proc/version':
      return `Linux version ${kernel.release} (simulated) #1 SMP\n`;
    case '/proc/modules':
      return modules(kernel);
    default:
      return undefined;
  }
}

function modules(kernel: Kernel): string {
  const names = ['nf_tables', 'nft_compat', 'nf_nat', 'nf_conntrack', 'ip_tables', 'ip_set'];
  if (kernel.ipvs.loaded) names.push('ip_vs', 'ip_vs_rr');
  return names.map(name => `${name} 155648 1 - Live 0x0000000000000000\n`).join('');
}

const hexIP = (ip: string) =>
  ip
    .split('.')
    .map(part => Number(part).toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase();
const hexPort = (port: number | string) => Number(port).toString(16).padStart(4, '0').toUpperCase();

function hexAddress(address: string): [string, string] {
  const at = address.lastIndexOf(':');
  return [hexIP(address.slice(0, at)), hexPort(address.slice(at + 1))];
}

/** Of this kernel's clock (CONFIG_HZ). */
const TICKS_PER_SECOND = 250;

function servers(kernel: Kernel, host: boolean, connections: readonly IpvsConnection[]): string {
  let text =
    'IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n';
  if (!host) return text;
  const active = new Map<string, number>();
  for (const { server, backend } of connections)
    active.set(`${server} ${backend}`, (active.get(`${server} ${backend}`) ?? 0) + 1);
  for (const [key, { protocol, ip, port, scheduler, seconds, real }] of kernel.ipvs.servers) {
    const flags = seconds === undefined ? '' : `persistent ${seconds * TICKS_PER_SECOND} FFFFFFFF`;
    text += `${protocol.toUpperCase().padEnd(4)} ${hexIP(ip)}:${hexPort(port)} ${scheduler} ${flags}\n`;
    for (const end of real) {
      const count = active.get(`${key} ${end.ip}:${end.port}`) ?? 0;
      text += `  -> ${hexIP(end.ip)}:${hexPort(end.port)}      Masq    1      ${String(count).padEnd(10)} 0         \n`;
    }
  }
  return text;
}

function renderConnections(connections: readonly IpvsConnection[]): string {
  const header = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n';
  const lines = connections.map(({ client, clientPort, server, backend }) => {
    const [protocol = '', ip = '', port = ''] = server.split('/');
    const [toIP, toPort] = hexAddress(backend);
    return `${protocol.toUpperCase().padEnd(3)} ${hexIP(client)} ${hexPort(clientPort)} ${hexIP(ip)} ${hexPort(port)} ${toIP} ${toPort} ESTABLISHED     899\n`;
  });
  return header + lines.join('');
}
