// Probe rounds: every target once, and one of those that must be refused.
import type { NodeIo } from '../core/node-io.ts';
import type { Outcome, ProbeTargets } from '../core/observation.ts';
import { OWN_KINDS, type ProbeKind } from '../core/probe-kind.ts';
import { ECHO_PORTS } from '../core/probe-service.ts';
import { readIfThere } from './collect.ts';
import { clusterDomain } from './dns.ts';
import { eachAtMost } from './pace.ts';
import { echoText, type Place, type Probe, probesOf, tryOnce } from './probes.ts';
import type { Report } from './report.ts';

export interface ProberOptions extends Place {
  readonly targets: ProbeTargets;
  /** Between the starts of two rounds; 2000, and 10 for each target where that is more. */
  readonly probeIntervalMs?: number;
  /** For one dial; 2000. */
  readonly timeoutMs?: number;
}

const MAX_DIALS = 16;
const SHORTEST_INTERVAL_MS = 2000;

/** The pod watcher begins to answer for its own Service, on its pod's address only; gives what `hello` says of it. */
export async function echoOwn(
  io: NodeIo,
  { vantage, own }: ProberOptions,
  report: Report,
): Promise<{ echo: string } | undefined> {
  if (!own || vantage !== 'pod') return undefined;
  try {
    const echo = podAddress(io, own.address.includes(':'));
    for (const port of ECHO_PORTS) await io.echo(echo, port, echoText(own.name, port));
    return { echo };
  } catch (error) {
    report.trouble('echo', error);
    return undefined;
  }
}

/** The main network's device is eth0 in every pod; others are of further networks. */
function podAddress(io: NodeIo, isIPv6: boolean): string {
  const all = io.addresses().filter(({ address }) => address.includes(':') === isIPv6);
  const own = all.find(({ device }) => device === 'eth0') ?? all[0];
  if (!own) throw new Error('the pod has no address of the family of its Service');
  return own.address;
}

/** What a round does, and how long it is from the start of one to that of the next. */
export async function prober(
  io: NodeIo,
  options: ProberOptions,
  report: Report,
  signal: AbortSignal,
): Promise<{ intervalMs: number; round: () => Promise<void> }> {
  const { served, refused } = probesOf(options.targets, options, io);
  const domain = clusterDomain((await readIfThere(io, '/etc/resolv.conf')) ?? '');
  const trying = { timeoutMs: options.timeoutMs ?? 2000, domain };
  const came = new Set<string>();
  let rounds = 0;
  const tried = async (probe: Probe): Promise<Outcome | undefined> => {
    if (signal.aborted) return undefined;
    try {
      return await tryOnce(io, probe, trying);
    } catch (error) {
      // Our own lack of something (ports, files) says nothing about the target.
      report.trouble('dial', error);
      return undefined;
    }
  };
  const round = async () => {
    const began = new Date(io.now()).toISOString();
    const bad: [string, Outcome][] = [];
    const dialled: Partial<Record<ProbeKind, number>> = {};
    const due = refused[rounds % Math.max(1, refused.length)];
    const refusal = due ? tried(due) : undefined;
    rounds++;
    await eachAtMost(MAX_DIALS, served, async probe => {
      const outcome = await tried(probe);
      // Who reached both endpoints of a Service has its rules.
      if (outcome === 'ok' || outcome === 'moved') came.add(probe.id);
      // Our own Service is as young as we are: until its rules are written, it says nothing.
      if (outcome === undefined || (OWN_KINDS.includes(probe.kind) && !came.has(probe.id))) return;
      dialled[probe.kind] = (dialled[probe.kind] ?? 0) + 1;
      if (outcome !== 'ok') bad.push([probe.id, outcome]);
    });
    const said = await refusal;
    if (signal.aborted) return;
    const { vantage } = options;
    report.print({ kind: 'round', vantage, round: rounds, began, dialled, bad, ...(said ? { refusal: said } : {}) });
  };
  return { intervalMs: options.probeIntervalMs ?? Math.max(SHORTEST_INTERVAL_MS, served.length * 10), round };
}
