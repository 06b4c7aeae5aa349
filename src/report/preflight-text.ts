import type { Finding, Judgement } from '../core/gate.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { fold, hang, subjectNames, subjectsText, wrap } from './layout.ts';
import { type Painter, sign } from './paint.ts';
import type { PreflightReport } from './preflight-json.ts';

const WIDTH = 80;

/** Worst last, where the eye is when the printing stops. */
const GROUPS = [
  ['passed', 'pass'],
  ['warnings', 'warning'],
  ['inconclusive: could not be seen, and that is not a pass', 'inconclusive'],
  ['errors', 'error'],
] as const;

/** For people, at most 80 columns where words allow it; the last line is the verdict. */
export function preflightText(report: PreflightReport, painter: Painter): string {
  const { cluster, to } = report;
  const lines: string[] = [];
  if (cluster.simulated) lines.push(painter.doubt('SIMULATED cluster'));
  const where = `${cluster.context} (${cluster.server}), Kubernetes ${cluster.kubernetes}, to ${to}`;
  lines.push(...wrap(escapeText(`${report.moment} of ${where}`), WIDTH));
  for (const [title, level] of GROUPS) {
    const members = report.gates.filter(g => worst(g) === level);
    if (members.length === 0) continue;
    lines.push('', painter.strong(title));
    for (const gate of members) lines.push(...gateLines(gate, painter));
  }
  lines.push('', verdictLine(report, painter));
  return `${lines.join('\n')}\n`;
}

function worst({ findings }: Judgement): Finding['level'] | 'pass' {
  return (['error', 'inconclusive', 'warning'] as const).find(level => findings.some(f => f.level === level)) ?? 'pass';
}

function gateLines(gate: Judgement, painter: Painter): string[] {
  const level = worst(gate);
  const id = escapeText(gate.gate);
  const head = `${sign(level, painter)} ${painter.strong(id)} `;
  const plain = `  ${id} `;
  const title = hang(' '.repeat(plain.length), escapeText(level === 'pass' ? passed(gate) : gate.title), WIDTH);
  const lines = title.map((line, i) => (i === 0 ? head + line.slice(plain.length) : `    ${line.trimStart()}`));
  for (const folded of fold(gate.findings)) {
    const mark = folded.level === level ? '' : `${folded.level}: `;
    lines.push(...hang('    ', `${mark}${subjectsText(folded.subjects)}: ${folded.message}`, WIDTH));
    if (folded.subjects.length > 1) lines.push(...hang('      ', few(subjectNames(folded.subjects)), WIDTH));
    if (folded.fix !== undefined) lines.push(...hang('      ', `-> ${folded.fix}`, WIDTH).map(painter.faint));
  }
  if (level === 'error' || level === 'inconclusive')
    lines.push(...hang('    -> ', escapeText(gate.hint), WIDTH).map(painter.faint));
  return lines;
}

function passed({ title, summary }: Judgement): string {
  return summary === '' ? title : `${title}: ${summary}`;
}

function verdictLine({ counts, verdict }: PreflightReport, painter: Painter): string {
  const parts = [count(counts.error, 'error'), `${counts.inconclusive} inconclusive`, count(counts.warning, 'warning')];
  const figures = `${parts.join(', ')}, ${counts.passed} passed`;
  switch (verdict) {
    case 'pass':
      return painter.good(`ready: ${figures}`);
    case 'fail':
      return painter.bad(`not ready: ${figures}`);
    case 'inconclusive':
      return painter.doubt(`inconclusive: ${figures}`);
  }
}
