import { describe, expect, test } from 'vitest';
import type { NewEvent, RunEvent } from '../../src/core/journal.ts';
import { inventoryText } from '../../src/report/inventory-text.ts';
import { eventLine, summaryText } from '../../src/report/run-text.ts';
import { inventory, nodeFacts } from '../gates/looks.ts';

const cluster = inventory().cluster;

/** Events ten seconds apart. */
const journal = (...events: NewEvent[]): RunEvent[] =>
  events.map((event, i) => ({
    ...event,
    t: new Date(Date.parse('2026-01-01T00:00:00Z') + i * 10_000).toISOString(),
    run: 'r1',
  }));

const opened = (action: 'migrate' | 'rollback' | 'finalize' = 'migrate'): NewEvent => ({
  event: 'run-opened',
  v: 1,
  action,
  cluster,
  to: action === 'migrate' ? 'nftables' : null,
  epoch: 1,
  batches: [
    { id: 'batch-1', nodes: ['n1'], services: 4 },
    { id: 'batch-2', nodes: ['n2', 'n3'], services: 9 },
  ],
});
const done = (node: string, batch: string, failed = 0): NewEvent => ({
  event: 'node-done',
  batch,
  node,
  mode: 'nftables',
  seconds: 8,
  proxySeconds: 2.5,
  attempts: 1200,
  failed,
});
const red: NewEvent = {
  event: 'gate-judged',
  gate: 'service-probes',
  moment: 'prove',
  node: 'n2',
  verdict: 'fail',
  findings: [
    { level: 'error', subject: 'service shop/web', message: 'timeout, 2 times in a row' },
    { level: 'error', subject: 'service shop/db', message: 'timeout, 2 times in a row' },
    { level: 'warning', subject: 'service shop/old', message: 'was failing before' },
  ],
  summary: '',
};
const HALTED = journal(
  opened(),
  { event: 'batch-started', batch: 'batch-1' },
  { event: 'step-intended', batch: 'batch-1', node: 'n1', step: 'warm', to: 'nftables' },
  { event: 'step-done', batch: 'batch-1', node: 'n1', step: 'warm', seconds: 1 },
  done('n1', 'batch-1'),
  { event: 'batch-done', batch: 'batch-1', exposed: 4 },
  { event: 'batch-started', batch: 'batch-2' },
  red,
  { event: 'node-back', batch: 'batch-2', node: 'n2', mode: 'iptables' },
  {
    event: 'run-closed',
    outcome: 'halted',
    reason: 'service-probes: shop/web',
    next: "'proxyctl rollback' puts everything back",
  },
);

const summary = (events: readonly RunEvent[]) => summaryText(events, '/home/jane/events.jsonl');

describe('summary', () => {
  test('of a halted run', () => {
    expect(summary(HALTED)).toMatchInlineSnapshot(`
      "migrate to nftables of test: halted
        reason      service-probes: shop/web
        batches     1 of 2 done, batch-2 under way
        Services    4 exposed when it stopped, and up to 9 more by the open batch
        nodes       1 flipped, 1 returned
        probed      0 of 1,200 connections failed, in flips that were done
        gate        service-probes on n2 (prove), fail: 2 services (shop/web, shop/db)
                    timeout, 2 times in a row
        time        1 min 30 s, of it 2.5 s kube-proxy's own stopping and starting
        next        'proxyctl rollback' puts everything back
        journal     /home/jane/events.jsonl
      "
    `);
  });

  test('of the rollback after it: the nodes are back, and the time between the two is nobody’s', () => {
    const [close] = journal({ event: 'run-closed', outcome: 'rolled back', reason: 'all back', next: '' });
    const later = journal(
      opened('rollback'),
      { event: 'node-back', batch: 'batch-1', node: 'n1', mode: 'iptables' },
      { event: 'node-restarted', batch: 'batch-1', node: 'n1', mode: 'iptables', seconds: 3, proxySeconds: 1.5 },
    ).map(e => ({
      ...e,
      t: e.t.replace('2026-01-01', '2026-01-02'),
    }));
    const text = summary([...HALTED, ...later, ...(close ? [{ ...close, t: '2026-01-02T00:00:20Z' }] : [])]);
    expect(text).toMatch(/^rollback of test: rolled back$/m);
    expect(text).toMatch(/nodes +0 flipped, 2 returned/);
    expect(text).toMatch(/Services +none exposed any more/);
    expect(text).toMatch(/time +1 min 50 s, of it 4 s kube-proxy's own/);
    expect(text).toMatch(/next +nothing/);
  });

  test('names the nodes that alone exposed more than the cap', () => {
    const batches = [{ id: 'batch-1', nodes: ['n1'], services: 4, overCap: true }];
    expect(summary(journal(opened(), { event: 'replanned', why: 'x', batches }))).toMatch(/over cap +n1 \(4 alone\)/);
    expect(summary(HALTED)).not.toContain('over cap');
  });

  test('of a finalize: who was handed back, and no counts of what it does not do', () => {
    const back: NewEvent = { event: 'node-back', batch: 'batch-1', node: 'n1', mode: 'nftables' };
    const closed: NewEvent = { event: 'run-closed', outcome: 'done', reason: 'its own now', next: '' };
    const text = summary(journal(opened('finalize'), back, closed));
    expect(text).toMatch(/nodes +1 handed back to the original DaemonSet/);
    expect(text).not.toMatch(/probed|Services|batches/);
  });

  test('of a rehearsed way back, proven and not', () => {
    const at = { batch: 'batch-1', node: 'n1' };
    const begun = journal(opened(), done('n1', 'batch-1'), { event: 'rehearsal-started', ...at });
    expect(summary(begun)).toMatch(/way back +not proven on n1/);
    const proven = journal(
      opened(),
      done('n1', 'batch-1'),
      { event: 'rehearsal-started', ...at },
      { event: 'node-back', ...at, mode: 'iptables' },
      { event: 'rehearsal-done', ...at, seconds: 61 },
    );
    expect(summary(proven)).toMatch(/way back +proven on n1, in 1 min 1 s/);
    expect(proven.map(eventLine).slice(-3)).toEqual([
      '2026-01-01T00:00:20Z batch-1 n1: goes back, to prove the way back before any other node',
      '2026-01-01T00:00:30Z batch-1 n1: back in mode iptables',
      '2026-01-01T00:00:40Z batch-1 n1: the way back is proven, in 1 min 1 s',
    ]);
    expect(summary(HALTED)).not.toContain('way back');
  });

  test('of a journal that stops in the middle says so', () => {
    const text = summary(HALTED.slice(0, 5));
    expect(text).toMatch(/ended without a last word/);
    expect(text).toMatch(/batches +0 of 2 done, batch-1 under way/);
    expect(text).toMatch(/and up to 4 more by the open batch/);
    expect(text).toMatch(/next +'proxyctl status'/);
  });

  test('failed connections are counted with a separator', () => {
    expect(summary(journal(opened(), done('n1', 'batch-1', 3), done('n2', 'batch-2')))).toMatch(
      /3 of 2,400 connections failed/,
    );
  });

  test('of nothing', () => {
    expect(summary([])).toBe('the journal holds no run\n');
  });
});

describe('event lines', () => {
  test('one for each change of state, with its time', () => {
    const lines = HALTED.map(eventLine).filter(line => line !== undefined);
    expect(lines).toHaveLength(HALTED.length - 1);
    expect(lines[0]).toBe(
      '2026-01-01T00:00:00Z migrate to nftables of test (https://10.0.0.1:6443): 2 batches, 3 nodes, run r1',
    );
    expect(lines[3]).toBe('2026-01-01T00:00:40Z batch-1 n1: in mode nftables after 8 s, 0 of 1,200 connections failed');
    expect(lines[6]).toMatch(
      /gate service-probes on n2 \(prove\) fails: 2 services \(shop\/web, shop\/db\) timeout, 2 times in a row$/,
    );
  });

  test('a pass without findings is silent, one with warnings is not', () => {
    const [pass, warned] = journal(
      { ...red, verdict: 'pass', findings: [] },
      { ...red, verdict: 'pass', findings: red.findings.slice(2) },
    );
    expect(pass && eventLine(pass)).toBeUndefined();
    expect(warned && eventLine(warned)).toMatch(/passes with warnings: service shop\/old was failing before$/);
  });

  test('text of a cluster stays on its line', () => {
    const [event] = journal({ event: 'note', text: 'a\n2026-01-01T00:00:00Z done: forged\u001b[0m' });
    expect(event && eventLine(event)).toBe('2026-01-01T00:00:00Z a\\u{a}2026-01-01T00:00:00Z done: forged\\u{1b}[0m');
  });
});

test('an inventory folds nodes and escapes what it names', () => {
  const nodes = [
    ...Array.from({ length: 300 }, (_, i) => nodeFacts(`n${i}`, { zone: `z${i % 2}` })),
    nodeFacts('odd', { mode: 'ipvs', ready: false, osImage: 'evil\u001b]0;' }),
  ];
  const text = inventoryText({ ...inventory({ nodes }), proxy: { ...inventory().proxy, owners: ['Helm'] } });
  expect(text).toMatch(/nodes +300 nodes iptables, 1 node ipvs\n/);
  expect(text).toMatch(/by zone +150 z0, 150 z1, 1 no zone/);
  expect(text).toMatch(/not Ready +odd/);
  expect(text).toMatch(/owner +Helm/);
  expect(text).toContain('evil\\u{1b}]0;');
  expect(text.split('\n').length).toBeLessThan(20);
});
