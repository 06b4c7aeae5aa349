// The programs that watchers and sweepers run on a node, and the files they read.

import { conntrackTool } from './conntrack-tool.ts';
import { restore } from './iptables-restore.ts';
import type { Ipvs, VirtualServer } from './ipvs.ts';
import type { Kernel } from './kernel.ts';
import type { IpvsConnection } from './node-files.ts';
import { METAINFO, renderNft } from './render-nft.ts';

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

const done = (stdout = ''): Result => ({ code: 0, stdout, stderr: '' });
const failed = (stderr: string, code = 1): Result => ({
  code,
  stdout: '',
  stderr: stderr.endsWith('\n') ? stderr : `${stderr}\n`,
});

/** Runs a program; one that is not installed gives code 127. */
export function runTool(
  kernel: Kernel,
  program: string,
  args: readonly string[],
  input = '',
  connections: readonly IpvsConnection[] = [],
): Result {
  const name = program.slice(program.lastIndexOf('/') + 1);
  const tables = /^(ip6?)tables(?:-(nft|legacy))?-(save|restore)$/.exec(name);
  if (tables) {
    const [, family, backend, verb] = tables;
    const iptables = kernel.iptables[family === 'ip' ? 'IPv4' : 'IPv6'];
    if (backend === 'legacy') return verb === 'save' ? done() : failed(`${name}: legacy is not in use here`);
    if (verb === 'save') return done(iptables.save(name, optionOf(args, '-t', '--table')));
    if (!args.includes('--noflush') && !args.includes('-n')) return failed(`${name}: only --noflush is simulated`, 2);
    const why = restore(iptables, name, input);
    return why === undefined ? done() : failed(why);
  }
  switch (name) {
    case 'conntrack':
      return conntrackTool(kernel, args, input, connections);
    case 'nft':
      return nft(kernel, args, input);
    case 'ipset':
      return ipset(kernel, args, input);
    case 'ipvsadm':
      return ipvsadm(kernel.ipvs, args, input);
    case 'ip':
      return ip(kernel.ipvs, args);
    case 'uname':
      return done(`${kernel.release}\n`);
    default:
      return failed(`exec: "${program}": executable file not found in $PATH`, 127);
  }
}

function optionOf(args: readonly string[], ...names: string[]): string | undefined {
  const at = args.findIndex(arg => names.includes(arg));
  return at < 0 ? undefined : args[at + 1];
}

function nft(kernel: Kernel, args: readonly string[], input: string): Result {
  const words = args.filter(arg => !arg.startsWith('-'));
  const [verb, what, family, name] = words;
  if (args.includes('--version') || args.includes('-v')) return done('nftables v1.0.6 (Lester Gooch #5)\n');
  if (verb === 'list' && what === 'tables') {
    const tables = (['ip', 'ip6'] as const).filter(f => kernel.nft[f]).map(f => ({ family: f, name: 'kube-proxy' }));
    if (kernel.held) tables.push({ family: 'ip', name: 'proxyctl-adopt' });
    if (!isJson(args)) return done(tables.map(t => `table ${t.family} ${t.name}\n`).join(''));
    const objects = tables.map(table => ({ table: { ...table, handle: 11 } }));
    return done(`${JSON.stringify({ nftables: [METAINFO, ...objects] })}\n`);
  }
  // What is loaded here holds packets back, or lets them go again: nothing else loads a script.
  if (args.includes('-f')) {
    if (input !== '') kernel.held = !input.startsWith('delete table');
    return done();
  }
  if (what !== 'table' || (family !== 'ip' && family !== 'ip6'))
    return failed('Error: syntax error, unexpected end of file');
  if (verb === 'delete' && name === 'proxyctl-adopt' && kernel.held) {
    kernel.held = false;
    return done();
  }
  const table = name === 'kube-proxy' ? kernel.nft[family] : undefined;
  const command = `${verb} table ${family} ${name}`;
  if (!table)
    return failed(
      `Error: No such file or directory\n${command}\n${' '.repeat(command.length - (name?.length ?? 0))}${'^'.repeat(name?.length ?? 0)}`,
    );
  if (verb === 'delete') {
    kernel.deleteNft(family);
    return done();
  }
  if (!isJson(args)) return failed('Error: only the JSON form is simulated');
  return done(renderNft(table));
}

function isJson(args: readonly string[]): boolean {
  return args.some(arg => /^-\w*j/.test(arg) || arg === '--json');
}

function ipset(kernel: Kernel, args: readonly string[], input = ''): Result {
  const { sets } = kernel.ipvs;
  if (args[0] === 'restore') {
    for (const [index, command] of input.split('\n').filter(Boolean).entries()) {
      const { code, stderr } = ipset(kernel, command.split(' '));
      if (code !== 0) return failed(stderr.replace('v7.17:', `v7.17: Error in line ${index + 1}:`));
    }
    return done();
  }
  const [verb, name] = args.filter(arg => !arg.startsWith('-'));
  if (verb === 'list' || verb === 'save') {
    const names = name === undefined ? [...sets.keys()] : sets.has(name) ? [name] : undefined;
    if (!names) return failed('ipset v7.17: The set with the given name does not exist');
    if (verb === 'list' && (args.includes('-n') || args.includes('-name')))
      return done(names.map(set => `${set}\n`).join(''));
    return done(names.map(set => (verb === 'save' ? savedSet : listedSet)(set, sets.get(set) ?? new Set())).join(''));
  }
  if (verb !== 'destroy' && verb !== 'flush') return failed(`ipset v7.17: Unknown argument ${verb ?? ''}`);
  const wanted = name === undefined ? [...sets.keys()] : [name];
  for (const set of wanted) {
    if (!sets.has(set)) return failed('ipset v7.17: The set with the given name does not exist');
    const used = Object.values(kernel.iptables).some(iptables => iptables.usesSet(set));
    if (verb === 'destroy' && used)
      return failed('ipset v7.17: Set cannot be destroyed: it is in use by a kernel component');
  }
  if (verb === 'destroy') for (const set of wanted) sets.delete(set);
  return done();
}

function listedSet(name: string, entries: ReadonlySet<string>): string {
  const members = [...entries].map(entry => `${entry}\n`).join('');
  return `Name: ${name}\nType: hash:ip,port\nRevision: 6\nHeader: family inet hashsize 1024 maxelem 65536\nMembers:\n${members}\n`;
}

function savedSet(name: string, entries: ReadonlySet<string>): string {
  const family = name.startsWith('KUBE-6-') ? 'inet6' : 'inet';
  const members = [...entries].map(entry => `add ${name} ${entry}\n`).join('');
  return `create ${name} hash:ip,port family ${family} hashsize 1024 maxelem 65536 bucketsize 12 initval 0x5adb22bd\n${members}`;
}

function ipvsadm(ipvs: Ipvs, args: readonly string[], input = ''): Result {
  if (args.includes('-R')) {
    // What fails is said, and nothing more.
    const said = input
      .split('\n')
      .filter(Boolean)
      .map(command => ipvsadm(ipvs, command.split(' ')).stderr);
    return { ...done(), stderr: said.join('') };
  }
  if (args.includes('-C')) {
    ipvs.servers.clear();
    return done();
  }
  const flag = (server: VirtualServer) => (server.protocol === 'udp' ? '-u' : '-t');
  if (args.includes('-S') || args.includes('--save')) {
    const lines = [...ipvs.servers.values()].flatMap(server => {
      const address = `${flag(server)} ${server.ip}:${server.port}`;
      return [
        `-A ${address} -s ${server.scheduler}${server.seconds === undefined ? '' : ` -p ${server.seconds}`}`,
        ...server.real.map(real => `-a ${address} -r ${real.ip}:${real.port} -m -w 1`),
      ];
    });
    return done(lines.map(line => `${line}\n`).join(''));
  }
  const at = args.findIndex(arg => /^(-t|-u|--tcp-service|--udp-service|--sctp-service)$/.test(arg));
  if (!(args.includes('-D') || args.includes('--delete-service')) || at < 0)
    return failed('ipvsadm: only -S, -C, -R and -D are simulated', 2);
  const protocol =
    /u/.test(args[at] ?? '') && !/tcp|sctp/.test(args[at] ?? '') ? 'udp' : /sctp/.test(args[at] ?? '') ? 'sctp' : 'tcp';
  const [, host = '', port = ''] = /^\[?([^\]]+?)\]?:(\d+)$/.exec(args[at + 1] ?? '') ?? [];
  return ipvs.servers.delete(`${protocol}/${host}/${port}`) ? done() : failed('No such service');
}

function ip(ipvs: Ipvs, args: readonly string[]): Result {
  const words = args.filter(arg => !arg.startsWith('-'));
  const { device } = ipvs;
  if (!words.includes('kube-ipvs0')) return failed('Object "?" is unknown, try "ip help".');
  const [object = '', verb = ''] = words;
  if (!device)
    return failed(verb.startsWith('del') ? 'Cannot find device "kube-ipvs0"' : 'Device "kube-ipvs0" does not exist.');
  if (/^l/.test(object) && verb.startsWith('del')) {
    ipvs.device = undefined;
    return done();
  }
  if (/^l/.test(object))
    return done('9: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN mode DEFAULT group default \n');
  if (!/^a/.test(object)) return failed(`Object "${object}" is unknown, try "ip help".`);
  const line = (address: string) =>
    `9: kube-ipvs0    inet ${address}/32 scope global kube-ipvs0\\       valid_lft forever preferred_lft forever\n`;
  return done([...device].map(line).join(''));
}
