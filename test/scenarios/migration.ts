// The six directions, there and back, on whichever cluster the testbed is.
import { expect } from 'vitest';
import type { RunEvent } from '../../src/core/journal.ts';
import type { Mode } from '../../src/core/mode.ts';
import { columns } from './columns.ts';
import { differences, lostBeyond, type NodeTruth, type Noise, type Row, type Testbed } from './testbed.ts';

/** Modes whose traces may stay on a node that serves in `mode`: none but its own. Shared chains count for the mode served. */
export function expectOnly(truth: NodeTruth, mode: Mode): void {
  expect(truth.mode, `${truth.name} serves in`).toBe(mode);
  expect(truth.rules[mode], `rules of ${mode} on ${truth.name}`).not.toEqual([]);
  for (const other of (['iptables', 'ipvs', 'nftables'] as const).filter(m => m !== mode)) {
    expect(truth.rules[other], `left of ${other} on ${truth.name}`).toEqual([]);
  }
}

const NONE: Noise = { share: 0, kept: 0, blind: 0 };

/**
 * `proxyctl ... --format json` under the witness; every loss beyond the noise is a failure. Where rows are kept it is told at the
 * end of the test: what was measured and what the cluster looks like afterwards count all the same.
 */
export async function withoutLoss(bed: Testbed, what: string, code: number, ...args: string[]): Promise<void> {
  const witness = await bed.witness();
  const result = await bed.proxyctl(...args, '--yes', '--format', 'json');
  const seen = await witness.finished();
  const row = { what, ...seen, seconds: result.seconds, ...times(result.stdout) };
  bed.rows?.push(row);
  expect(result.code, `${what}: exit code; it said\n${result.stderr}\n${result.stdout.slice(-3000)}`).toBe(code);
  // Among tests that run side by side nobody knows whose end that would be.
  const told = bed.rows ? expect.soft : expect;
  told(lostBeyond(seen, bed.noise ?? NONE), what).toEqual([]);
}

function times(stdout: string): { proxySeconds: number; soakSeconds: number } {
  const events = stdout
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as RunEvent);
  const proxySeconds = events.reduce((sum, e) => sum + ('proxySeconds' in e ? e.proxySeconds : 0), 0);
  let soakSeconds = 0;
  let soaking: number | undefined;
  for (const event of events) {
    if (event.event === 'waiting' && event.for.endsWith('s of soak')) soaking ??= Date.parse(event.t);
    if (event.event !== 'node-done' || soaking === undefined) continue;
    soakSeconds += (Date.parse(event.t) - soaking) / 1000;
    soaking = undefined;
  }
  return { proxySeconds, soakSeconds };
}

/** Every node serves in mode `to`, or those that `only` names, and holds no rules of another. */
export async function migrated(bed: Testbed, to: Mode, only?: readonly string[]): Promise<void> {
  const truth = await bed.truth();
  const meant = truth.filter(node => only === undefined || only.includes(node.name));
  expect(meant.length).toBeGreaterThan(0);
  for (const node of meant) expectOnly(node, to);
}

/** There and back: afterwards every object and every node is as before. */
export async function thereAndBack(
  bed: Testbed,
  from: Mode,
  to: Mode,
  only?: { nodes: string[]; playbook: string },
): Promise<void> {
  const before = await bed.objects();
  const wishes = only ? ['--playbook', only.playbook] : [];
  await withoutLoss(bed, `${from} -> ${to}`, 0, 'migrate', '--to', to, '--batch', '10', ...wishes);
  await migrated(bed, to, only?.nodes);
  await withoutLoss(bed, `rollback to ${from}`, 0, 'rollback');
  await migrated(bed, from);
  expect(differences(before, await bed.objects())).toEqual([]);
}

/** There, and the new mode made the cluster's own. */
export async function thereToStay(bed: Testbed, from: Mode, to: Mode): Promise<void> {
  const before = await bed.objects();
  await withoutLoss(bed, `${from} -> ${to}`, 0, 'migrate', '--to', to, '--batch', '10');
  await migrated(bed, to);
  await withoutLoss(bed, `finalize ${to}`, 0, 'finalize');
  await migrated(bed, to);
  const left = differences(before, await bed.objects()).filter(line => line.startsWith('left: '));
  expect(left).toEqual([]);
}

/** The rows as a table for people. */
export function table(rows: readonly Row[]): string {
  const heads = [
    '',
    'TCP',
    'failed',
    'UDP',
    'failed',
    'UDP direct',
    'kept broken',
    's',
    'kube-proxy s',
    'soak s',
    'over',
  ];
  const lines = rows.map(r => {
    const own = r.seconds - r.soakSeconds;
    const over = r.proxySeconds > 0 ? `${Math.round((own / r.proxySeconds - 1) * 100)} %` : '';
    const cells = [
      r.what,
      r.tcp,
      r.tcpFailed,
      r.udp,
      r.udpFailed,
      r.direct ?? '',
      r.keptBroken,
      r.seconds.toFixed(0),
      r.proxySeconds.toFixed(0),
      r.soakSeconds.toFixed(0),
      over,
    ];
    return cells.map(String);
  });
  return [...columns(heads, lines), ...rows.flatMap(r => r.losses.map(loss => `${r.what}: ${loss}`))].join('\n');
}
