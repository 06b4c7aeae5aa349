import { describe, expect, test } from 'vitest';
import type { RunStatus, StatusNode } from '../../src/core/status.ts';
import { statusText } from '../../src/report/status-text.ts';
import { inventory } from '../gates/looks.ts';

const now = new Date('2026-01-01T12:00:00Z');
const node = (name: string, over: Partial<StatusNode> = {}): StatusNode => ({
  name,
  mode: 'iptables',
  modeSource: 'kube-proxy log',
  planned: 'iptables',
  since: '2026-01-01T10:00:00Z',
  ready: true,
  notes: [],
  ...over,
});
const base: RunStatus = {
  kind: 'RunStatus',
  version: 1,
  cluster: inventory().cluster,
  shared: 'iptables',
  nodes: [node('n1'), node('n2', { ready: false })],
  unfit: [],
};

describe('status', () => {
  test('without a run: a table of the nodes', () => {
    expect(statusText(base, { now })).toMatchInlineSnapshot(`
      "cluster     test (https://10.0.0.1:6443), Kubernetes v1.36.3
      nodes       2 iptables
      shared      kube-proxy's configuration says iptables
      not Ready   n2
      run         none

      node  planned   effective  since  residue        note
      n1    iptables  iptables   2 h    not looked at
      n2    iptables  iptables   2 h    not looked at
      "
    `);
  });

  test('in a run: the batches in their order, whatever the names of their nodes', () => {
    const run: RunStatus['run'] = { id: 'r1', to: 'nftables', startedAt: '2026-01-01T00:00:00Z', holder: '' };
    const nodes = [node('a', { batch: 'batch-10' }), node('b', { batch: 'batch-2' }), node('c', { batch: 'batch-1' })];
    expect(statusText({ ...base, run, nodes }, { now }).match(/^batch-\d+/gm)).toEqual([
      'batch-1',
      'batch-2',
      'batch-10',
    ]);
  });

  test('says how it stands with the way back', () => {
    const run = { id: 'r1', to: 'nftables' as const, startedAt: '2026-01-01T00:00:00Z', holder: '' };
    const textOf = (rehearsal: { node: string; provenAt?: string }) =>
      statusText({ ...base, run: { ...run, rehearsal } }, { now });
    expect(textOf({ node: 'n1' })).toMatch(/^way back +not proven yet; rehearsed on n1 before the next batch$/m);
    expect(textOf({ node: 'n1', provenAt: '2026-01-01T01:00:00Z' })).toMatch(
      /^way back +proven on n1 at 2026-01-01T01:00:00Z$/m,
    );
  });

  test('in a run: batch by batch, what does not fit first in the table and by name below', () => {
    const flipped = node('n1', {
      mode: 'nftables',
      planned: 'nftables',
      batch: 'batch-1',
      label: 'nftables',
      step: 'done',
      from: 'iptables',
      to: 'nftables',
      kernel: { modes: ['nftables'], unread: [], residue: ['nat/KUBE-SVC-1', 'nat/KUBE-SEP-1'] },
    });
    const between = node('n2', {
      batch: 'batch-1',
      label: 'none',
      step: 'release',
      from: 'iptables',
      to: 'nftables',
      notes: [{ level: 'unfit', code: 'between-modes', text: 'is between two modes' }],
    });
    const run = { id: 'r1', to: 'nftables' as const, startedAt: '2026-01-01T00:00:00Z', holder: '' };
    const text = statusText(
      {
        ...base,
        run,
        nodes: [flipped, between, node('n3', { batch: 'batch-2' }), node('w\u001b')],
        unfit: ['n2 \u001b is between two modes'],
      },
      { now },
    );
    expect(text).toMatchInlineSnapshot(`
      "cluster     test (https://10.0.0.1:6443), Kubernetes v1.36.3
      nodes       3 iptables, 1 nftables
      shared      kube-proxy's configuration says iptables
      run         r1, to nftables, since 2026-01-01T00:00:00Z
      runner      nobody: the run stands still
      batch-1     1 of 2 nodes flipped to nftables; n2 on its way to nftables, at step
                  release
      batch-2     0 of 1 node flipped to nftables
      no batch    1 node: 1 iptables

      node     planned   effective  since  residue        note
      n2       iptables  iptables   2 h    not looked at  between-modes
      n1       nftables  nftables   2 h    2 leftovers
      n3       iptables  iptables   2 h    not looked at
      w\\u{1b}  iptables  iptables   2 h    not looked at

      !           n2 \\u{1b} is between two modes
      "
    `);
  });

  test('thousands of nodes: those with something to say, and how many more there are', () => {
    const many = Array.from({ length: 5000 }, (_, i) => node(`n${i}`));
    many[4321] = node('odd', { notes: [{ level: 'unfit', code: 'latent-flip', text: 'x' }] });
    const lines = statusText({ ...base, nodes: many }, { now })
      .trimEnd()
      .split('\n');
    expect(lines.length).toBeLessThan(60);
    expect(lines.find(line => line.startsWith('odd'))).toMatch(/latent-flip$/);
    expect(lines.at(-1)).toBe('and 4,960 nodes more (--format json has all)');
  });
});
