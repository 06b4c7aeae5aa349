// What it costs a node to read 10,000 Services with 100,000 endpoints from its kernel: `npm run bench`. Each figure stands
// beside a peer on the same dump, which makes machines comparable. With root and nft, nft's own listing is one of them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MODES } from '../../src/core/mode.ts';
import type { NodeIo } from '../../src/core/node-io.ts';
import { parseKernel } from '../../src/kernel/kernel.ts';
import { Kernel } from '../../src/sim/kernel.ts';
import { programNft } from '../../src/sim/nft.ts';
import { procFile } from '../../src/sim/node-files.ts';
import { runTool } from '../../src/sim/node-tools.ts';
import { programIptables } from '../../src/sim/program-iptables.ts';
import { programIpvs } from '../../src/sim/program-ipvs.ts';
import { Random } from '../../src/sim/random.ts';
import type { ServicePort, ServiceView } from '../../src/sim/services.ts';
import { Collector } from '../../src/watcher/collect.ts';
import { nodeIo } from '../../src/watcher/io.ts';
import { Report } from '../../src/watcher/report.ts';
import { RulesLog } from '../../src/watcher/rules-log.ts';

const SERVICES = 10_000;
const ENDPOINTS = 10;
const LOOKS = 3;
const AS_IN_THE_IMAGE = ['--max-semi-space-size=4', '--heap-growing-percent=50'];
const NODE = { name: 'n0', ip: '192.168.7.2', clusterCIDR: '10.128.0.0/9', nodePortIPs: ['192.168.7.2'] };

const ip = (first: number, n: number) => `10.${first + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;

function servicePort(n: number, affinity: boolean): ServicePort {
  return {
    service: `namespace-${n % 100}/service-${n}`,
    portName: 'http',
    protocol: 'tcp',
    clusterIP: ip(96, n + 256),
    port: 80,
    ...(n % 10 === 0 ? { nodePort: 20_000 + n } : {}),
    externalIPs: [],
    balancerIPs: [],
    sourceRanges: [],
    internalLocal: false,
    localOnly: n % 20 === 0,
    ...(affinity ? { affinitySeconds: 10_800 } : {}),
    endpoints: Array.from({ length: ENDPOINTS }, (_, at) => ({
      ip: ip(128, n * ENDPOINTS + at),
      port: 8080,
      node: `n${(n + at) % 100}`,
    })),
    draining: [],
  };
}

const view = (affinity: boolean): ServiceView => ({
  version: 1,
  ports: Array.from({ length: SERVICES }, (_, n) => servicePort(n, affinity)),
});

/** What makes up one look of a mode, by the command that prints it or the path of the file. */
type Files = Readonly<Record<string, string>>;

const NFT = 'nft -j list table ip kube-proxy';
const IP_VS = '/proc/net/ip_vs';

function nft(affinity: boolean): string {
  const kernel = new Kernel([NODE.ip], new Random(1));
  kernel.setNft('ip', programNft('ip', view(affinity), NODE));
  return printed(kernel, NFT)[NFT] ?? '';
}

interface Item {
  readonly set?: { readonly timeout?: number };
  readonly rule?: { readonly chain: string; readonly expr: readonly Record<string, unknown>[] };
}

/** Without what remembers clients: each endpoint's chain has a rule for its own connections to itself, and one that translates. */
function until135(dump: string): string {
  const { nftables } = JSON.parse(dump) as { nftables: Item[] };
  const items = nftables.flatMap((item): Item[] => {
    const { set, rule } = item;
    if (set?.timeout !== undefined) return [];
    const [first] = rule?.expr ?? [];
    if (!rule || !first) return [item];
    if (rule.chain.startsWith('service-')) return 'vmap' in first ? [item] : [];
    if (!('set' in first)) return [item];
    const address = /__(.*)\//.exec(rule.chain)?.[1];
    const saddr = { payload: { protocol: 'ip', field: 'saddr' } };
    const mark = { mangle: { key: { meta: { key: 'mark' } }, value: { '|': [{ meta: { key: 'mark' } }, 16384] } } };
    return [{ rule: { ...rule, expr: [{ match: { op: '==', left: saddr, right: address } }, mark] } }];
  });
  return `${JSON.stringify({ nftables: items })}\n`;
}

function printed(kernel: Kernel, ...commands: string[]): Files {
  return Object.fromEntries(
    commands.map(command => {
      const [program = '', ...args] = command.split(' ');
      return [command, runTool(kernel, program, args).stdout];
    }),
  );
}

function dumps(): Record<string, Files> {
  const iptables = new Kernel([NODE.ip], new Random(1));
  programIptables(iptables.iptables.IPv4, view(false), NODE);
  const ipvs = new Kernel([NODE.ip], new Random(1));
  const node = { ...NODE, scheduler: 'rr', excluded: () => false };
  programIpvs(ipvs.ipvs, ipvs.iptables.IPv4, 'IPv4', view(false), node);
  return {
    nftables: { [NFT]: nft(false) },
    'nftables, a chain for each endpoint (until 1.35)': { [NFT]: until135(nft(true)) },
    'nftables, every Service with session affinity': { [NFT]: nft(true) },
    iptables: printed(iptables, 'iptables-nft-save'),
    ipvs: {
      [IP_VS]: procFile(ipvs, IP_VS, true, []) ?? '',
      ...printed(ipvs, 'iptables-nft-save', 'ipset list -n', 'ip -o addr show dev kube-ipvs0', 'ipset save'),
    },
  };
}

interface Measured {
  /** Of processor time. */
  readonly ms: number;
  /** The most that the process ever had. */
  readonly megabytes: number;
  readonly rules: number;
}

/** A node whose programs print these files, and that has no others. */
function nodeOf(paths: Files): NodeIo {
  const real = nodeIo();
  return {
    ...real,
    async run(program, args, input, take) {
      const path = paths[[program, ...args].join(' ')];
      if (path === undefined) return { code: 127, stdout: '', stderr: '' };
      return real.run('cat', [path], input, take);
    },
    readFile: path => real.readFile(paths[path] ?? '/none'),
    print: () => undefined,
  };
}

/** In a process of its own. */
async function measure(what: 'read' | 'peer', paths: Files): Promise<Measured> {
  const look = what === 'peer' ? () => peer(paths) : reader(nodeOf(paths));
  const times: number[] = [];
  let rules = 0;
  for (let count = 0; count < LOOKS; count++) {
    const began = process.cpuUsage();
    rules = await look();
    const { user, system } = process.cpuUsage(began);
    times.push((user + system) / 1000);
  }
  return { ms: Math.min(...times), megabytes: process.resourceUsage().maxRSS / 1024, rules };
}

/** As the watcher does it: what programs print is parsed, and what the rules do is printed as changes. */
function reader(io: NodeIo): () => Promise<number> {
  const collector = new Collector(io);
  const report = new Report(io);
  const logs = MODES.map(mode => ({ mode, log: new RulesLog(io, report, mode) }));
  return async () => {
    const { dumps } = await collector.collect();
    const { readings } = parseKernel(dumps);
    for (const { mode, log } of logs) log.print(readings[mode].rules, io.now());
    return Math.max(...MODES.map(mode => readings[mode].rules.size));
  };
}

/** The least that anybody would do who reads the same files: JSON.parse, or cutting into lines. */
async function peer(paths: Files): Promise<number> {
  const io = nodeIo();
  let count = 0;
  for (const [what, path] of Object.entries(paths)) {
    const text = what === IP_VS ? await io.readFile(path) : (await io.run('cat', [path])).stdout;
    count += what === NFT ? Object.keys(JSON.parse(text)).length : text.split('\n').length;
  }
  return count;
}

/** The same table in the order in which nft takes it: a verdict map's chains before its elements. */
function loadable(dump: string): string {
  const { nftables } = JSON.parse(dump) as { nftables: Record<string, Record<string, unknown>>[] };
  const of = (kind: string) => nftables.filter(item => item[kind]);
  const maps = of('map').map(item => ({ ...item, map: { ...item.map, elem: undefined } }));
  const elements = of('map').flatMap(({ map }) => {
    const { family, table, name, elem } = map ?? {};
    return elem ? [{ add: { element: { family, table, name, elem } } }] : [];
  });
  return JSON.stringify({
    nftables: [...of('table'), ...of('set'), ...maps, ...of('chain'), ...elements, ...of('rule')],
  });
}

/** Of a large rule set nft needs minutes on a small machine. */
const NFT_TIMEOUT_MS = 600_000;

/** Loads the table in a network namespace of its own and lists it: processor time of the listing, and where it is. Or why not. */
function listing(folder: string, dump: string): { ms: number; path: string } | string {
  const script = join(folder, 'load.json');
  const path = join(folder, 'listed.json');
  writeFileSync(script, loadable(dump));
  const list = `nft -j list table ip kube-proxy > ${path}`;
  // `times` has what the programs have used that it waited for in its second line.
  const commands = `nft -j -f ${script} && times && ${list} && times`;
  const { status, stdout, stderr, error } = spawnSync('unshare', ['-n', 'bash', '-c', commands], {
    encoding: 'utf8',
    timeout: NFT_TIMEOUT_MS,
  });
  if (status !== 0) return error?.message ?? (stderr.trim().split('\n')[0] || `exit code ${status}`);
  const [, before = '', , after = ''] = stdout.trim().split('\n');
  return { ms: milliseconds(after) - milliseconds(before), path };
}

/** `0m1.250s 0m0.100s`, user and system. */
function milliseconds(times: string): number {
  return [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1000,
    0,
  );
}

function run(what: 'read' | 'peer', files: Files): Measured {
  const args = [...AS_IN_THE_IMAGE, import.meta.filename, what, JSON.stringify(files)];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

function report(name: string, paths: Files): void {
  const size = Object.values(paths).reduce((sum, path) => sum + statSync(path).size, 0) / 1e6;
  const [ours, least] = [run('read', paths), run('peer', paths)];
  const peer = paths[NFT] === undefined ? 'cut into lines' : 'JSON.parse';
  const row = [
    name,
    size.toFixed(1),
    String(ours.rules),
    ours.ms.toFixed(0),
    ours.megabytes.toFixed(0),
    `${peer}: ${least.ms.toFixed(0)}, ${least.megabytes.toFixed(0)}`,
    (ours.ms / least.ms).toFixed(1),
  ];
  console.log(`| ${row.join(' | ')} |`);
}

function main(): void {
  const folder = mkdtempSync(join(tmpdir(), 'proxyctl-bench-'));
  try {
    console.log(`${SERVICES} Services with ${ENDPOINTS} endpoints each; processor time of the best of ${LOOKS} looks`);
    console.log(
      '| dump | MB | rules | ms | peak MB | peer: ms, peak MB | ratio |\n| --- | --- | --- | --- | --- | --- | --- |',
    );
    for (const [name, files] of Object.entries(dumps())) {
      const paths = Object.entries(files).map(([what, text]) => {
        const path = join(folder, `${name} ${what}`.replace(/\W+/g, '-'));
        writeFileSync(path, text);
        return [what, path];
      });
      report(name, Object.fromEntries(paths));
    }
    const listed = listing(folder, nft(false));
    if (typeof listed === 'string') console.log(`nft itself was not measured: ${listed}`);
    else {
      report('nftables, as nft prints it', { [NFT]: listed.path });
      console.log(`nft itself takes ${listed.ms.toFixed(0)} ms to list that`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [what, files] = process.argv.slice(2);
if (what === 'read' || what === 'peer') console.log(JSON.stringify(await measure(what, JSON.parse(files ?? '{}'))));
else main();
