import {
  advice,
  configuredSize,
  FORECAST_SECONDS,
  forecast,
  type Losses,
  lossesBetween,
  lowersSize,
  timeOf,
} from '../core/conntrack.ts';
import { inconclusive, nodeInFlip, nodesInScope, SILENCE_MS, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { imageVersion } from '../core/image-version.ts';
import { nodeTime } from '../core/node-view.ts';
import type { ConntrackSample } from '../core/observation.ts';
import { count, few } from '../core/words.ts';

/** kube-proxy's own default; what is configured smaller is worth a word. */
const SMALL = 131_072;
/** A limit that is reached later than that is nobody's concern now, seconds. */
const FAR = 24 * 3600;

interface Seen {
  readonly now: ConntrackSample | undefined;
  /** What it is compared with: the last sample before anything was touched, or the first one. */
  readonly before: ConntrackSample | undefined;
  /** Samples of the time before, and since then. */
  readonly earlier: readonly ConntrackSample[];
  readonly since: readonly ConntrackSample[];
}

/** A full connection table drops new connections whatever the rules say, and a restarted kube-proxy sets its size anew. */
export const conntrack = defineGate({
  id: 'conntrack',
  title: 'The connection table has room and loses nothing',
  hint: 'kube-proxy sets the size at each start: the larger of conntrack.maxPerCore x cores (since 1.36 never more than 1048576) and conntrack.min',
  moments: ['preflight', 'before-node', 'prove', 'after-node', 'verify'],
  observe: look => (look.moment === 'preflight' ? undefined : samplesOf(look)),
  judge: (seen, look) => (seen ? judgeNode(seen, look) : judgeConfiguration(look)),
});

function samplesOf(look: Look): Seen {
  const { view, baseline } = nodeInFlip(look);
  const now = view.conntrack.at(-1);
  if (look.moment === 'before-node') return { now, before: view.conntrack[0], earlier: [], since: view.conntrack };
  const before = baseline.conntrack.at(-1);
  const since = before ? view.conntrack.filter(s => s.t >= before.t) : [];
  return { now, before, earlier: baseline.conntrack, since };
}

function judgeNode(seen: Seen, look: Look): { findings: Finding[]; summary: string } {
  const { now, before } = seen;
  const node = nodeInFlip(look);
  const not = (message: string) => ({ findings: [inconclusive(node.name, message)], summary: '' });
  const silent = silence(node, 'host');
  if (silent) return { findings: [silent], summary: '' };
  const trouble = node.view.troubles.findLast(text => text.includes('conntrack'));
  const because = trouble === undefined ? '' : `: ${trouble}`;
  if (!now || now.max <= 0) return not(`the connection table has not been read${because}`);
  const age = nodeTime(node.view, node.now) - timeOf(now) * 1000;
  if (age > SILENCE_MS) return not(`the connection table was last read ${Math.round(age / 1000)} s ago${because}`);
  if (tooOld(now, node)) return not('the connection table was not read since kube-proxy was started');
  if (!before) return not('nothing is known of the connection table before the flip');
  const losses = lossesBetween(before, now);
  const findings = [
    ...judgeFill(now, look),
    ...judgeSize(before, now, look),
    ...(losses ? judgeLosses(losses, seen, look) : [inconclusive(node.name, uncounted(before, now) + because)]),
  ];
  const coming = judgeForecast(seen.since, now, look);
  return {
    findings: [...findings, ...coming.findings],
    summary: `${percent(now.count / now.max)} of ${now.max} connections in use, nothing lost${coming.summary}`,
  };
}

/** Of the kube-proxy that the next start takes. */
function versionOf({ inventory }: Look): readonly number[] | undefined {
  return imageVersion(inventory.proxy.daemonSet?.image ?? '');
}

function uncounted(before: ConntrackSample, now: ConntrackSample): string {
  const unread = [before, now].some(s => s.drop === null || s.earlyDrop === null || s.insertFailed === null);
  return unread ? 'drops and failed insertions could not be read' : 'its counters began anew since the baseline';
}

function judgeFill(now: ConntrackSample, look: Look): Finding[] {
  const { warn, fail } = look.playbook.gates.conntrack;
  const share = now.count / now.max;
  if (share < Math.min(warn, fail)) return [];
  const message = `${now.count} of ${now.max} connections are tracked (${percent(share)}; the limit is ${percent(fail)})`;
  return [
    finding(share >= fail ? 'error' : 'warning', look, message, advice(now.count, now.cores, now.max, versionOf(look))),
  ];
}

function judgeSize(before: ConntrackSample, now: ConntrackSample, look: Look): Finding[] {
  const version = versionOf(look);
  const fix = advice(now.count, now.cores, before.max, version);
  if (now.max < before.max)
    return [finding('error', look, `the table shrank from ${before.max} to ${now.max} connections`, fix)];
  // Seen before it happens: the warm kube-proxy would be the first to set it.
  const next = look.proxyConfig && configuredSize(look.proxyConfig, now.cores, version);
  // Outside runs nobody saw it shrink; kube-proxy sets no less than this at each start.
  if (look.moment === 'verify' && next !== undefined && now.max < next)
    return [finding('error', look, `the table has room for ${now.max} connections, kube-proxy had set ${next}`, fix)];
  if (look.moment !== 'before-node' || next === undefined || next >= now.max || !lowersSize(version)) return [];
  const message = `the next start of kube-proxy makes the table smaller, ${next} instead of ${now.max} connections`;
  return [finding('error', look, message, fix)];
}

function judgeLosses({ room, evicted, notInserted }: Losses, seen: Seen, look: Look): Finding[] {
  const { now, before } = seen;
  if (!now || !before) return [];
  const fix = advice(now.count, now.cores, now.max, versionOf(look));
  const since = look.moment === 'before-node' ? 'while nothing was touched' : 'since the flip began';
  const findings: Finding[] = [];
  if (room > 0)
    findings.push(
      finding('error', look, `${count(room, 'packet was', 'packets were')} dropped for want of room ${since}`, fix),
    );
  if (evicted > 0)
    findings.push(
      finding('error', look, `${count(evicted, 'connection was', 'connections were')} evicted early ${since}`, fix),
    );
  if (notInserted > 0) {
    const seconds = timeOf(now) - timeOf(before);
    const usual = 2 * rateBefore(seen.earlier) * seconds;
    const allowed = Math.max(look.playbook.gates.conntrack.insertFailures * Math.ceil(seconds / 60), usual);
    const message = `${count(notInserted, 'connection')} could not be inserted ${since} (${Math.round(seconds)} s)`;
    findings.push(finding(notInserted > allowed ? 'error' : 'warning', look, message));
  }
  return findings;
}

/** Failed insertions a second before anything was touched. */
function rateBefore(earlier: readonly ConntrackSample[]): number {
  const [first, last] = [earlier[0], earlier.at(-1)];
  const seconds = first && last ? timeOf(last) - timeOf(first) : 0;
  const losses = first && last ? lossesBetween(first, last) : undefined;
  return losses && seconds > 0 ? losses.notInserted / seconds : 0;
}

function judgeForecast(
  since: readonly ConntrackSample[],
  now: ConntrackSample,
  look: Look,
): { findings: Finding[]; summary: string } {
  const { fail, horizon } = look.playbook.gates.conntrack;
  if (look.moment !== 'after-node' || now.count >= fail * now.max) return { findings: [], summary: '' };
  const coming = forecast(since, fail * now.max);
  if (coming.kind === 'none') {
    const short = `${Math.round(coming.seconds)} s and ${count(coming.samples, 'sample')} are too few`;
    return { findings: [], summary: `; no forecast, ${short} (${FORECAST_SECONDS} s)` };
  }
  if (coming.kind === 'level' || coming.seconds > FAR)
    return { findings: [], summary: `; ${percent(fail)} is not in sight` };
  const growth = `${coming.rate.toFixed(1)} connections a second since the flip began`;
  const message = `at ${growth} ${percent(fail)} of the table is reached in ${Math.ceil(coming.seconds / 60)} min`;
  const level = coming.seconds <= horizon ? 'error' : 'warning';
  const fix = advice(now.count + coming.rate * Math.max(horizon, coming.seconds), now.cores, now.max, versionOf(look));
  return { findings: [finding(level, look, message, fix)], summary: '' };
}

/** What the next start of each node's kube-proxy sets. How full the tables are only their nodes can tell. */
function judgeConfiguration(look: Look): { findings: Finding[]; summary: string } {
  const config = look.proxyConfig;
  if (!config)
    return {
      findings: [{ level: 'inconclusive', subject: 'configuration', message: 'the configuration was not read' }],
      summary: '',
    };
  const small = nodesInScope(look).filter(
    n => (configuredSize(config, n.cpus ?? null, versionOf(look)) ?? SMALL) < SMALL,
  );
  const names = few(small.map(n => n.name));
  const message = `conntrack.maxPerCore and conntrack.min make tables of less than ${SMALL} connections on ${names}`;
  return {
    findings: small.length > 0 ? [{ level: 'warning', subject: 'configuration', message }] : [],
    summary: 'its configured size is in order; how full it is, is looked at on each node before its flip',
  };
}

function finding(level: 'error' | 'warning', look: Look, message: string, fix?: string): Finding {
  return { level, subject: `node ${nodeInFlip(look).name}`, message, ...(fix === undefined ? {} : { fix }) };
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
