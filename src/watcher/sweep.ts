// The sweeper: removes what one mode leaves behind on a node, once another one serves there.
import { BlockList, isIPv6 } from 'node:net';
import type { Mode } from '../core/mode.ts';
import type { NodeIo } from '../core/node-io.ts';
import type { SweepSample } from '../core/observation.ts';
import type { ProxyAddresses } from '../core/proxy-address.ts';
import { parseIpVsConnections, type VirtualServer, virtualServerKey } from '../kernel/ipvs.ts';
import { type Kernel, parseKernel } from '../kernel/kernel.ts';
import { foldNames, type Leftovers, leftoverNames, leftovers } from '../kernel/leftovers.ts';
import { adoptAround, canAdopt, leftTables } from './adopt.ts';
import { collectKernel, readIfThere } from './collect.ts';
import { pause } from './pace.ts';
import { lookAtProxy, proxyMode } from './proxy.ts';
import { Remover } from './remove.ts';
import { Report } from './report.ts';

export interface SweepOptions {
  readonly left: Mode;
  readonly now: Mode;
  /** Connections of ipvs are given so long to end on a node without the tools to hand them over. */
  readonly drainSeconds: number;
  /** `now` is given so long to serve. */
  readonly waitSeconds: number;
  /** The kube-proxy that must serve in mode `now` before anything is touched. */
  readonly serving: ProxyAddresses;
  /** Where no kube-proxy may answer any more: the one that wrote what is swept. */
  readonly gone?: ProxyAddresses;
  /** Virtual servers in these ranges are not kube-proxy's (`ipvs.excludeCIDRs`). */
  readonly excludeCIDRs?: readonly string[];
}

const TRIES = 3;
const POLL_MS = 1000;

/**
 * True when nothing of `left` remains, as observed after the last removal. Touches nothing before the node's kube-proxy is in
 * mode `now`, has synced since its start and has rules in the kernel. May be run again at any time.
 */
export async function sweep(io: NodeIo, options: SweepOptions, signal: AbortSignal): Promise<boolean> {
  const report = new Report(io);
  const sweeper = new Sweeper(io, options, report, signal);
  const obstacle = await sweeper.waitForNow();
  if (obstacle !== undefined) {
    sweeper.say('refused', { detail: `nothing was touched: ${obstacle}` });
    return false;
  }
  return sweeper.run();
}

class Sweeper {
  private readonly io: NodeIo;
  private readonly options: SweepOptions;
  private readonly report: Report;
  private readonly signal: AbortSignal;
  private readonly excluded: BlockList;
  private drained = false;

  constructor(io: NodeIo, options: SweepOptions, report: Report, signal: AbortSignal) {
    this.io = io;
    this.options = options;
    this.report = report;
    this.signal = signal;
    this.excluded = blockList(options.excludeCIDRs ?? []);
  }

  say(phase: SweepSample['phase'], { removed = [], remaining = [], detail = '' }: Partial<SweepSample>): void {
    const { left } = this.options;
    this.report.print({
      kind: 'sweep',
      left,
      phase,
      removed: foldNames(removed),
      remaining: foldNames(remaining),
      detail,
    });
  }

  /** Undefined once `now` serves; after waitSeconds, why it does not. */
  async waitForNow(): Promise<string | undefined> {
    const { left, now, waitSeconds } = this.options;
    if (left === now) return `${left} is the mode that is to stay`;
    const end = this.io.now() + waitSeconds * 1000;
    for (;;) {
      const obstacle = await this.obstacle();
      if (obstacle === undefined) return undefined;
      if (this.io.now() >= end || this.signal.aborted) return obstacle;
      this.report.printChanged('waiting', {
        kind: 'sweep',
        left,
        phase: 'waiting',
        removed: [],
        remaining: [],
        detail: obstacle,
      });
      await pause(this.io, POLL_MS, this.signal);
    }
  }

  private async obstacle(): Promise<string | undefined> {
    const { now, serving, gone } = this.options;
    if (gone && (await proxyMode(this.io, gone)) !== undefined) return "the node's old kube-proxy still runs";
    const { state } = await lookAtProxy(this.io, serving);
    if (!state.up || state.mode === null) return "the node's kube-proxy does not answer";
    if (state.mode !== now) return `the node's kube-proxy is in mode ${state.mode}, not ${now}`;
    const families = Object.entries(state.families);
    const start = state.processStart;
    if (start === null || families.length === 0) return 'its metrics do not tell of a sync';
    const late = families.filter(([, { lastSync }]) => lastSync === null || lastSync < start).map(([name]) => name);
    if (late.length > 0) return `${late.join(' and ')} not synced since its start`;
    const kernel = await this.look();
    // A sync can be told and yet have failed.
    if (kernel && !kernel.readings[now].present) return `its ${now} rules are not in the kernel`;
    return kernel ? undefined : 'the kernel could not be read';
  }

  /** Looks, removes, looks again. */
  async run(): Promise<boolean> {
    const first = new Set<string>();
    let names: string[] | undefined;
    for (let tries = 0; tries <= TRIES; tries++) {
      const left = await this.leftovers();
      const held = await leftTables(this.io);
      names = left && [...held, ...leftoverNames(left)];
      for (const name of names ?? []) first.add(name);
      if (names?.length === 0 || tries === TRIES || this.signal.aborted) break;
      if (tries > 0) await pause(this.io, POLL_MS, this.signal);
      if (left) await this.remove(left, held);
    }
    const remaining = names ?? ['the kernel could not be read'];
    const removed = names === undefined ? [] : [...first].filter(name => !remaining.includes(name));
    const detail = this.signal.aborted ? 'stopped' : `${removed.length} removed, ${remaining.length} remaining`;
    this.say('done', { removed, remaining, detail });
    return remaining.length === 0;
  }

  private async remove(left: Leftovers, held: readonly string[]): Promise<void> {
    const remover = new Remover(this.io, this.report);
    await remover.tables([...held, ...left.nftFamilies.map(family => `table ${family} kube-proxy`)]);
    await remover.chains(left);
    const { virtualServers: servers } = left;
    const some = servers.length > 0;
    const gone = !some || (await this.servers(remover, servers));
    if (this.signal.aborted) return;
    // It tells which virtual servers are kube-proxy's, so it outlives them.
    if (left.device && gone) await remover.device();
    await remover.ipsets(left.ipsets);
  }

  /** Whether all of them are gone. */
  private async servers(remover: Remover, servers: readonly VirtualServer[]): Promise<boolean> {
    if (!this.drained && (await canAdopt(this.io))) {
      try {
        return await this.adopted(remover, servers);
      } catch (error) {
        // A kernel without nf_tables or conntrack's netlink. Those it threw at were not touched: they can end as elsewhere.
        this.report.trouble('handing connections over', error);
      }
    }
    if (!this.drained) await this.drain(servers);
    this.drained = true;
    return !this.signal.aborted && remover.virtualServers(servers);
  }

  /** Whether all of them are gone. Their connections live on in conntrack. Throws where they cannot be handed over. */
  private async adopted(remover: Remover, servers: readonly VirtualServer[]): Promise<boolean> {
    let gone = true;
    const removal = () => {
      const program = remover.serverRemoval();
      return async (some: readonly VirtualServer[]) => {
        if (!(await remover.virtualServers(some, program))) gone = false;
      };
    };
    const [tcp, others] = [servers.filter(s => s.protocol === 'TCP'), servers.filter(s => s.protocol !== 'TCP')];
    if (others.length > 0) await removal()(others);
    const { flows, troubles } = await adoptAround(this.io, tcp, removal);
    for (const trouble of troubles) this.report.trouble('handing connections over', trouble);
    this.say('adopted', { detail: `${flows} established connections handed over to conntrack` });
    return gone;
  }

  /** Waits until nobody is connected through these virtual servers any more, or drainSeconds. */
  private async drain(servers: readonly VirtualServer[]): Promise<void> {
    const keys = new Set(servers.map(virtualServerKey));
    const end = this.io.now() + this.options.drainSeconds * 1000;
    for (;;) {
      const { established } = parseIpVsConnections((await readIfThere(this.io, '/proc/net/ip_vs_conn')) ?? '');
      const open = [...established].reduce((sum, [key, count]) => sum + (keys.has(key) ? count : 0), 0);
      if (open === 0 || this.io.now() >= end || this.signal.aborted) {
        this.say('drained', { detail: `${open} established connections of ipvs left` });
        return;
      }
      await pause(this.io, POLL_MS, this.signal);
    }
  }

  private async leftovers(): Promise<Leftovers | undefined> {
    const { left, now } = this.options;
    const kernel = await this.look();
    return kernel && leftovers(left, now, kernel, address => this.isExcluded(address));
  }

  /** Undefined, and said, when the part that matters here could not be read. */
  private async look(): Promise<Kernel | undefined> {
    const collected = await collectKernel(this.io);
    const { left, now } = this.options;
    const blind = collected.failed.filter(({ modes }) => modes.includes(left) || modes.includes(now));
    for (const { what, error } of blind) this.report.trouble(what, error);
    if (blind.length > 0) return undefined;
    try {
      return parseKernel(collected.dumps);
    } catch (error) {
      this.report.trouble('kernel', error);
      return undefined;
    }
  }

  private isExcluded(address: string): boolean {
    return this.excluded.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  }
}

/** Throws on what is no CIDR. */
function blockList(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', length = ''] = cidr.split('/');
    list.addSubnet(address, /^\d+$/.test(length) ? Number(length) : -1, isIPv6(address) ? 'ipv6' : 'ipv4');
  }
  return list;
}
