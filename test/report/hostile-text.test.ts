// Nothing that comes from a cluster steers a terminal, whichever renderer it goes through.
import { readdirSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { WriteStream } from 'node:tty';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Judgement } from '../../src/core/gate.ts';
import type { Inventory } from '../../src/core/inventory.ts';
import type { NewEvent, RunEvent } from '../../src/core/journal.ts';
import type { Plan } from '../../src/core/plan.ts';
import { planMigration } from '../../src/core/planner.ts';
import { Playbook } from '../../src/core/playbook.ts';
import type { RunStatus } from '../../src/core/status.ts';
import { demoSummary } from '../../src/report/demo-text.ts';
import { lastEscape } from '../../src/report/escape.ts';
import { inventoryText } from '../../src/report/inventory-text.ts';
import { makePainter, type Painter } from '../../src/report/paint.ts';
import { planText } from '../../src/report/plan-text.ts';
import { preflightJson, preflightReport } from '../../src/report/preflight-json.ts';
import { preflightJunit } from '../../src/report/preflight-junit.ts';
import { preflightText } from '../../src/report/preflight-text.ts';
import { showProgress } from '../../src/report/progress.ts';
import { eventLine, summaryText } from '../../src/report/run-text.ts';
import { statusText } from '../../src/report/status-text.ts';
import { sha256 } from '../core/cluster-data.ts';
import { inventory as exampleInventory, nodeFacts } from '../gates/looks.ts';
import { hostile, poisoned, unsafeIn, withoutColours } from './hostile.ts';

const inventory: Inventory = exampleInventory({
  nodes: [nodeFacts('n1', { ready: false, label: 'none', zone: 'a' }), nodeFacts('n2', { pods: { shop: 3 } })],
});
const plan: Plan = planMigration({
  inventory: exampleInventory(),
  playbook: Playbook.parse({ title: 'title' }),
  to: 'nftables',
  driver: 'daemonset',
  madeAt: '2026-01-01T00:00:00.000Z',
  hash: sha256,
  notes: ['mode: note'],
});
const finding = { level: 'error', subject: 'node n1', message: 'is bad', fix: 'mend it' } as const;
const judgements: Judgement[] = (['fail', 'inconclusive', 'pass'] as const).map(verdict => ({
  gate: 'gate',
  title: 'title',
  hint: 'hint',
  verdict,
  summary: 'summary',
  findings: verdict === 'pass' ? [] : [{ ...finding, level: verdict === 'fail' ? 'error' : 'inconclusive' }],
}));
const at = { batch: 'b1', node: 'n1' };
const events: RunEvent[] = (
  [
    {
      event: 'run-opened',
      v: 1,
      action: 'migrate',
      cluster: inventory.cluster,
      to: 'nftables',
      epoch: 1,
      batches: [{ id: 'b1', nodes: ['n1'], services: 1 }],
    },
    { event: 'phase-started', phase: 'prepare', title: 'objects' },
    { event: 'batch-started', batch: 'b1' },
    { event: 'step-intended', ...at, step: 'warm', to: 'nftables' },
    { event: 'waiting', node: 'n1', for: 'something' },
    { event: 'waiting', for: 'something' },
    { event: 'step-failed', ...at, step: 'warm', error: 'it said no' },
    { event: 'gate-judged', gate: 'g', moment: 'prove', node: 'n1', verdict: 'fail', findings: [finding], summary: '' },
    { event: 'node-done', ...at, mode: 'nftables', seconds: 1, proxySeconds: 1, attempts: 1, failed: 0 },
    { event: 'node-back', ...at, mode: 'iptables' },
    { event: 'note', text: 'a note' },
    { event: 'run-closed', outcome: 'halted', reason: 'reason', next: 'next' },
  ] satisfies NewEvent[]
).map(event => ({ ...event, t: '2026-01-01T00:00:00.000Z', run: 'r1' }));
const status: RunStatus = {
  kind: 'RunStatus',
  version: 1,
  cluster: inventory.cluster,
  run: { id: 'r1', to: 'nftables', startedAt: '2026-01-01T00:00:00.000Z', holder: 'me' },
  nodes: [
    {
      name: 'n1',
      mode: 'iptables',
      modeSource: 'kube-proxy log',
      ready: false,
      batch: 'b1',
      from: 'iptables',
      label: 'none',
      step: 'warm',
      to: 'nftables',
      kernel: { modes: ['iptables'], unread: [], residue: ['KUBE-X'] },
      notes: [{ level: 'unfit', code: 'residue', text: 'holds something' }],
    },
    { name: 'n2', mode: 'iptables', modeSource: 'kube-proxy log', ready: true, notes: [] },
  ],
  unfit: ['n1 is odd'],
};
const report = preflightReport({
  madeAt: '2026-01-01T00:00:00.000Z',
  cluster: inventory.cluster,
  to: 'nftables',
  judgements,
});
const traffic = { attempted: 3, failed: 1, keptBroken: 0, failedByService: new Map([['shop/web', 1]]) };
const demo = { plan, there: events, back: events, traffic, broken: { service: 'shop/web', node: 'n1' } };

/** By file of src/report: each of its renderers, over data that the hostile text was put into. */
const TEXT: Record<string, (text: string, painter: Painter) => string> = {
  'demo-text.ts': (text, painter) => demoSummary(poisoned(demo, text), painter),
  'inventory-text.ts': text => inventoryText(poisoned(inventory, text)),
  'plan-text.ts': (text, paint) => planText(poisoned(plan, text), { paint }),
  'preflight-junit.ts': text => preflightJunit(poisoned(report, text)),
  'preflight-json.ts': text => preflightJson(poisoned(report, text)),
  'preflight-text.ts': (text, painter) => preflightText(poisoned(report, text), painter),
  'progress.ts': text => linesOfProgress(poisoned(events, text)),
  'run-text.ts': text => [summaryText(poisoned(events, text)), ...poisoned(events, text).map(eventLine)].join('\n'),
  'status-text.ts': (text, painter) => statusText(poisoned(status, text), { painter, now: new Date(0) }),
};
/** They are given parts of the above, or are the escaping itself. */
const HELPERS = ['escape.ts', 'layout.ts', 'paint.ts', 'run-reading.ts'];

function linesOfProgress(heard: readonly RunEvent[]): string {
  const { stream, text } = screen(false);
  play(heard, stream, false);
  return text();
}

function screen(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const sink = new PassThrough().on('data', chunk => (text += String(chunk)));
  const stream: NodeJS.WriteStream = Object.create(WriteStream.prototype);
  Object.assign(stream, { columns: 80, rows: 24, isTTY, write: sink.write.bind(sink) });
  return { stream, text: () => text };
}

function play(heard: readonly RunEvent[], stream: NodeJS.WriteStream, tty: boolean): { stop(): Promise<void> } {
  const listeners: ((event: RunEvent) => void)[] = [];
  const journal = {
    run: 'r1',
    append: () => {},
    subscribe: (listener: (event: RunEvent) => void) => void listeners.push(listener),
  };
  const progress = showProgress(journal, { stream, tty, color: true });
  for (const event of heard) for (const listener of listeners) listener(event);
  return progress;
}

test('every renderer is put to the test', () => {
  const files = readdirSync(new URL('../../src/report', import.meta.url)).filter(file => file.endsWith('.ts'));
  expect(Object.keys(TEXT).concat(HELPERS).toSorted(), 'a new file of src/report belongs into TEXT').toEqual(
    files.toSorted(),
  );
});

describe.each(Object.entries(TEXT))('%s', (file, render) => {
  test('shows hostile text as what it is, and brings nothing but line breaks', () => {
    fc.assert(
      fc.property(hostile, text => {
        expect(unsafeIn(render(text, makePainter(false)))).toEqual([]);
        expect(unsafeIn(withoutColours(render(text, makePainter(true))))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  test('keeps its lines apart from lines in hostile text', () => {
    const plain = render('', makePainter(false)).split('\n').length;
    expect(render('\n', makePainter(false)).split('\n').length).toBeLessThanOrEqual(plain + wraps(render));
  });

  test.skipIf(file.startsWith('preflight-j'))('stays short when a text is endless', () => {
    expect(render('x'.repeat(1_000_000), makePainter(false)).length).toBeLessThan(1_000_000);
  });
});

/** Lines that longer text takes by itself. */
function wraps(render: (text: string, painter: Painter) => string): number {
  const plain = render('', makePainter(false)).split('\n').length;
  return Math.max(0, render('\\u{a}', makePainter(false)).split('\n').length - plain);
}

describe('rows on a terminal', () => {
  /** Colours, and what listr2 moves the cursor with: up, to a column, erase, hide, show, wrapping. */
  const CURSOR = /\u001b\[(\d*[ABCDGJK]|\d*;?\d*H|\?25[hl]|\?7[hl]|\?2026[hl])/g;

  test.each([['\u001b]0;owned\u0007'], ['\u009b2J\u202e\u200b'], ['\r\b\u0000\u007f'], ['\u001b[2J']])(
    '%j',
    async text => {
      const { stream, text: shown } = screen(true);
      const progress = play(poisoned(events.slice(0, -1), text), stream, true);
      await sleep(450);
      await progress.stop();
      expect(shown()).toContain('b1');
      const rest = withoutColours(shown()).replace(CURSOR, '');
      expect(unsafeIn(rest.replaceAll('\r\n', '\n'))).toEqual([]);
      expect(shown()).not.toContain('\u001b[2J');
    },
  );
});

test('what was forgotten to be escaped is caught on its way out, and colours pass', () => {
  fc.assert(
    fc.property(hostile, text => {
      expect(unsafeIn(withoutColours(lastEscape(`\u001b[1mbold\u001b[22m\n${text}`)))).toEqual([]);
    }),
  );
  expect(lastEscape('\u001b[31mred\u001b[39m\n')).toBe('\u001b[31mred\u001b[39m\n');
  expect(lastEscape('\u001b[2J\u001b]0;x\u0007')).toBe('\\u{1b}[2J\\u{1b}]0;x\\u{7}');
});
