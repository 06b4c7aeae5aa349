import type { RunStatus, StatusNode } from '../core/status.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { hang } from './layout.ts';
import { makePainter, type Painter } from './paint.ts';

const WIDTH = 80;

/** Where the nodes stand, for people: by batch in a run, by mode without one; what does not fit comes last. */
export function statusText(status: RunStatus, painter: Painter = makePainter(false)): string {
  const { cluster, run, nodes, unfit } = status;
  const lines: string[] = [];
  const row = (label: string, text: string, paint = (line: string) => line) =>
    lines.push(...hang(`${label.padEnd(10)}  `, escapeText(text), WIDTH).map(line => paint(line)));
  if (cluster.simulated) lines.push(painter.doubt('SIMULATED cluster'));
  row('cluster', `${cluster.context} (${cluster.server}), Kubernetes ${cluster.kubernetes}`);
  row('nodes', byMode(nodes));
  const notReady = nodes.filter(n => !n.ready).map(n => n.name);
  if (notReady.length > 0) row('not Ready', few(notReady), painter.doubt);
  if (!run) row('run', 'none');
  else {
    row('run', `${run.id}, to ${run.to}, since ${run.startedAt}`);
    row('runner', run.holder === '' ? 'nobody: the run stands still' : run.holder);
    const batches = Map.groupBy(nodes, n => n.batch ?? '');
    for (const [batch, members] of batches) if (batch !== '') row(batch, batchText(members, run.to));
    const outside = batches.get('') ?? [];
    if (outside.length > 0) row('no batch', `${count(outside.length, 'node')}: ${byMode(outside)}`);
  }
  for (const text of unfit) row('!', text, painter.bad);
  return `${lines.join('\n')}\n`;
}

function byMode(nodes: readonly StatusNode[]): string {
  const modes = [...Map.groupBy(nodes, n => n.mode)].sort((a, b) => b[1].length - a[1].length);
  return modes.map(([mode, members]) => `${members.length} ${mode}`).join(', ') || 'none';
}

/** A step that was intended and is not `done` may have begun, so its node is between two modes. */
function batchText(nodes: readonly StatusNode[], to: string): string {
  const isDone = (n: StatusNode) => n.step === 'done' && n.label === to;
  const between = nodes.filter(n => n.step !== undefined && n.step !== 'done');
  const steps = between.map(n => `${n.name} ${n.from ?? '?'} -> ${n.to ?? '?'} at step ${n.step}`);
  const parts = [`${nodes.filter(isDone).length} of ${count(nodes.length, 'node')} flipped to ${to}`];
  if (steps.length > 0) parts.push(few(steps));
  return parts.join('; ');
}
