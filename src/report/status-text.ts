import type { RunStatus, StatusNode } from '../core/status.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { duration, hang } from './layout.ts';
import { makePainter, type Painter } from './paint.ts';

export interface StatusView {
  readonly painter?: Painter;
  /** Columns. */
  readonly width?: number;
  /** To tell for how long a kube-proxy has run. */
  readonly now: Date;
}

/** Nodes shown one by one; those with something to say come first, and the rest is counted. */
const MOST_ROWS = 40;

/** Where the nodes stand, for people: a table, by batch in a run; what does not fit comes last. */
export function statusText(status: RunStatus, { painter = makePainter(false), width = 80, now }: StatusView): string {
  const { cluster, run, shared, nodes, unfit } = status;
  const lines: string[] = [];
  const row = (label: string, text: string, paint = (line: string) => line) =>
    lines.push(...hang(`${escapeText(label).padEnd(10)}  `, escapeText(text), width).map(line => paint(line)));
  if (cluster.simulated) lines.push(painter.doubt('SIMULATED cluster'));
  row('cluster', `${cluster.context} (${cluster.server}), Kubernetes ${cluster.kubernetes}`);
  row('nodes', byMode(nodes));
  row('shared', shared ? `kube-proxy's configuration says ${shared}` : "kube-proxy's configuration was not read");
  const notReady = nodes.filter(n => !n.ready).map(n => n.name);
  if (notReady.length > 0) row('not Ready', few(notReady), painter.doubt);
  if (!run) row('run', 'none');
  else {
    row('run', `${run.id}, to ${run.to}, since ${run.startedAt}`);
    row('runner', run.holder === '' ? 'nobody: the run stands still' : run.holder);
    const { doing } = run;
    if (doing) row(run.holder === '' ? 'said last' : 'doing', `${doing.action}: ${doing.text}, since ${doing.since}`);
    const { rehearsal } = run;
    if (rehearsal) row('way back', wayBackText(rehearsal));
    const batches = Map.groupBy(nodes, n => n.batch ?? '');
    for (const [batch, members] of inOrder(batches)) if (batch !== '') row(batch, batchText(members, run.to));
    const outside = batches.get('') ?? [];
    if (outside.length > 0) row('no batch', `${count(outside.length, 'node')}: ${byMode(outside)}`);
  }
  lines.push('', ...table(nodes, now, painter));
  if (unfit.length > 0) lines.push('');
  for (const text of unfit) row('!', text, painter.bad);
  return `${lines.join('\n')}\n`;
}

/** `batch-2` before `batch-10`. */
function inOrder<Members>(batches: ReadonlyMap<string, Members>): [string, Members][] {
  return [...batches].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
}

function byMode(nodes: readonly StatusNode[]): string {
  const modes = [...Map.groupBy(nodes, n => n.mode)].sort((a, b) => b[1].length - a[1].length);
  return modes.map(([mode, members]) => `${members.length} ${mode}`).join(', ') || 'none';
}

function wayBackText({ node, provenAt }: { node: string; provenAt?: string }): string {
  return provenAt === undefined
    ? `not proven yet; rehearsed on ${node} before the next batch`
    : `proven on ${node} at ${provenAt}`;
}

/** A step that was intended and is not `done` may have begun, so its node is between two modes. */
function batchText(nodes: readonly StatusNode[], to: string): string {
  const isDone = (n: StatusNode) => n.step === 'done' && n.label === to;
  const between = nodes.filter(n => n.step !== undefined && n.step !== 'done');
  const steps = between.map(n => `${n.name} on its way to ${n.to ?? '?'}, at step ${n.step}`);
  const parts = [`${nodes.filter(isDone).length} of ${count(nodes.length, 'node')} flipped to ${to}`];
  if (steps.length > 0) parts.push(few(steps));
  return parts.join('; ');
}

const HEAD = ['node', 'planned', 'effective', 'since', 'residue', 'note'];

function table(nodes: readonly StatusNode[], now: Date, painter: Painter): string[] {
  const weight = ({ notes }: StatusNode) => (notes.some(n => n.level === 'unfit') ? 0 : notes.length > 0 ? 1 : 2);
  const order = nodes.toSorted((a, b) => weight(a) - weight(b));
  const shown = order.slice(0, MOST_ROWS);
  const rows = shown.map(node => cells(node, now));
  const widths = HEAD.map((head, i) => Math.max(head.length, ...rows.map(row => row[i]?.length ?? 0)));
  const text = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  const lines = rows.map((row, i) => {
    const node = shown[i];
    return node && weight(node) === 0 ? painter.bad(text(row)) : text(row);
  });
  const more = nodes.length - shown.length;
  const left = order.slice(MOST_ROWS).filter(node => weight(node) === 0).length;
  const rest = left > 0 ? `, ${left} of them with something that does not fit` : '';
  return [
    painter.strong(text(HEAD)),
    ...lines,
    ...(more > 0 ? [`and ${count(more, 'node')} more${rest} (--format json has all)`] : []),
  ];
}

function cells(node: StatusNode, now: Date): string[] {
  const { name, planned, mode, since, kernel, notes } = node;
  const age = since === undefined ? NaN : (now.getTime() - Date.parse(since)) / 1000;
  return [
    name,
    planned ?? '-',
    mode,
    Number.isNaN(age) ? '-' : duration(Math.max(0, Math.round(age))),
    kernel ? (kernel.residue.length > 0 ? count(kernel.residue.length, 'leftover') : 'none') : 'not looked at',
    notes.map(note => note.code).join(', '),
  ].map(escapeText);
}
