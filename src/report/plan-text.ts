import type { Batch, Plan, PlannedNode } from '../core/plan.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { duration, hang } from './layout.ts';
import { outsideLines } from './outside-text.ts';
import { makePainter, type Painter } from './paint.ts';

/** Columns of the table: id, nodes, Services first exposed, exposed in all, time. */
const COLUMNS = [10, 6, 15, 16, 15] as const;
const INDENT = ' '.repeat(COLUMNS[0]);
/** Names that are spelled out in a folded row. */
const NODES_SHOWN = 3;
const NAMESPACES_SHOWN = 4;
const NOTES_SHOWN = 20;
/** Of the table. */
const NARROWEST = 64;

interface PlanView {
  readonly width?: number;
  readonly paint?: Painter;
  /** Every node and namespace of each batch, not the first ones. */
  readonly verbose?: boolean;
}

/** A plan for people: what happens in which order, what each batch exposes, and what is left alone. Ends with a line break. */
export function planText(plan: Plan, options: PlanView = {}): string {
  const width = Math.max(options.width ?? 80, NARROWEST);
  const paint = options.paint ?? makePainter(false);
  const verbose = options.verbose === true;
  const sections = [
    head(plan, width, paint),
    table(plan, { width, paint, verbose }),
    besides(plan, width, paint),
    outsideLines(plan.playbook, width).map(line => paint.doubt(line)),
    foot(plan, width, paint),
  ];
  const lines = sections
    .filter(section => section.length > 0)
    .flatMap((section, i) => (i === 0 ? section : ['', ...section]));
  return `${lines.map(line => line.trimEnd()).join('\n')}\n`;
}

/** What would happen, in one line. Untrusted text is none in it. */
export function planLine({ batches, to }: Plan): string {
  const nodes = batches.reduce((sum, batch) => sum + batch.nodes.length, 0);
  const size = `${count(nodes, 'node')} in ${count(batches.length, 'batch', 'batches')}`;
  return `${changeText(batches, to)}: ${size}, ${count(batches.at(-1)?.exposedAfter ?? 0, 'Service')} exposed in the end`;
}

function changeText(batches: readonly Batch[], to: string): string {
  const from = [...new Set(batches.flatMap(batch => batch.nodes.map(node => node.from)))].sort();
  return from.length === 0 ? `to ${to}` : `${from.join(' and ')} to ${to}`;
}

function row(label: string, text: string, width: number): string[] {
  return hang(label.padEnd(INDENT.length), escapeText(text), width);
}

function head(plan: Plan, width: number, paint: Painter): string[] {
  const { cluster, batches, playbook } = plan;
  const nodes = batches.reduce((sum, batch) => sum + batch.nodes.length, 0);
  const exposed = batches.at(-1)?.exposedAfter ?? 0;
  const title = playbook.title === undefined ? [] : row('', playbook.title, width);
  const caps = [count(playbook.batch.services, 'Service'), count(playbook.batch.nodes, 'node')];
  if (playbook.order.nodesPerZone !== undefined) caps.push(`${count(playbook.order.nodesPerZone, 'node')} of a zone`);
  return [
    ...(cluster.simulated ? [paint.doubt('SIMULATED cluster')] : []),
    paint.strong(`${'plan'.padEnd(INDENT.length)}${escapeText(plan.id.slice(0, 12))}: ${changeText(batches, plan.to)}`),
    ...title,
    ...row('cluster', `${cluster.context} (${cluster.server}), Kubernetes ${cluster.kubernetes}`, width),
    ...row('made', `${plan.madeAt}, driver ${plan.driver}`, width),
    ...row('nodes', `${nodes} to flip, ${plan.skipped.length} left alone${withoutWayBack(batches)}`, width),
    ...row('Services', `${exposed} exposed in the end`, width),
    ...row('a batch', `at most ${caps.join(', ')}; Services count when they are exposed first`, width),
  ];
}

function withoutWayBack(batches: readonly Batch[]): string {
  const doors = batches.flatMap(batch => batch.nodes).filter(node => node.oneWay !== undefined);
  return doors.length === 0 ? '' : `; ${count(doors.length, 'node')} without a way back`;
}

function table(plan: Plan, view: Required<PlanView>): string[] {
  if (plan.batches.length === 0) return ['Nothing to do: no node is to flip.'];
  const cap = plan.playbook.batch.services;
  return [
    view.paint.strong(cells('batch', 'nodes', 'newly exposed', 'exposed in all', 'takes about')),
    ...plan.batches.flatMap(batch => batchRows(batch, cap, view)),
  ];
}

function cells(id: string, ...figures: readonly string[]): string {
  return id.padEnd(COLUMNS[0]) + figures.map((text, i) => text.padStart(COLUMNS[i + 1] ?? 0)).join('');
}

/** The first names of some. */
function namesOf(nodes: readonly { name: string }[]): string {
  const names = nodes.map(node => node.name);
  return few(names, NODES_SHOWN);
}

function batchRows(batch: Batch, cap: number, { width, paint, verbose }: Required<PlanView>): string[] {
  const figures = [batch.nodes.length, batch.services.length, batch.exposedAfter].map(String);
  const rows = [cells(escapeText(batch.id), ...figures, duration(batch.estimate))];
  if (batch.overCap) rows.push(INDENT + paint.doubt(`over the cap of ${cap}: one node alone exposes more`));
  const reasons = few([...new Set(batch.nodes.map(node => node.why))], 2);
  const nodes = verbose ? batch.nodes.map(node => node.name).join(', ') : namesOf(batch.nodes);
  rows.push(...row('', `${nodes} (${reasons})`, width));
  if (batch.rehearses !== undefined)
    rows.push(...row('', `rehearses the way back: ${batch.rehearses} flips, goes back and flips again`, width));
  const first =
    batch.namespaces.length === 0 ? 'nothing new' : few(batch.namespaces, verbose ? Infinity : NAMESPACES_SHOWN);
  rows.push(...row('', `exposes ${first}`, width).map(line => paint.faint(line)));
  return rows;
}

/** The nodes that cannot be brought back, all of them, by reason. */
export function oneWayLines(nodes: readonly PlannedNode[], width: number): string[] {
  const byReason = Map.groupBy(
    nodes.filter(node => node.oneWay !== undefined),
    node => node.oneWay,
  );
  return [...byReason].flatMap(([why, members]) =>
    hang('no way back: ', escapeText(`${members.map(node => node.name).join(', ')}: ${why}`), width),
  );
}

/** The nodes that alone expose more than the cap, all of them. */
function overCapLines({ batches, playbook }: Plan, width: number): string[] {
  const over = batches.filter(batch => batch.overCap);
  if (over.length === 0) return [];
  const named = over.map(batch => `${batch.nodes.map(node => node.name).join(', ')} (${batch.services.length})`);
  return hang('over the cap: ', escapeText(`more than ${playbook.batch.services} alone: ${named.join(', ')}`), width);
}

function besides(plan: Plan, width: number, paint: Painter): string[] {
  const lines: string[] = [];
  const nodes = plan.batches.flatMap(batch => batch.nodes);
  lines.push(...oneWayLines(nodes, width).map(line => paint.bad(line)));
  lines.push(...overCapLines(plan, width).map(line => paint.doubt(line)));
  const byReason = Map.groupBy(plan.skipped, node => node.why);
  for (const [why, nodes] of byReason) {
    lines.push(...hang('left alone: ', escapeText(`${namesOf(nodes)}: ${why}`), width));
  }
  const shown = plan.notes.slice(0, NOTES_SHOWN);
  for (const note of shown) lines.push(...hang('note: ', escapeText(note), width).map(line => paint.doubt(line)));
  if (plan.notes.length > shown.length) lines.push(`and ${plan.notes.length - shown.length} more notes in the plan`);
  return lines;
}

function foot(plan: Plan, width: number, paint: Painter): string[] {
  const lines: string[] = [];
  if (plan.batches.length > 0) {
    const seconds = plan.batches.reduce((sum, batch) => sum + batch.estimate, 0);
    const bound = plan.lowerBound;
    const best =
      plan.batches.length === bound ? 'as few as the caps allow' : `no plan under these caps has fewer than ${bound}`;
    const text = `${count(plan.batches.length, 'batch', 'batches')}, ${best}; about ${duration(seconds)}, a crude estimate.`;
    lines.push(...hang('', text, width).map(line => paint.strong(line)));
  }
  if (plan.everywhere.length > 0 && plan.batches.length > 0) {
    const named = few(plan.everywhere, NAMESPACES_SHOWN);
    lines.push(
      ...hang(
        '',
        escapeText(`Reached from everywhere, so exposed by ${plan.batches[0]?.id ?? ''} whatever its node: ${named}.`),
        width,
      ),
    );
  }
  lines.push(...hang('', escapeText(plan.exposure), width).map(line => paint.faint(line)));
  return lines;
}
