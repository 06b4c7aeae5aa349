import { PassThrough } from 'node:stream';
import { WriteStream } from 'node:tty';
import { expect, test } from 'vitest';
import type { Journal, NewEvent, RunEvent } from '../../src/core/journal.ts';
import { showProgress } from '../../src/report/progress.ts';
import { inventory } from '../gates/looks.ts';

function memoryJournal(): Journal {
  const listeners: ((event: RunEvent) => void)[] = [];
  return {
    run: 'r1',
    append: event => {
      for (const listener of listeners) listener({ ...event, t: '2026-01-01T00:00:00.000Z', run: 'r1' });
    },
    subscribe: listener => void listeners.push(listener),
  };
}

/** A stream that remembers, 80 columns wide, with the face of a terminal's. */
function screen(): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const sink = new PassThrough().on('data', chunk => {
    text += String(chunk);
  });
  const stream: NodeJS.WriteStream = Object.assign(Object.create(WriteStream.prototype), {
    columns: 80,
    rows: 24,
    isTTY: true,
  });
  Object.assign(stream, { write: sink.write.bind(sink) });
  return { stream, text: () => text };
}

const opened: NewEvent = {
  event: 'run-opened',
  v: 1,
  action: 'migrate',
  cluster: { ...inventory().cluster, simulated: true },
  to: 'nftables',
  epoch: 1,
  batches: Array.from({ length: 6 }, (_, i) => ({ id: `batch-${i + 1}`, nodes: [`n${i + 1}`], services: i })),
};
const flip = (i: number): NewEvent[] => [
  { event: 'batch-started', batch: `batch-${i}` },
  { event: 'step-intended', batch: `batch-${i}`, node: `n${i}`, step: 'warm', to: 'nftables' },
  {
    event: 'node-done',
    batch: `batch-${i}`,
    node: `n${i}`,
    mode: 'nftables',
    seconds: 1,
    proxySeconds: 1,
    attempts: 1,
    failed: 0,
  },
  { event: 'batch-done', batch: `batch-${i}`, exposed: i },
];

test('without a terminal: plain lines, and none after stop', async () => {
  const journal = memoryJournal();
  const { stream, text } = screen();
  const progress = showProgress(journal, { stream, tty: false, color: false });
  for (const event of [opened, ...flip(1)]) journal.append(event);
  await progress.stop();
  journal.append({ event: 'note', text: 'late' });
  expect(text().split('\n')).toHaveLength(6);
  expect(text()).toMatch(/^2026-01-01T00:00:00Z SIMULATED migrate to nftables of test/);
  expect(text()).not.toContain('\u001b');
});

test('on a terminal: a row a batch, and the end says how each ended', async () => {
  const journal = memoryJournal();
  const { stream, text } = screen();
  const progress = showProgress(journal, { stream, tty: true, color: false });
  for (const event of [opened, ...flip(1), ...flip(2).slice(0, 2)]) journal.append(event);
  journal.append({ event: 'run-closed', outcome: 'halted', reason: 'gate \u001b[31mred', next: '' });
  await progress.stop();
  const last = text().slice(text().lastIndexOf('SIMULATED'));
  expect(last).toMatch(/batch-1 \(1 of 6\): 1 node, 0 new Services, 1 done/);
  expect(last).toMatch(/batch-2 \(2 of 6\): 1 node, 1 new Service: halted, gate \\u\{1b\}\[31mred/);
  expect(last).toMatch(/batch-3 \(3 of 6\)/);
  expect(last).not.toMatch(/batch-6/);
  expect(text()).not.toContain('\u001b[3');
});

test('a node that goes back and flips again counts once', async () => {
  const journal = memoryJournal();
  const { stream, text } = screen();
  const progress = showProgress(journal, { stream, tty: true, color: false });
  const at = { batch: 'batch-1', node: 'n1' };
  const [begin, , done, end] = flip(1);
  const back: NewEvent[] = [
    { event: 'rehearsal-started', ...at },
    { event: 'node-back', ...at, mode: 'iptables' },
    { event: 'rehearsal-done', ...at, seconds: 1 },
  ];
  for (const event of [begin, done, ...back, done, end]) if (event) journal.append(event);
  expect(text()).toBe('');
  for (const event of [opened, begin, done, ...back, done, end]) if (event) journal.append(event);
  journal.append({ event: 'run-closed', outcome: 'done', reason: 'all', next: '' });
  await progress.stop();
  expect(text().slice(text().lastIndexOf('SIMULATED'))).toMatch(/batch-1 \(1 of 6\): 1 node, 0 new Services, 1 done/);
});

test('stop without an end in the journal returns, even before the first event', async () => {
  for (const events of [[], [opened], [opened, ...flip(1).slice(0, 1)]]) {
    const journal = memoryJournal();
    const { stream } = screen();
    const progress = showProgress(journal, { stream, tty: true, color: true });
    for (const event of events) journal.append(event);
    await expect(progress.stop()).resolves.toBeUndefined();
  }
});

test('leaves signals and the stream as they were', async () => {
  const journal = memoryJournal();
  const { stream } = screen();
  const { write } = stream;
  const handlers = process.listenerCount('SIGINT');
  const progress = showProgress(journal, { stream, tty: true, color: false });
  for (const event of [opened, ...[1, 2, 3, 4, 5, 6].flatMap(flip)]) journal.append(event);
  expect(process.listenerCount('SIGINT')).toBe(handlers);
  journal.append({ event: 'run-closed', outcome: 'done', reason: 'all', next: '' });
  await progress.stop();
  expect(stream.write).toBe(write);
});
