// What ends a run early on the machine that runs it: signals, a lost terminal, a full disk, a long sleep.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import type { RunningCli } from '../cli/run-cli.ts';
import { readJournal } from '../run/read-journal.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated } from './migration.ts';
import { differences } from './testbed.ts';

const TIMEOUT = 400_000;
const MIGRATE = ['migrate', '--to', 'nftables', '--batch', '10', '--yes'];

async function fresh({ onTestFinished }: TestContext, seed: number): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed('iptables', seed, 2);
  onTestFinished(() => bed.close());
  return bed;
}

/** Waits until the runner has told of it. */
async function told({ expect }: TestContext, runner: RunningCli, what: RegExp): Promise<void> {
  await expect.poll(() => runner.stderr(), { timeout: 120_000, interval: 20 }).toMatch(what);
}

/** Every node serves in one mode, and none is between two. */
async function expectSafe(bed: EmbeddedTestbed): Promise<void> {
  for (const { name, mode, rules } of await bed.truth()) {
    expect(['iptables', 'nftables']).toContain(mode);
    const other = mode === 'iptables' ? 'nftables' : 'iptables';
    expect(rules[other], `left of ${other} on ${name}`).toEqual([]);
  }
  const labels = bed.sim.store.list('Node').map(n => n.metadata.labels?.['proxyctl.dev/mode']);
  expect(labels).not.toContain('none');
  const pods = bed.sim.store.list('Pod').filter(p => p.metadata.labels?.['proxyctl.dev/part'] !== undefined);
  expect(pods.map(p => p.metadata.name).filter(name => !name.startsWith('kube-proxy-nftables'))).toEqual([]);
}

describe.concurrent('the first signal', () => {
  it.for([
    ['SIGINT', 'warm', 41],
    ['SIGTERM', 'release', 42],
    ['SIGHUP', 'verify', 43],
  ] as const)('%s in %s ends at a safe point', { timeout: TIMEOUT }, async ([signal, step, seed], context) => {
    const bed = await fresh(context, seed);
    const before = await bed.objects();
    const runner = bed.start(...MIGRATE);
    await told(context, runner, new RegExp(`batch-1 \\S+: ${step}\n`));
    runner.signal(signal);
    const result = await runner.result;
    expect(result.code, result.stderr).toBe(23);
    expect(result.stderr).toContain(`${signal}: stopping at the next safe point`);
    expect(result.stderr).toMatch(new RegExp(`stopped: stopped by ${signal}.*'proxyctl resume' goes on`));
    await expectSafe(bed);
    expect((await bed.proxyctl('rollback', '--yes')).code).toBe(0);
    expect(differences(before, await bed.objects())).toEqual([]);
  });
});

describe.concurrent('a second Ctrl-C', () => {
  it('stops at once and names what was in hand; resume goes on', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 44);
    const runner = bed.start(...MIGRATE);
    await told(context, runner, /batch-1 \S+: sweep\n/);
    runner.signal('SIGINT');
    await told(context, runner, /once more stops at once/);
    const at = performance.now();
    runner.signal('SIGINT');
    const result = await runner.result;
    expect(performance.now() - at).toBeLessThan(20_000);
    expect(result.code, result.stderr).toBe(23);
    expect(result.stderr).toMatch(/stopped at once by SIGINT; in hand was: batch-1 \S+: /);
    const resumed = await bed.proxyctl('resume', '--yes');
    expect(resumed.code, resumed.stderr).toBe(0);
    await migrated(bed, 'nftables');
  });
});

describe.concurrent('a disk that is full', () => {
  it('ends the run at a safe point, and the journal has whole lines', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 45);
    const before = await bed.objects();
    const runner = bed.startOnFullDisk(3, ...MIGRATE);
    const result = await runner.result;
    expect(result.code, result.stderr).toBe(21);
    expect(result.stderr).toMatch(/the journal \S+ cannot be written \(it may not grow further\)/);
    expect(result.stderr).toContain("'proxyctl rollback'");
    await expectSafe(bed);
    const folder = join(runner.home, 'proxyctl', 'runs');
    const [journal] = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(n => n.endsWith('.jsonl'));
    expect(readJournal(join(folder, journal ?? '')).length).toBeGreaterThan(5);
    expect((await bed.proxyctl('rollback', '--yes')).code).toBe(0);
    expect(differences(before, await bed.objects())).toEqual([]);
  });

  it('from the beginning: nothing is begun', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 46);
    const result = await bed.startOnFullDisk(0, ...MIGRATE).result;
    expect(result.code, result.stderr).toBe(21);
    expect(bed.sim.store.list('DaemonSet').map(d => d.metadata.name)).toEqual(['kube-proxy']);
    expect(bed.sim.store.get('Lease', 'proxyctl', 'proxyctl')?.spec.holderIdentity).toBe('');
  });
});

describe.concurrent('a machine that sleeps', () => {
  it('goes on when it wakes and nobody took over', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 47);
    const runner = bed.start(...MIGRATE);
    await told(context, runner, /batch-1 \S+: prove\n/);
    runner.signal('SIGSTOP');
    // Longer than its Lease, than a watcher may be silent, and than a request may take.
    await new Promise(resolve => setTimeout(resolve, 25_000));
    runner.signal('SIGCONT');
    const result = await runner.result;
    expect(result.code, result.stderr).toBe(0);
    await migrated(bed, 'nftables');
  });
});
