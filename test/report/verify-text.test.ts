import { describe, expect, test } from 'vitest';
import type { Finding, Judgement } from '../../src/core/gate.ts';
import { verdictOf } from '../../src/core/gate.ts';
import { type Verified, verification } from '../../src/core/verification.ts';
import { makePainter } from '../../src/report/paint.ts';
import { nodeLine, roundText, verifyText } from '../../src/report/verify-text.ts';
import { inventory } from '../gates/looks.ts';

const plain = makePainter(false);
const gate = (id: string, findings: Finding[] = [], summary = ''): Judgement => ({
  gate: id,
  title: `title of ${id}`,
  hint: `hint of ${id}`,
  verdict: verdictOf(findings),
  findings,
  summary,
});
const rules = gate('kernel-rules', [], '39 Service ports in iptables rules as the API says');
const broken = (service: string, message = 'has no rule'): Judgement =>
  gate('kernel-rules', [{ level: 'error', subject: `service ${service}`, message }]);
const unseen = gate('watchers', [{ level: 'inconclusive', subject: 'node n2', message: 'is not Ready' }]);

const found = (nodes: Verified['nodes'], over: Partial<Verified> = {}) =>
  verification({
    madeAt: '2026-01-01T12:00:00Z',
    cluster: inventory().cluster,
    gates: [],
    notProbed: [],
    nodes,
    ...over,
  });
const node = (name: string, ...gates: Judgement[]) => ({ name, mode: 'iptables' as const, gates });

describe('the verdict', () => {
  test.each([
    ['every node well', found([node('n1', rules), node('n2', rules)]), 'pass'],
    ['one error', found([node('n1', broken('shop/web')), node('n2', unseen)]), 'fail'],
    ['one not seen', found([node('n1', rules), node('n2', unseen)]), 'inconclusive'],
    ['an error of the whole cluster', found([node('n1', rules)], { gates: [broken('x/y')] }), 'fail'],
    ['no node at all', found([]), 'inconclusive'],
  ])('%s', (_, { verdict }, expected) => expect(verdict).toBe(expected));

  test('names each broken Service with its nodes', () => {
    const nodes = [node('n1', broken('shop/web'), broken('a/b')), node('n2', broken('shop/web'), broken('shop/web'))];
    expect(found(nodes).broken).toEqual([
      { service: 'a/b', nodes: ['n1'] },
      { service: 'shop/web', nodes: ['n1', 'n2'] },
    ]);
  });
});

describe('the text', () => {
  test('says what was compared, what is open, what is broken, and the verdict last', () => {
    const text = verifyText(
      found([node('n1', rules, gate('conntrack')), node('n2', broken('shop/web'))], { notProbed: ['a/b'] }),
      plain,
    );
    expect(text).toMatch(
      /✓ n1 \(iptables\): 39 Service ports in iptables rules as the API says; 2 of 2\n {2}gates without a finding/,
    );
    expect(text).toContain('      error: service shop/web: has no rule\n      -> hint of kernel-rules');
    expect(text).toContain('1 Service not probed');
    expect(text).toContain('broken Services\n  shop/web on n2\n');
    expect(text.trimEnd().split('\n').at(-1)).toBe(
      'not as it should be: 2 nodes: 1 well, 1 with errors, 0 inconclusive, 1 broken Service',
    );
    expect(verifyText(found([node('n1', rules)]), plain)).toContain('verified: 1 node: 1 well');
    expect(verifyText(found([node('n2', unseen)]), plain)).toContain(
      'inconclusive: 1 node: 0 well, 0 with errors, 1 inconclusive',
    );
  });

  test('lets nothing of the cluster reach the terminal raw', () => {
    const evil = 'x\u001b[2Jy';
    const nodes = [node(evil, broken(`shop/${evil}`, evil))];
    const text = verifyText(found(nodes, { notProbed: [evil] }), plain) + nodeLine(node(evil, broken('a/b')), plain);
    expect(text).not.toContain('\u001b');
    expect(text).toContain('x');
  });

  test('of a round that is well is a line; of any other all is said', () => {
    const well = roundText(found([node('n1', rules)], { round: 3 }), plain);
    expect(well).toBe('2026-01-01T12:00:00Z round 3: verified: 1 node: 1 well, 0 with errors, 0 inconclusive\n');
    const bad = found([node('n1', broken('a/b'))], { round: 4 });
    expect(roundText(bad, plain)).toBe(`2026-01-01T12:00:00Z round 4\n${verifyText(bad, plain)}`);
  });

  test('has a line for each node as it is done', () => {
    expect(nodeLine(node('n1', rules, gate('conntrack')), plain)).toBe('✓ n1 (iptables): 2 gates passed');
    expect(nodeLine(node('n1', unseen, broken('a/b')), plain)).toBe('✗ n1 (iptables): watchers, kernel-rules');
    expect(nodeLine(node('n1', unseen), plain)).toBe('? n1 (iptables): watchers');
  });
});
