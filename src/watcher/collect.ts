// Reads the kernel's rule sets of every mode, through the node's own tools.
import { MODES, type Mode } from '../core/mode.ts';
import type { NodeIo } from '../core/node-io.ts';
import { ipsetSaveParser } from '../kernel/ipset.ts';
import { iptablesSaveParser, type Tables } from '../kernel/iptables.ts';
import { parseIpVs, ticksPerSecond } from '../kernel/ipvs.ts';
import { IPTABLES_VARIANTS, type IptablesVariant, type KernelDumps } from '../kernel/kernel.ts';
import { type NftTable, nftTableParser } from '../kernel/nftables.ts';
import { isIpvsSet } from '../kernel/ownership.ts';
import type { Parser } from '../kernel/parser.ts';
import { hiddenIn, PassedOver } from './native-tables.ts';

export interface Collected {
  readonly dumps: KernelDumps;
  /** What could not be read, with the modes of which nothing can be said because of it. */
  readonly failed: readonly Failure[];
}

interface Failure {
  readonly what: string;
  readonly error: string;
  readonly modes: readonly Mode[];
}

interface Result {
  readonly code: number;
  readonly stderr: string;
}

function failure(what: string, modes: readonly Mode[], { code, stderr }: Result): Failure {
  const error = code === MISSING_PROGRAM ? 'the program is not there' : stderr.trim() || `exit code ${code}`;
  return { what, error, modes };
}

const MISSING_PROGRAM = 127;
/** Every so many looks are whole. */
const SELDOM = 10;
const NFT_TWIN = { 'iptables-legacy': 'iptables-nft', 'ip6tables-legacy': 'ip6tables-nft' } as const;

/** Looks of one watcher. What was empty and hardly ever fills is read again only now and then: a look starts many programs. */
export class Collector {
  private readonly io: NodeIo;
  private looks = 0;
  private readonly empty = new Set<IptablesVariant>();
  private noIpsets = false;
  private ticksPerSecond: number | undefined;

  constructor(io: NodeIo) {
    this.io = io;
  }

  async collect(): Promise<Collected> {
    const whole = this.looks++ % SELDOM === 0;
    const seldom = { variants: this.empty, ipsets: this.noIpsets };
    const collected = await collectKernel(this.io, whole ? undefined : seldom);
    const { ipsets, ipVs, device } = collected.dumps;
    // Sets come with virtual servers, and stay behind when those go.
    this.noIpsets = !ipsets.includes('KUBE-') && device === undefined && !ipVs?.includes(' -> ');
    for (const variant of ['iptables-legacy', 'ip6tables-legacy'] as const) {
      const tables = collected.dumps.iptables[variant]?.end() ?? new Map();
      const chains = [...tables.values()].flatMap(own => [...own.keys()]);
      if (chains.some(name => name.startsWith('KUBE-'))) this.empty.delete(variant);
      else if (collected.dumps.iptables[NFT_TWIN[variant]] !== undefined) this.empty.add(variant);
    }
    return device === undefined ? collected : this.withDetails(collected);
  }

  /** What only tells what the rules of ipvs mode do: a sweeper does without. */
  private async withDetails({ dumps, failed }: Collected): Promise<Collected> {
    const parser = ipsetSaveParser(isIpvsSet);
    const members = await this.io.run('ipset', ['save'], '', piece => parser.push(piece));
    if (members.code !== 0) return { dumps, failed: [...failed, failure('ipset save', ['ipvs'], members)] };
    const all = { ...dumps, ipsetMembers: parser };
    if (this.ticksPerSecond === undefined && dumps.ipVs?.includes(' persistent ')) {
      // What /proc/net/ip_vs has in ticks, ipvsadm tells in seconds.
      const saved = await this.io.run('ipvsadm', ['-S', '-n']);
      if (saved.code !== 0) return { dumps: all, failed: [...failed, failure('ipvsadm -S -n', ['ipvs'], saved)] };
      this.ticksPerSecond = ticksPerSecond(parseIpVs(dumps.ipVs), saved.stdout);
    }
    const { ticksPerSecond: ticks } = this;
    return { dumps: ticks === undefined ? all : { ...all, ticksPerSecond: ticks }, failed };
  }
}

interface Seldom {
  readonly variants: ReadonlySet<IptablesVariant>;
  readonly ipsets: boolean;
}

type IsAbsent = (code: number, stderr: string) => boolean;

/** One whole look, but for what `skip` names. */
export async function collectKernel(io: NodeIo, skip?: Seldom): Promise<Collected> {
  const failed: Failure[] = [];
  // One after another: a node that is busy flipping has better uses for its processors.
  const run = async (modes: readonly Mode[], isAbsent: IsAbsent, command: string, take?: (piece: string) => void) => {
    const [program = '', ...args] = command.split(' ');
    const result = await io.run(program, args, '', take);
    if (result.code === 0) return result.stdout;
    if (!isAbsent(result.code, result.stderr)) failed.push(failure(command, modes, result));
    return undefined;
  };
  // What a program has printed that failed is half a dump, and not used.
  const parse = async <T>(parser: Parser<T>, modes: readonly Mode[], isAbsent: IsAbsent, command: string) =>
    (await run(modes, isAbsent, command, piece => parser.push(piece))) === undefined ? undefined : parser;
  const nft: Partial<Record<'ip' | 'ip6', Parser<NftTable>>> = {};
  const noTable = (_: number, text: string) => text.includes('No such file');
  for (const family of ['ip', 'ip6'] as const) {
    const command = `nft -j list table ${family} kube-proxy`;
    const dump = await parse(nftTableParser(family), ['nftables'], noTable, command);
    if (dump !== undefined) nft[family] = dump;
  }
  const iptables: Partial<Record<IptablesVariant, Parser<Tables>>> = {};
  const noProgram = (code: number) => code === MISSING_PROGRAM;
  for (const variant of IPTABLES_VARIANTS.filter(v => !skip?.variants.has(v))) {
    const parser = iptablesSaveParser();
    const passedOver = new PassedOver();
    const take = (piece: string) => {
      parser.push(piece);
      passedOver.push(piece);
    };
    if ((await run(['iptables', 'ipvs'], noProgram, `${variant}-save`, take)) === undefined) continue;
    iptables[variant] = parser;
    const error = await hiddenIn(io, variant, passedOver.tables);
    if (error !== undefined) failed.push({ what: `${variant}-save`, error, modes: ['iptables', 'ipvs'] });
  }
  if (iptables['iptables-nft'] === undefined && iptables['iptables-legacy'] === undefined)
    failed.push({ what: 'iptables-save', error: 'no backend can be read', modes: ['iptables', 'ipvs'] });
  // A kernel without ip_set refuses the session; then there are no sets.
  const noSession = (_: number, text: string) => /cannot open session|protocol not supported/i.test(text);
  const ipsets = skip?.ipsets ? '' : await run(['ipvs'], noSession, 'ipset list -n');
  const devices = await readIfThere(io, '/proc/net/dev');
  const mayBe = devices === undefined || devices.includes('kube-ipvs0:');
  const device = mayBe ? await run(['ipvs'], code => code === 1, 'ip -o addr show dev kube-ipvs0') : undefined;
  const ipVs = await readIfThere(io, '/proc/net/ip_vs');
  return {
    failed,
    dumps: {
      nft,
      iptables,
      ipsets: ipsets ?? '',
      ...(ipVs === undefined ? {} : { ipVs }),
      ...(device === undefined ? {} : { device }),
    },
  };
}

/** Modes of which everything could be read. */
export function readableModes({ failed }: Collected): Mode[] {
  return MODES.filter(mode => !failed.some(({ modes }) => modes.includes(mode)));
}

/** A file that is there only while a kernel module is loaded. */
export async function readIfThere(io: NodeIo, path: string): Promise<string | undefined> {
  try {
    return await io.readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
