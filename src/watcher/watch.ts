// The watcher: looks at one node and prints what it sees, until it is ended.
import { isMode, MODES, type Mode } from '../core/mode.ts';
import type { NodeIo } from '../core/node-io.ts';
import type { KernelSample, ModeRules, ProbeTarget } from '../core/observation.ts';
import { kindOfTarget } from '../core/probe-kind.ts';
import type { ProxyAddresses } from '../core/proxy-address.ts';
import { CLIENTS } from '../core/service-path.ts';
import { servicePort } from '../core/service-port.ts';
import { OBSERVATION_VERSION } from '../core/vantage.ts';
import { parseIpVsConnections } from '../kernel/ipvs.ts';
import { type Kernel, parseKernel, pathOf } from '../kernel/kernel.ts';
import { cleansItself, foreignServers, tracesOf } from '../kernel/leftovers.ts';
import { countServicePorts } from '../kernel/reading.ts';
import { Collector, readableModes, readIfThere } from './collect.ts';
import { lookAtConntrack } from './conntrack.ts';
import { every, Nudge, type Pace } from './pace.ts';
import { echoOwn, type ProberOptions, prober } from './prober.ts';
import { lookAtProxy, proxyMode, SyncSeconds } from './proxy.ts';
import { Report } from './report.ts';
import { RulesLog } from './rules-log.ts';

/** From `host` kube-proxy, kernel and connection tracking are looked at; from both, the targets are dialled. */
export interface WatchOptions extends ProberOptions {
  readonly main: ProxyAddresses;
  readonly warm: ProxyAddresses;
  /** Keys of addresses and ports to which the ways are told, from `host`. */
  readonly trace?: readonly string[];
  /** Between the starts of two looks; 1000. */
  readonly intervalMs?: number;
}

type NewKernelSample = Omit<KernelSample, 't'>;

/** Of one processor, for each loop. */
const CPU_SHARE = 0.08;
/** Of the time: the kernel's own tools do the work. */
const KERNEL_SHARE = 0.1;
/** The same, when kube-proxy has written since. */
const CHANGED_SHARE = 0.25;
/**
 * How long after a kube-proxy fell silent the kernel is looked at, ms: its pod leaves the API a while after its process, and only
 * then is it certain that it does not start again.
 */
const AFTER_END_MS = [2000, 6000, 12_000];
/** Longer lists of missing targets are not printed again for every change in them. */
const MANY_MISSING = 50;

/** Resolves when `signal` aborts. What fails is printed as `trouble`, and tried again. */
export async function watch(io: NodeIo, options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { node, vantage, main, warm } = options;
  const intervalMs = options.intervalMs ?? 1000;
  const report = new Report(io);
  const echo = await echoOwn(io, options, report);
  report.print({ kind: 'hello', v: OBSERVATION_VERSION, node, vantage, ...echo });
  const repeat = (what: string, pace: Partial<Pace>, work: () => Promise<void>) =>
    every(io, { intervalMs, share: CPU_SHARE, cost: 'cpu', ...pace }, signal, async () => {
      try {
        await work();
      } catch (error) {
        report.trouble(what, error);
      }
    });
  // Each in a loop of its own: none waits for another.
  const probes = await prober(io, options, report, signal);
  const loops = [repeat('probes', { intervalMs: probes.intervalMs }, probes.round)];
  if (vantage === 'host') {
    const nudge = new Nudge();
    loops.push(repeat('kube-proxy', {}, proxyWatch(io, 'main', main, report, nudge)));
    loops.push(repeat('warm kube-proxy', {}, proxyWatch(io, 'warm', warm, report, nudge)));
    loops.push(repeat('conntrack', {}, () => printConntrack(io, report)));
    const kernelPace = { share: KERNEL_SHARE, shareAfterChange: CHANGED_SHARE, cost: 'clock', nudge } as const;
    loops.push(repeat('kernel', kernelPace, kernelWatch(io, options, report)));
  }
  await Promise.all(loops);
}

/**
 * A kube-proxy's first sync leaves another kernel behind: it is looked at again at once. Not while a kube-proxy starts: that look
 * would be under way when the first sync is over. What stands when one has gone is looked at soon after, and later syncs as soon
 * as there is time.
 */
function proxyWatch(
  io: NodeIo,
  slot: 'main' | 'warm',
  at: ProxyAddresses,
  report: Report,
  nudge: Nudge,
): () => Promise<void> {
  const syncSeconds = new SyncSeconds();
  let phase: string | undefined;
  let written: number | undefined;
  let due: readonly number[] = [];
  return async () => {
    const { state, troubles } = await lookAtProxy(io, at);
    const { syncs, ...sample } = state;
    for (const [what, error] of troubles) report.trouble(`${slot} kube-proxy ${what}`, error);
    const seconds = syncSeconds.next({ syncs, processStart: state.processStart });
    report.printChanged(slot, { kind: 'proxy', slot, ...sample, syncSeconds: seconds });
    const start = state.processStart ?? Number.POSITIVE_INFINITY;
    const families = Object.values(state.families);
    const synced = families.length > 0 && families.every(({ lastSync }) => (lastSync ?? 0) >= start);
    const now = JSON.stringify([state.up, state.mode, state.processStart, synced]);
    if (phase !== undefined && now !== phase) {
      if (synced) nudge.now();
      due = state.up ? [] : AFTER_END_MS.map(ms => io.now() + ms);
    }
    phase = now;
    const later = due.filter(at => at > io.now());
    if (later.length < due.length) nudge.now();
    due = later;
    const lastSync = Math.max(0, ...families.map(family => family.lastSync ?? 0));
    if (written !== undefined && lastSync > written) nudge.changed();
    written = lastSync;
  };
}

async function printConntrack(io: NodeIo, report: Report): Promise<void> {
  const { counts, troubles } = await lookAtConntrack(io);
  for (const [what, error] of troubles) report.trouble(what, error);
  report.printChanged('conntrack', { kind: 'conntrack', ...counts });
}

function kernelWatch(io: NodeIo, options: WatchOptions, report: Report): () => Promise<void> {
  const targets = options.targets.targets
    .filter(target => kindOfTarget(target.id).startsWith('cluster-ip'))
    .map(target => ({ id: target.id, key: targetKey(target) }));
  // While nothing answers, the mode that did last is the one whose rules serve.
  let current: Mode | undefined;
  const collector = new Collector(io);
  const logs = new Map(MODES.map(mode => [mode, new RulesLog(io, report, mode)]));
  return async () => {
    const began = io.now();
    // Between two main ones the warm one serves.
    const answer = (await proxyMode(io, options.main)) ?? (await proxyMode(io, options.warm));
    if (answer !== undefined && isMode(answer)) current = answer;
    const collected = await collector.collect();
    for (const { what, error } of collected.failed) report.trouble(what, error);
    const kernel = parseKernel(collected.dumps);
    const modes: KernelSample['modes'] = {};
    for (const mode of readableModes(collected)) {
      modes[mode] = rulesOf(mode, current, kernel, targets);
      logs.get(mode)?.print(kernel.readings[mode].rules, began);
      printPaths(report, kernel, mode, options.trace ?? []);
    }
    const connections = await readIfThere(io, '/proc/net/ip_vs_conn');
    const ipvsConnections = connections === undefined ? 0 : parseIpVsConnections(connections).total;
    const foreign = current && modes[current] ? { foreignServers: foreignServers(current, kernel) } : {};
    const cleans = modes.iptables ? { cleansItself: cleansItself(kernel) } : {};
    const sample: NewKernelSample = { kind: 'kernel', modes, ipvsConnections, ...foreign, ...cleans };
    report.printChanged('kernel', sample, stateOf(sample));
  };
}

function printPaths(report: Report, kernel: Kernel, mode: Mode, keys: readonly string[]): void {
  for (const key of keys) {
    for (const client of CLIENTS) {
      const path = pathOf(kernel, mode, key, client);
      report.printChanged(`path ${mode} ${key} ${client}`, { kind: 'path', mode, path });
    }
  }
}

function targetKey({ address, port, protocol }: ProbeTarget): string {
  return servicePort(address, port, protocol);
}

function rulesOf(
  mode: Mode,
  current: Mode | undefined,
  kernel: Kernel,
  targets: readonly { id: string; key: string }[],
): ModeRules {
  const reading = kernel.readings[mode];
  const { present, rules } = reading;
  const found = { present, servicePorts: countServicePorts(reading), traces: tracesOf(mode, current, kernel) };
  return present ? { ...found, missing: targets.filter(t => !rules.has(t.key)).map(t => t.id) } : found;
}

function stateOf({ modes, ipvsConnections, foreignServers: foreign, cleansItself: cleans }: NewKernelSample): string {
  return JSON.stringify([
    MODES.map(mode => {
      const rules = modes[mode];
      const many = (rules?.missing?.length ?? 0) > MANY_MISSING;
      return many ? [mode, rules?.present, 'many'] : rules;
    }),
    // Single connections come and go all the time.
    ipvsConnections > 0,
    foreign,
    cleans,
  ]);
}
