// Nodes without a way back: named in plan and preflight, and flipped only when somebody confirms each.
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Plan } from '../../src/core/plan.ts';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';
import { hasTerminal, runOnTerminal, tempFile } from './run-cli.ts';

const TIMEOUT = 120_000;
const WISHES = ['--to', 'nftables', '--batch', '10'];
const OLDER = 'registry.k8s.io/kube-proxy:v1.36.2';
let bed: EmbeddedTestbed;
let door: string;
beforeEach(async () => {
  bed = await embeddedTestbed('iptables', 53, 2);
  door = bed.sim.nodes.at(-1)?.name ?? '';
});
afterEach(() => bed.close());

/** As an update of the DaemonSet leaves it that has not come to this node. */
function leaveBehind(node: string): void {
  const pod = bed.sim.store
    .list('Pod', 'kube-system')
    .find(p => p.spec.nodeName === node && /^kube-proxy-/.test(p.metadata.name));
  bed.sim.store.mutate('Pod', 'kube-system', pod?.metadata.name ?? '', copy => {
    copy.spec.containers[0].image = OLDER;
  });
}
const doorsOf = (plan: Plan) =>
  plan.batches.flatMap(b => b.nodes.flatMap(n => (n.oneWay === undefined ? [] : [n.name])));
const untouched = () => bed.sim.store.list('Namespace').every(n => n.metadata.name !== 'proxyctl');

describe('a node that runs another kube-proxy than the DaemonSet has', () => {
  it('is named in plan and preflight; --yes does not cover it, its name does', { timeout: TIMEOUT }, async () => {
    leaveBehind(door);
    const plan: Plan = JSON.parse((await bed.proxyctl('plan', ...WISHES, '--format', 'json')).stdout);
    expect(doorsOf(plan)).toEqual([door]);
    const shown = await bed.proxyctl('plan', ...WISHES);
    expect(shown.stdout.replaceAll(/\s+/g, ' ')).toContain(
      `no way back: ${door}: runs image ${OLDER} and the DaemonSet has`,
    );
    expect(shown.stdout).toMatch(/nodes +2 to flip, 0 left alone; 1 node without a way back/);
    const preflight = await bed.proxyctl('preflight', ...WISHES.slice(0, 2), '--output', 'json');
    expect(JSON.stringify(JSON.parse(preflight.stdout).gates)).toContain(`has no way back: runs image ${OLDER}`);
    const refused = await bed.proxyctl('migrate', ...WISHES, '--yes');
    expect(refused.code).toBe(64);
    expect(refused.stderr).toMatch(
      new RegExp(`the plan flips 1 node without a way back \\(${door}: .*--one-way ${door}`),
    );
    const odd = await bed.proxyctl('migrate', ...WISHES, '--yes', '--one-way', `${door},cp-1`);
    expect([odd.code, odd.stderr]).toEqual([
      64,
      expect.stringMatching(/--one-way names cp-1, which is no node of the plan/),
    ]);
    expect(untouched()).toBe(true);
    const done = await bed.proxyctl('migrate', ...WISHES, '--yes', '--one-way', door);
    expect(done.code, done.stderr).toBe(0);
    const back = await bed.proxyctl('rollback', '--yes');
    expect([back.code, back.stderr.replaceAll(/\s+/g, ' ')]).toEqual([
      0,
      expect.stringContaining(`no way back: ${door}: `),
    ]);
  });

  it('that came to be so after the plan was made makes it stale', { timeout: TIMEOUT }, async () => {
    const file = tempFile('plan.json', '');
    expect((await bed.proxyctl('plan', ...WISHES, '-o', file)).code).toBe(0);
    expect(doorsOf(JSON.parse(readFileSync(file, 'utf8')))).toEqual([]);
    leaveBehind(door);
    const stale = await bed.start('migrate', file, '--yes').result;
    expect([stale.code, stale.stderr]).toEqual([
      24,
      expect.stringMatching(new RegExp(`node ${door} has no way back any more`)),
    ]);
    expect(untouched()).toBe(true);
  });

  it.runIf(hasTerminal)('is asked for on a terminal, apart from the cluster', { timeout: TIMEOUT }, async () => {
    leaveBehind(door);
    const kubeconfig = tempFile('kubeconfig', bed.sim.kubeconfig());
    const answer = { question: 'Type one-way', keys: 'no\r' };
    const { stdout } = await runOnTerminal(['--kubeconfig', kubeconfig, 'migrate', ...WISHES], answer);
    expect(stdout).toContain('Type one-way to flip 1 node without a way back: ');
    expect(stdout).toContain('not confirmed; nothing was changed');
    expect(stdout).not.toContain("Type the cluster's name");
    expect(untouched()).toBe(true);
  });
});
