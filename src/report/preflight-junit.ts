// JUnit XML as GitLab, Jenkins and GitHub actions read it: a name is counted once, so each is unique.
import type { Finding, Judgement } from '../core/gate.ts';
import { escapeXml } from './escape.ts';
import type { PreflightReport } from './preflight-json.ts';

interface Case {
  readonly name: string;
  /** Worst first: a case has one result. */
  readonly findings: readonly Finding[];
  readonly gate: Judgement;
}

/** One test suite; a test case for each gate and subject, or for the gate where it found nothing. */
export function preflightJunit(report: PreflightReport): string {
  const cases = report.gates.flatMap(casesOf);
  const failures = cases.filter(c => has(c, 'error')).length;
  const skipped = cases.filter(c => !has(c, 'error') && has(c, 'inconclusive')).length;
  const figures = `tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}"`;
  const name = escapeXml(`proxyctl ${report.moment}${report.cluster.simulated ? ' SIMULATED' : ''}`);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${name}" ${figures}>`,
    `  <testsuite name="${name}" ${figures} timestamp="${escapeXml(report.madeAt)}">`,
    ...cases.flatMap(c => caseLines(c, report.moment)),
    '  </testsuite>',
    '</testsuites>',
  ];
  return `${lines.join('\n')}\n`;
}

function casesOf(gate: Judgement): Case[] {
  if (gate.findings.length === 0) return [{ name: gate.gate, findings: [], gate }];
  const bySubject = Map.groupBy(gate.findings, f => f.subject);
  return [...bySubject].map(([subject, findings]) => ({ name: `${gate.gate} ${subject}`, findings, gate }));
}

function has(test: Case, level: Finding['level']): boolean {
  return test.findings.some(f => f.level === level);
}

function caseLines(test: Case, moment: string): string[] {
  const open = `    <testcase name="${escapeXml(test.name)}" classname="${escapeXml(moment)}"`;
  const inner: string[] = [];
  const errors = messages(test, 'error');
  const unseen = messages(test, 'inconclusive');
  const warnings = messages(test, 'warning');
  if (errors.length > 0) {
    const fixes = test.findings.flatMap(f => (f.level === 'error' && f.fix !== undefined ? [f.fix] : []));
    // GitLab has ignored the attribute at times, so the body says it again.
    const body = [test.gate.title, ...errors, ...unseen, ...fixes, test.gate.hint].map(escapeXml).join('\n');
    inner.push(
      `      <failure message="${escapeXml(errors.join('; '))}" type="${escapeXml(test.gate.gate)}">${body}</failure>`,
    );
  } else if (unseen.length > 0) {
    inner.push(`      <skipped message="${escapeXml(`inconclusive: ${unseen.join('; ')}`)}"/>`);
  }
  if (warnings.length > 0)
    inner.push(`      <system-out>${warnings.map(w => escapeXml(`warning: ${w}`)).join('\n')}</system-out>`);
  return inner.length === 0 ? [`${open}/>`] : [`${open}>`, ...inner, '    </testcase>'];
}

function messages(test: Case, level: Finding['level']): string[] {
  return test.findings.filter(f => f.level === level).map(f => f.message);
}
