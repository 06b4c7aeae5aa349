// Nothing that comes from a cluster steers a terminal, whichever renderer it goes through.
import { readdirSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { WriteStream } from 'node:tty';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RunEvent } from '../../src/core/journal.ts';
import { demoSummary } from '../../src/report/demo-text.ts';
import { lastEscape } from '../../src/report/escape.ts';
import { inventoryText } from '../../src/report/inventory-text.ts';
import { outsideLines } from '../../src/report/outside-text.ts';
import { makePainter, type Painter } from '../../src/report/paint.ts';
import { planText } from '../../src/report/plan-text.ts';
import { preflightJson } from '../../src/report/preflight-json.ts';
import { preflightJunit } from '../../src/report/preflight-junit.ts';
import { preflightText } from '../../src/report/preflight-text.ts';
import { showProgress } from '../../src/report/progress.ts';
import { eventLine, summaryText } from '../../src/report/run-text.ts';
import { statusText } from '../../src/report/status-text.ts';
import { traceText } from '../../src/report/trace-text.ts';
import { nodeLine, roundText, verifyText } from '../../src/report/verify-text.ts';
import { hostile, poisoned, unsafeIn, withoutColours } from './hostile.ts';
import { EXAMPLES } from './hostile-data.ts';

const { demo, events, found, inventory, plan, playbook, report, status, trace } = EXAMPLES;

/** By file of src/report: each of its renderers, over data that the hostile text was put into. */
const TEXT: Record<string, (text: string, painter: Painter) => string> = {
  'demo-text.ts': (text, painter) => demoSummary(poisoned(demo, text), painter),
  'inventory-text.ts': text => inventoryText(poisoned(inventory, text)),
  'outside-text.ts': text => outsideLines(poisoned(playbook, text), 80).join('\n'),
  'plan-text.ts': (text, paint) => planText(poisoned(plan, text), { paint }),
  'preflight-junit.ts': text => preflightJunit(poisoned(report, text)),
  'preflight-json.ts': text => preflightJson(poisoned(report, text)),
  'preflight-text.ts': (text, painter) => preflightText(poisoned(report, text), painter),
  'progress.ts': text => linesOfProgress(poisoned(events, text)),
  'run-text.ts': text =>
    [summaryText(poisoned(events, text), text), ...poisoned(events, text).map(eventLine)].join('\n'),
  'status-text.ts': (text, painter) => statusText(poisoned(status, text), { painter, now: new Date(0) }),
  'trace-text.ts': (text, painter) => traceText(poisoned(trace, text), { painter }),
  'verify-text.ts': (text, painter) =>
    [
      verifyText(poisoned(found, text), painter),
      roundText({ ...poisoned(found, text), verdict: 'pass' }, painter),
      ...poisoned(found.nodes, text).map(n => nodeLine(n, painter)),
    ].join('\n'),
};
/** They are given parts of the above, are the escaping itself, or hold our own words alone. */
const HELPERS = ['escape.ts', 'exit-codes.ts', 'layout.ts', 'paint.ts', 'run-reading.ts'];

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
