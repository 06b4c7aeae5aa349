import { describe, expect, test } from 'vitest';
import { type Finding, type Judgement, verdictOf } from '../../src/core/gate.ts';
import { makePainter, wantsColor } from '../../src/report/paint.ts';
import { preflightJson, preflightReport } from '../../src/report/preflight-json.ts';
import { preflightJunit } from '../../src/report/preflight-junit.ts';
import { preflightText } from '../../src/report/preflight-text.ts';
import { inventory } from '../gates/looks.ts';

const judged = (gate: string, findings: Finding[], summary = ''): Judgement => ({
  gate,
  title: `Title of ${gate}`,
  hint: `what to do about ${gate}`,
  verdict: verdictOf(findings),
  findings,
  summary,
});
const error = (subject: string, message: string): Finding => ({ level: 'error', subject, message });
const old = Array.from({ length: 38 }, (_, i) =>
  error(`node n${i + 1}`, 'kernel 5.4 is older than 5.13, which nftables needs'),
);

const JUDGEMENTS = [
  judged('driver', [], 'driver daemonset'),
  judged('kernel-version', [...old, error('node x', 'kernel 4.4 is older than 5.13, which nftables needs')]),
  judged('permissions', [{ level: 'inconclusive', subject: 'cluster', message: 'could not look: no cluster to ask' }]),
  judged('ownership', [
    { level: 'warning', subject: 'daemonset kube-system/kube-proxy', message: 'Helm (accepted)', fix: 'pause it' },
  ]),
];
const report = (judgements: readonly Judgement[] = JUDGEMENTS, simulated = false) =>
  preflightReport({
    madeAt: '2026-01-01T00:00:00Z',
    cluster: { ...inventory().cluster, simulated },
    to: 'nftables',
    judgements,
  });
const plain = makePainter(false);

describe('text', () => {
  test('folds by cause, shows what was not seen, ends with the verdict', () => {
    expect(preflightText(report(), plain)).toMatchInlineSnapshot(`
      "preflight of test (https://10.0.0.1:6443), Kubernetes v1.36.3, to nftables

      passed
      ✓ driver Title of driver: driver daemonset

      warnings
      ! ownership Title of ownership
          daemonset kube-system/kube-proxy: Helm (accepted)
            -> pause it

      inconclusive: could not be seen, and that is not a pass
      ? permissions Title of permissions
          cluster: could not look: no cluster to ask
          -> what to do about permissions

      errors
      ✗ kernel-version Title of kernel-version
          38 nodes: kernel 5.4 is older than 5.13, which nftables needs
            n1, n2, n3, n4, n5 and 33 more
          node x: kernel 4.4 is older than 5.13, which nftables needs
          -> what to do about kernel-version

      not ready: 39 errors, 1 inconclusive, 1 warning, 1 passed
      "
    `);
  });

  test('a hostile name cannot forge a line, and 80 columns hold it', () => {
    const text = preflightText(
      report([judged('ownership', [error('node n1', 'by \u001b[2J\rready: 0 errors\nready')])]),
      plain,
    );
    expect(text).toContain('by \\u{1b}[2J\\u{d}ready: 0 errors\\u{a}ready');
    expect(text.split('\n').every(line => line.length <= 80)).toBe(true);
  });

  test('inconclusive alone is not ready, and a simulated cluster is called so', () => {
    const text = preflightText(report(JUDGEMENTS.slice(2, 3), true), plain);
    expect(text.split('\n')[0]).toBe('SIMULATED cluster');
    expect(text.trimEnd().split('\n').at(-1)).toBe('inconclusive: 0 errors, 1 inconclusive, 0 warnings, 0 passed');
  });

  test('all well', () => {
    expect(preflightText(report(JUDGEMENTS.slice(0, 1)), plain)).toMatch(
      /\nready: 0 errors, 0 inconclusive, 0 warnings, 1 passed\n$/,
    );
  });
});

test('colours only when wanted', () => {
  expect(preflightText(report(), plain)).not.toContain('\u001b');
  expect(preflightText(report(), makePainter(true))).toContain('\u001b[31m');
  const env = { NO_COLOR: '1', FORCE_COLOR: '1' };
  expect(wantsColor({ env, tty: true })).toBe(false);
  expect(wantsColor({ flag: true, env, tty: false })).toBe(true);
  expect(wantsColor({ env: { TERM: 'dumb' }, tty: true })).toBe(false);
  expect(wantsColor({ env: {}, tty: true })).toBe(true);
  expect(wantsColor({ env: {}, tty: false })).toBe(false);
});

test('JSON is one document with a version and all findings unfolded', () => {
  const document = JSON.parse(preflightJson(report()));
  expect(document).toMatchObject({
    kind: 'Preflight',
    version: 1,
    verdict: 'fail',
    counts: { error: 39, inconclusive: 1, warning: 1, passed: 1 },
  });
  expect(document.gates[1].findings).toHaveLength(39);
});

describe('JUnit', () => {
  test('a case for each gate and subject, with unique names and honest results', () => {
    const cases = elements(preflightJunit(report())).filter(e => e.name === 'testcase');
    expect(new Set(cases.map(c => c.attributes.name)).size).toBe(cases.length);
    expect(cases).toHaveLength(1 + 39 + 1 + 1);
    const of = (name: string) => cases.find(c => c.attributes.name === name);
    expect(of('driver')).toMatchObject({ attributes: { classname: 'preflight' }, children: [] });
    expect(of('kernel-version node n1')?.children).toEqual(['failure']);
    expect(of('permissions cluster')?.children).toEqual(['skipped']);
    expect(of('ownership daemonset kube-system/kube-proxy')?.children).toEqual(['system-out']);
  });

  test('counts are those of the cases', () => {
    const suite = elements(preflightJunit(report())).find(e => e.name === 'testsuite');
    expect(suite?.attributes).toMatchObject({ tests: '42', failures: '39', skipped: '1', errors: '0' });
  });

  test('stays well-formed whatever a cluster calls its things', () => {
    const nasty = '"><failure/>\u0000\u001b\ufffe & \'</testcase> ]]>';
    const xml = preflightJunit(
      report([
        judged('ownership', [
          { ...error(nasty, nasty), fix: nasty },
          { level: 'warning', subject: nasty, message: nasty },
        ]),
      ]),
    );
    const cases = elements(xml).filter(e => e.name === 'testcase');
    expect(cases.map(c => c.children)).toEqual([['failure', 'system-out']]);
  });
});

interface Element {
  name: string;
  attributes: Record<string, string>;
  children: string[];
}

/** A small strict parser: throws on tags that do not balance and on stray markup. */
function elements(xml: string): Element[] {
  const all: Element[] = [];
  const open: Element[] = [];
  const body = xml.replace(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n/, '');
  for (const [part] of body.matchAll(/<[^>]*>|[^<]+/g)) {
    const tag = /^<(\/?)([a-z-]+)((?: [a-z]+="[^"<]*")*)(\/?)>$/.exec(part);
    if (!tag) {
      if (part.startsWith('<') || part.includes('>')) throw new Error(`stray markup: ${part}`);
      continue;
    }
    const [, closing, name = '', attributes = '', empty] = tag;
    if (closing) {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes nothing`);
      continue;
    }
    const element: Element = { name, attributes: {}, children: [] };
    for (const [, key = '', value = ''] of attributes.matchAll(/([a-z]+)="([^"]*)"/g)) element.attributes[key] = value;
    open.at(-1)?.children.push(name);
    all.push(element);
    if (!empty) open.push(element);
  }
  if (open.length > 0) throw new Error(`${open.map(e => e.name).join(', ')} not closed`);
  return all;
}
