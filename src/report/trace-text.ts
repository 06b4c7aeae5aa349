import type { Client, Hop, ServicePath } from '../core/service-path.ts';
import type { ServiceTrace, TracedFrontend, TracedNode } from '../core/trace.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { hang } from './layout.ts';
import { makePainter, type Painter } from './paint.ts';

export interface TraceView {
  readonly painter?: Painter;
  /** Columns. Commands are never cut. */
  readonly width?: number;
}

/** Ends shown one by one. */
const MOST_ENDS = 8;
const FROM: Readonly<Record<Client, string>> = {
  pod: 'a pod on the node',
  node: 'the node itself',
  outside: 'outside the cluster',
};

/** Where packets go, for people: each frontend with its ways, and what to type on the node; what is wrong comes last. */
export function traceText(trace: ServiceTrace, { painter = makePainter(false), width = 80 }: TraceView = {}): string {
  const { cluster, service, type, unserved, nodes, wrong } = trace;
  const lines: string[] = [];
  const row = (label: string, text: string, paint = (line: string) => line) =>
    lines.push(...hang(`${label.padEnd(10)}  `, escapeText(text), width).map(line => paint(line)));
  if (cluster.simulated) lines.push(painter.doubt('SIMULATED cluster'));
  row('service', `${service} (${type})`);
  if (unserved !== undefined) row('', `kube-proxy does nothing for it: ${unserved}`);
  for (const node of nodes) lines.push('', ...nodeLines(node, painter, width));
  if (wrong.length > 0) lines.push('');
  for (const text of wrong) row('!', text, painter.bad);
  if (trace.verdict === 'pass' && nodes.length > 0) {
    lines.push('');
    row('ok', 'the kernel does what the API says', painter.good);
  }
  return `${lines.join('\n')}\n`;
}

function nodeLines({ name, why, mode, besides, frontends }: TracedNode, painter: Painter, width: number): string[] {
  const serves = mode ? `${name} serves in ${mode}` : `${name}, mode unknown`;
  const also = besides.length > 0 ? `; rules of ${besides.join(' and ')} are there too` : '';
  const head = hang(`${'node'.padEnd(10)}  `, escapeText(`${serves} (${why})${also}`), width);
  return [...head.map(painter.strong), ...frontends.flatMap(f => frontendLines(f, mode ?? '', painter, width))];
}

function frontendLines(frontend: TracedFrontend, mode: string, painter: Painter, width: number): string[] {
  const { kind, key, port, portName, paths, commands, elsewhere, flaw } = frontend;
  const name = portName === '' ? port : `${port} ${portName}`;
  const lines = ['', painter.strong(escapeText(`${kind} ${key}  (${name})`))];
  const say = (first: string, text: string, paint = (line: string) => line) =>
    lines.push(...hang(first, escapeText(text), width).map(line => paint(line)));
  if (flaw) say('  ! ', flaw.detail, painter.bad);
  for (const group of sameWays(paths)) {
    const [path] = group;
    if (!path) continue;
    say('  ', `from ${group.map(({ client }) => FROM[client]).join(', and ')}:`);
    if (path.hops.length > 0) say('    ', hopsText(path.hops));
    for (const text of endText(path)) say('    -> ', text, path.outcome === 'nothing' ? painter.doubt : undefined);
  }
  const typed = (head: string, list: readonly string[]) => {
    lines.push(`  ${head}`, ...list.map(command => `    ${escapeText(command)}`));
  };
  typed(`On the node (${mode} mode):`, commands);
  for (const other of elsewhere) typed(`In ${other.mode} mode you would type:`, other.commands);
  return lines;
}

/** Clients that meet the same. */
function sameWays(paths: readonly ServicePath[]): ServicePath[][] {
  return [...Map.groupBy(paths, ({ client: _client, ...way }) => JSON.stringify(way)).values()];
}

function hopsText(hops: readonly Hop[]): string {
  return hops.map(hopText).join(' -> ');
}

function hopText({ kind, table, name, does }: Hop): string {
  const what = { hook: table ? `${table} ${name}` : name, chain: name }[kind as 'hook'] ?? `${kind} ${name}`;
  return does === undefined ? what : `${what} (${does})`;
}

function endText({ outcome, ends, endpoints, masquerade, sourceRanges, legacy }: ServicePath): string[] {
  const only = sourceRanges ? [`only from ${few(sourceRanges)}; what comes from elsewhere is dropped`] : [];
  const old = legacy ? ['these rules are in the legacy backend of iptables'] : [];
  if (outcome === 'nothing') return ['no rule knows it: the packet goes on as it came', ...old];
  if (outcome !== 'endpoints') return [outcome === 'reject' ? 'refused' : 'dropped without a word', ...only, ...old];
  const shown = ends.slice(0, MOST_ENDS).map(e => (e.chain === undefined ? e.address : `${e.address} by ${e.chain}`));
  const more = endpoints > shown.length ? ` and ${endpoints - shown.length} more` : '';
  return [`${count(endpoints, 'endpoint')}: ${shown.join(', ')}${more}`, SEEN[masquerade], ...only, ...old];
}

const SEEN: Readonly<Record<ServicePath['masquerade'], string>> = {
  all: "masqueraded: the endpoint sees the node's address",
  self: "the endpoint sees the client's address; only a pod that reaches itself is masqueraded",
  none: "the endpoint sees the client's address",
};
