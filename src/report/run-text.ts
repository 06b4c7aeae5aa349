import type { RunEvent } from '../core/journal.ts';
import { tallyText } from '../core/probe-tally.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { duration, fold, hang, subjectNames, subjectsText } from './layout.ts';
import { type GateEvent, type RunReading, readRun } from './run-reading.ts';

const WIDTH = 80;
/** More red gates than that are in the journal; a summary names the last ones. */
const MOST_GATES = 10;

/** One line for a log, with its time; undefined for events that tell no change of state. Ends of steps and passes are such. */
export function eventLine(event: RunEvent): string | undefined {
  const text = eventText(event);
  return text === undefined ? undefined : `${event.t.slice(0, 19)}Z ${escapeText(text)}`;
}

/** As `eventLine`, without the time and as it came. */
export function eventText(event: RunEvent): string | undefined {
  switch (event.event) {
    case 'run-opened': {
      const nodes = event.batches.reduce((sum, b) => sum + b.nodes.length, 0);
      const simulated = event.cluster.simulated ? 'SIMULATED ' : '';
      const size = `${count(event.batches.length, 'batch', 'batches')}, ${count(nodes, 'node')}`;
      return `${simulated}${titleOf(event)} of ${event.cluster.context} (${event.cluster.server}): ${size}, run ${event.run}`;
    }
    case 'phase-started':
      return `${event.phase}: ${event.title}`;
    case 'batch-started':
      return `${event.batch} begins`;
    case 'batch-done':
      return `${event.batch} done, ${count(event.exposed, 'Service')} exposed`;
    case 'step-intended':
      return `${event.batch} ${event.node}: ${event.step}`;
    case 'step-failed':
      return `${event.batch} ${event.node}: ${event.step} failed: ${event.error}`;
    case 'waiting':
      return event.node === undefined ? `waits for ${event.for}` : `${event.node}: waits for ${event.for}`;
    case 'gate-judged':
      return gateText(event);
    case 'node-done':
      return `${event.batch} ${event.node}: in mode ${event.mode} after ${duration(event.seconds)}, ${tallyText(event, {})}`;
    case 'node-restarted':
      return `${event.node}: kube-proxy started anew in mode ${event.mode} in ${duration(event.seconds)}`;
    case 'node-back':
      return `${event.batch} ${event.node}: back in mode ${event.mode}`;
    case 'rehearsal-started':
      return `${event.batch} ${event.node}: goes back, to prove the way back before any other node`;
    case 'rehearsal-done':
      return `${event.batch} ${event.node}: the way back is proven, in ${duration(event.seconds)}`;
    case 'note':
      return event.text;
    case 'steered':
      return `${event.by} wants ${WANTED[event.what]}${event.to === undefined ? '' : `: ${event.to}`}`;
    case 'replanned':
      return `planned anew, ${event.why}: ${batchSizes(event.batches)}`;
    case 'run-closed':
      return `${event.outcome}: ${event.reason}${event.next === '' ? '' : `; next: ${event.next}`}`;
    case 'phase-done':
    case 'step-done':
      return undefined;
  }
}

const WANTED = {
  pause: 'the run to pause after the node in hand',
  resume: 'the run to go on',
  abort: 'the run to stop at the next safe point',
  adjust: 'the plan changed before the next batch',
} as const;

/** `batch-1 (1 node, 20 new Services), batch-2 ...`, the first ones. */
function batchSizes(batches: Extract<RunEvent, { event: 'replanned' }>['batches']): string {
  const sizes = batches.map(b => `${b.id} (${count(b.nodes.length, 'node')}, ${count(b.services, 'new Service')})`);
  return few(sizes, 10);
}

function titleOf({ action, to }: { action: string; to: string | null }): string {
  return to === null ? action : `${action} to ${to}`;
}

function gateText(event: GateEvent): string | undefined {
  if (event.findings.length === 0 && event.verdict === 'pass') return undefined;
  const where = event.node === undefined ? '' : ` on ${event.node}`;
  const verdict =
    event.verdict === 'pass' ? 'passes with warnings' : event.verdict === 'fail' ? 'fails' : 'is inconclusive';
  return `gate ${event.gate}${where} (${event.moment}) ${verdict}: ${findingsText(event)}`;
}

function findingsText(event: GateEvent): string {
  // What the verdict rests on; a failing gate's warnings are in the journal.
  const counted = event.findings.filter(f => event.verdict === 'pass' || f.level !== 'warning');
  return fold(counted)
    .slice(0, 3)
    .map(({ subjects, message }) =>
      subjects.length === 1
        ? `${subjects[0]} ${message}`
        : `${subjectsText(subjects)} (${few(subjectNames(subjects))}) ${message}`,
    )
    .join('; ');
}

/** What a run did, for people: a pure reading of its journal, finished or not. Ends with what can be done next, and where `journal` is. */
export function summaryText(events: readonly RunEvent[], journal: string): string {
  const reading = readRun(events);
  const { opened, closed } = reading;
  if (!opened) return 'the journal holds no run\n';
  const lines: string[] = [];
  const row = (label: string, text: string) => lines.push(...hang(`  ${label.padEnd(12)}`, escapeText(text), WIDTH));
  if (opened.cluster.simulated) lines.push('SIMULATED cluster');
  lines.push(
    escapeText(`${titleOf(opened)} of ${opened.cluster.context}: ${closed?.outcome ?? 'ended without a last word'}`),
  );
  if (closed) row('reason', closed.reason);
  // Nothing is flipped in the end, and so nothing probed.
  if (opened.action === 'finalize')
    row('nodes', `${reading.returned.size} handed back to the original DaemonSet, in the mode they were in`);
  else {
    if (opened.batches.length > 0) row('batches', batchesText(reading, opened.batches.length));
    row('Services', exposedText(reading));
    const over = opened.batches.filter(batch => batch.overCap);
    if (over.length > 0) row('over cap', over.map(b => `${b.nodes.join(', ')} (${b.services} alone)`).join(', '));
    row('nodes', `${reading.flipped.size} flipped, ${reading.returned.size} returned`);
    if (reading.rehearsal) row('way back', rehearsalText(reading.rehearsal));
    // A flip that was called off is not in the sum: what failed in it, its gates name.
    const which = closed?.outcome === 'done' ? '' : ', in flips that were done';
    row('probed', `${tallyText(reading, reading.kinds)}${which}`);
  }
  for (const gate of reading.gates.slice(-MOST_GATES)) {
    row(
      'gate',
      `${gate.gate}${gate.node === undefined ? '' : ` on ${gate.node}`} (${gate.moment}), ${gate.verdict}: ${findingsText(gate)}`,
    );
  }
  for (const fix of fixesOf(reading.gates.slice(-MOST_GATES))) row('fix', fix);
  for (const note of reading.notes) row('note', note);
  row(
    'time',
    `${duration(reading.seconds)}, of it ${duration(reading.proxySeconds)} kube-proxy's own stopping and starting`,
  );
  const next = closed ? closed.next : "'proxyctl status' shows where the nodes stand, 'proxyctl migrate' goes on";
  row('next', next === '' ? 'nothing' : next);
  // A path is not broken, so that it can be copied.
  lines.push(`  ${'journal'.padEnd(12)}${escapeText(journal)}`);
  return `${lines.join('\n')}\n`;
}

/** What the findings say to do, each once. */
function fixesOf(gates: readonly GateEvent[]): Set<string> {
  return new Set(gates.flatMap(gate => gate.findings.flatMap(f => (f.fix === undefined ? [] : [f.fix]))));
}

function batchesText({ batches, openBatch }: RunReading, all: number): string {
  return `${batches.size} of ${all} done${openBatch === undefined ? '' : `, ${openBatch} under way`}`;
}

function rehearsalText({ node, seconds }: NonNullable<RunReading['rehearsal']>): string {
  return seconds === undefined ? `not proven on ${node}` : `proven on ${node}, in ${duration(seconds)}`;
}

function exposedText({ opened, closed, exposed, exposing }: RunReading): string {
  if (closed?.outcome === 'rolled back') return 'none exposed any more';
  if (opened?.action === 'rollback') return `at most ${exposed + exposing} still exposed`;
  return `${exposed.toLocaleString('en-US')} exposed when it stopped${exposing > 0 ? `, and up to ${exposing} more by the open batch` : ''}`;
}
