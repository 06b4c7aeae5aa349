// What an operator types on a node to see what a trace tells, in each mode.
import type { ServiceFrontend } from './frontends.ts';
import type { Mode } from './mode.ts';
import type { Hop, ServicePath } from './service-path.ts';
import { type Frontend, readKey } from './service-port.ts';

export interface Asking {
  /** `namespace/name`. */
  readonly service: string;
  readonly frontend: ServiceFrontend;
  /** Of the mode that is asked about, where somebody looked: they name its chains. */
  readonly paths: readonly ServicePath[];
  /** An address of the node, for NodePorts of ipvs. */
  readonly nodeAddress: string;
}

/** One line each, for a shell as root. */
export function commandsFor(mode: Mode, asking: Asking): string[] {
  const at = readKey(asking.frontend.key);
  if (!at) return [];
  const lines = COMMANDS[mode](asking, at);
  return [...new Set(lines)];
}

const COMMANDS: Readonly<Record<Mode, (asking: Asking, at: Frontend) => string[]>> = {
  iptables({ service, frontend, paths }, { family }) {
    const program = `${family === 'ip' ? 'iptables' : 'ip6tables'}${paths.some(p => p.legacy) ? '-legacy' : ''}`;
    const comment = frontend.portName === '' ? service : `${service}:${frontend.portName}`;
    const save = (table: string) => `${program}-save -t ${table} | grep ${quoted(comment)}`;
    const refused = paths.some(p => p.outcome === 'reject' || p.outcome === 'drop');
    const own = chains(paths).filter(({ table, name }) => table === 'nat' && /^KUBE-(SVC|SVL|EXT|FW)-/.test(name));
    const [end] = paths.flatMap(({ ends }) => ends.flatMap(({ chain }) => chain ?? []));
    const list = (name: string) => `${program} -t nat -L ${quoted(name)} -n -v`;
    return [
      save('nat'),
      ...(refused ? [save('filter')] : []),
      ...own.map(({ name }) => list(name)),
      ...(end === undefined ? [] : [list(end)]),
    ];
  },
  ipvs({ paths, nodeAddress }, { family, address, port, protocol }) {
    const found = hops(paths, 'server').map(({ name }) => name.slice(0, name.lastIndexOf('/')));
    const host = address ?? nodeAddress;
    const guess = family === 'ip6' ? `[${host}]:${port}` : `${host}:${port}`;
    const flag = { tcp: '-t', udp: '-u' }[protocol] ?? '--sctp-service';
    const ip = family === 'ip' ? 'ip' : 'ip -6';
    const entry = address === undefined ? port : `${address},${protocol}:${port}`;
    const sets = hops(paths, 'set').map(({ name }) => `ipset list ${quoted(name)} | grep -w ${quoted(entry)}`);
    return [
      ...(found.length > 0 ? found : [guess]).map(server => `ipvsadm -L -n ${flag} ${quoted(server)}`),
      ...(address === undefined ? [] : [`${ip} route show table local dev kube-ipvs0 | grep -w ${quoted(address)}`]),
      ...sets,
    ];
  },
  nftables({ service, frontend, paths }, { family, address, port, protocol }) {
    const element = address === undefined ? `${protocol} . ${port}` : `${address} . ${protocol} . ${port}`;
    const get = (map: string) => `nft get element ${family} kube-proxy ${map} '{ ${element} }'`;
    const maps = hops(paths, 'map').map(({ name }) => get(name));
    const own = chains(paths).filter(({ name }) => name.includes('/'));
    const [end] = paths.flatMap(({ ends }) => ends.flatMap(({ chain }) => chain ?? []));
    const names = [...own.map(({ name }) => name), ...(end === undefined ? [] : [end])];
    const list = (name: string) => `nft list chain ${family} kube-proxy ${quoted(name)}`;
    const search = `${service}/${protocol}/${frontend.portName}`;
    return [
      ...(maps.length > 0 ? maps : [get(address === undefined ? 'service-nodeports' : 'service-ips')]),
      ...names.map(list),
      ...(names.length > 0 ? [] : [`nft list table ${family} kube-proxy | grep ${quoted(search)}`]),
    ];
  },
};

function hops(paths: readonly ServicePath[], kind: Hop['kind']): Hop[] {
  return paths.flatMap(path => path.hops.filter(hop => hop.kind === kind));
}

function chains(paths: readonly ServicePath[]): Hop[] {
  return hops(paths, 'chain');
}

/** Names come from the cluster. */
function quoted(text: string): string {
  return /^[\w./:,@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
