import type { Judgement } from '../core/gate.ts';
import type { NodeVerification, Verification } from '../core/verification.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { fold, hang, subjectNames, subjectsText, wrap } from './layout.ts';
import { type Painter, sign } from './paint.ts';

const WIDTH = 80;

/** For people, at most 80 columns where words allow it; broken Services and the verdict stand at the end. */
export function verifyText(found: Verification, painter: Painter): string {
  const { cluster } = found;
  const lines: string[] = [];
  if (cluster.simulated) lines.push(painter.doubt('SIMULATED cluster'));
  const where = `${cluster.context} (${cluster.server}), Kubernetes ${cluster.kubernetes}`;
  lines.push(...wrap(escapeText(`verification of ${where}`), WIDTH));
  for (const node of found.nodes) lines.push('', ...nodeLines(node, painter));
  const open = found.gates.filter(gate => gate.findings.length > 0);
  if (open.length > 0) lines.push('', painter.strong('all nodes'), ...open.flatMap(gate => gateLines(gate, painter)));
  if (found.notProbed.length > 0) {
    const text = `${count(found.notProbed.length, 'Service')} not probed (limit gates.probes.services), rules compared: ${few(found.notProbed)}`;
    lines.push('', ...wrap(escapeText(text), WIDTH));
  }
  lines.push('', ...brokenLines(found, painter), verdictLine(found, painter));
  return `${lines.join('\n')}\n`;
}

/** A line for a round that is well, all that was found for any other. */
export function roundText(found: Verification, painter: Painter): string {
  const head = escapeText(`${found.madeAt} round ${found.round ?? 1}`);
  if (found.verdict !== 'pass') return `${head}\n${verifyText(found, painter)}`;
  const mark = found.cluster.simulated ? `${painter.doubt('SIMULATED cluster')} ` : '';
  return `${mark}${head}: ${verdictLine(found, painter)}\n`;
}

/** One line as soon as a node is done. */
export function nodeLine({ name, mode, gates }: Omit<NodeVerification, 'verdict'>, painter: Painter): string {
  const bad = gates.filter(gate => gate.verdict !== 'pass');
  const worst = bad.some(gate => gate.verdict === 'fail') ? 'fail' : bad.length > 0 ? 'inconclusive' : 'pass';
  const what = bad.length === 0 ? `${count(gates.length, 'gate')} passed` : few(bad.map(gate => gate.gate));
  return `${sign(worst, painter)} ${escapeText(`${name} (${mode}): ${what}`)}`;
}

/** Of gates that passed without a word only the summary of the rules is shown: it says how much was compared. */
function nodeLines(node: NodeVerification, painter: Painter): string[] {
  const open = node.gates.filter(gate => gate.findings.length > 0);
  const rules = node.gates.find(gate => gate.gate === 'kernel-rules' && gate.verdict === 'pass');
  const passed = `${node.gates.length - open.length} of ${count(node.gates.length, 'gate')} without a finding`;
  const head = `${node.name} (${node.mode}): ${rules ? `${rules.summary}; ` : ''}${passed}`;
  return [
    ...hang(`${sign(node.verdict, painter)} `, escapeText(head), WIDTH),
    ...open.flatMap(g => gateLines(g, painter)),
  ];
}

function gateLines(gate: Judgement, painter: Painter): string[] {
  const lines = [`  ${sign(gate.verdict, painter)} ${painter.strong(escapeText(gate.gate))} ${escapeText(gate.title)}`];
  for (const { level, subjects, message, fix } of fold(gate.findings)) {
    lines.push(...hang('      ', `${level}: ${subjectsText(subjects)}: ${message}`, WIDTH));
    if (subjects.length > 1) lines.push(...hang('        ', few(subjectNames(subjects)), WIDTH));
    if (fix !== undefined) lines.push(...hang('        ', `-> ${fix}`, WIDTH).map(painter.faint));
  }
  if (gate.verdict !== 'pass') lines.push(...hang('      -> ', escapeText(gate.hint), WIDTH).map(painter.faint));
  return lines;
}

function brokenLines({ broken }: Verification, painter: Painter): string[] {
  if (broken.length === 0) return [];
  const lines = broken.map(({ service, nodes }) => `  ${escapeText(`${service} on ${few(nodes)}`)}`);
  return [painter.strong('broken Services'), ...lines, ''];
}

function verdictLine({ verdict, nodes, broken }: Verification, painter: Painter): string {
  const of = (wanted: NodeVerification['verdict']) => nodes.filter(n => n.verdict === wanted).length;
  const figures = `${count(nodes.length, 'node')}: ${of('pass')} well, ${of('fail')} with errors, ${of('inconclusive')} inconclusive`;
  switch (verdict) {
    case 'pass':
      return painter.good(`verified: ${figures}`);
    case 'fail':
      return painter.bad(`not as it should be: ${figures}, ${count(broken.length, 'broken Service')}`);
    case 'inconclusive':
      return painter.doubt(`inconclusive: ${figures}`);
  }
}
