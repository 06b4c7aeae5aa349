// Steering from another shell, through the cluster: pause, resume, abort, adjust, and going on from another machine.
import { describe, expect, it, type TestContext } from 'vitest';
import { LABEL_PART, NAMESPACE, PARTS } from '../../src/core/names.ts';
import type { RunRecord } from '../../src/core/run-state.ts';
import { doingOf } from '../../src/core/steering.ts';
import { recordIn } from '../../src/run/record.ts';
import type { Asked } from '../../src/sim/sim.ts';
import { type RunningCli, tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated } from './migration.ts';
import { differences } from './testbed.ts';

const TIMEOUT = 400_000;
/** A kube-proxy that is held is waited for. */
const PATIENT = tempFile('playbook.yaml', 'gates: { soak: 1s, settle: 3s, convergence: 150s, drain: 3s }\n');

async function fresh({ onTestFinished }: TestContext, seed: number): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed('iptables', seed);
  onTestFinished(() => bed.close());
  return bed;
}

function start(bed: EmbeddedTestbed): RunningCli {
  return bed.start('migrate', '--to', 'nftables', '--batch', '10', '--yes', '--playbook', PATIENT);
}

/** The n-th node that is warmed stays in `prove`, since its kube-proxies write nothing, until the call that this gives. */
function hold(bed: EmbeddedTestbed, nth = 1): () => void {
  let release = () => {};
  let warmed = 0;
  const off = bed.sim.store.subscribe(({ type, kind, object }) => {
    const isWarm = kind === 'Pod' && type === 'ADDED' && object.metadata.labels?.[LABEL_PART] === PARTS.warm;
    if (!isWarm || ++warmed < nth) return;
    off();
    release = bed.sim.fault.freezeProxy(object.spec.nodeName);
  });
  return () => {
    off();
    release();
  };
}

/** What the runner tells of itself. */
function doing(bed: EmbeddedTestbed) {
  return doingOf(bed.sim.store.get('Lease', 'proxyctl', 'proxyctl'));
}

function flipped(bed: EmbeddedTestbed): number {
  return bed.sim.store.list('Node').filter(n => n.metadata.labels?.['proxyctl.dev/mode'] === 'nftables').length;
}

function records(bed: EmbeddedTestbed): RunRecord[] {
  const maps = bed.sim.store.list('ConfigMap', NAMESPACE);
  return maps.filter(m => m.metadata.labels?.[LABEL_PART] === PARTS.record).map(recordIn);
}

/** The Lease, and the watchers of the node before and of the next one with what leads to them. */
function isPassing({ namespace, resource }: Asked): boolean {
  return namespace === NAMESPACE && ['leases', 'pods', 'services', 'endpointslices'].includes(resource);
}

async function until(context: TestContext, what: () => unknown, timeout = 120_000): Promise<void> {
  await context.expect.poll(what, { timeout, interval: 50 }).toBeTruthy();
}

describe.concurrent('a run that is steered from another shell', () => {
  it('pauses after the node in hand, writes nothing meanwhile, and goes on', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 31);
    const release = hold(bed);
    const runner = start(bed);
    await until(context, () => doing(bed)?.text.includes('prove'));
    const paused = await bed.proxyctl('pause');
    expect(paused.code, paused.stderr).toBe(0);
    expect(paused.stderr).toMatch(/pauses after the node in hand; now: batch-1 \S+: prove.*, since /);
    release();
    await until(context, () => doing(bed)?.paused);
    expect(doing(bed)?.text).toMatch(/waits for 'proxyctl resume'; paused by \S+@\S+ since \d{4}-/);
    expect(flipped(bed)).toBe(1);
    // The Lease and who comes and goes on the nodes aside, the cluster stands still.
    const writes: string[] = [];
    bed.sim.hear((_who, asked, answered) => {
      const changes = ['create', 'update', 'patch', 'delete'].includes(asked.verb) && !isPassing(asked);
      if (changes && answered.userAgent.endsWith(`/${runner.pid})`)) writes.push(`${asked.verb} ${asked.resource}`);
    });
    const status = await bed.proxyctl('status');
    expect(status.stdout).toMatch(/paused by/);
    const second = await bed.proxyctl('rollback', '--yes');
    expect(second.code, second.stderr).toBe(25);
    expect(second.stderr).toMatch(/is under way: \S+@\S+ \(pid \d+, run r-\S+\), since \d{4}.*paused by/s);
    expect(writes).toEqual([]);
    expect(flipped(bed)).toBe(1);
    const resumed = await bed.proxyctl('resume');
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain('it goes on with');
    const result = await runner.result;
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(/wants the run to pause .*wants the run to go on/s);
    await migrated(bed, 'nftables');
  });

  it('stops at a safe point when it is aborted; resume goes on elsewhere', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 32);
    const before = await bed.objects();
    // However late it comes, it comes before the second node is done.
    const release = hold(bed, 2);
    const runner = start(bed);
    await until(context, () => doing(bed)?.text.includes('verify'));
    const aborting = bed.start('abort');
    await until(context, () => aborting.stderr().includes('stops at the next safe point'));
    release();
    const aborted = await aborting.result;
    expect(aborted.code, aborted.stderr).toBe(0);
    expect(aborted.stderr).toMatch(/its runner has ended; 'proxyctl rollback'/);
    // Whoever comes next does not meet it any more.
    expect(bed.sim.store.get('Lease', 'proxyctl', 'proxyctl')?.spec.holderIdentity).toBe('');
    const stopped = await runner.result;
    expect(stopped.code, stopped.stderr).toBe(23);
    expect(stopped.stderr).toMatch(/stopped by \S+@\S+/);
    for (const { mode } of await bed.truth()) expect(['iptables', 'nftables']).toContain(mode);
    const again = await bed.proxyctl('pause');
    expect(again.stderr).toContain('nothing to do: nobody runs');
    const resumed = await bed.proxyctl('resume', '--yes');
    expect(resumed.code, resumed.stderr).toBe(0);
    await migrated(bed, 'nftables');
    expect((await bed.proxyctl('rollback', '--yes')).code).toBe(0);
    expect(differences(before, await bed.objects())).toEqual([]);
    expect((await bed.proxyctl('resume', '--yes')).code).toBe(64);
  });

  it('takes new caps and another soak for what has not begun', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 33);
    const release = hold(bed);
    const runner = start(bed);
    await until(context, () => doing(bed)?.text.includes('prove'));
    const before = records(bed)[0]?.plan;
    expect(before?.batches).toHaveLength(3);
    const adjusted = await bed.proxyctl('adjust', '--batch', '50', '--soak', '0s', '--yes');
    expect(adjusted.code, adjusted.stderr).toBe(0);
    expect(adjusted.stderr).toMatch(/begun already, and left as they are: batch-1$/m);
    release();
    const result = await runner.result;
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(/planned anew, at most 50 new Services a batch, 0 s of soak, as \S+ wanted/);
    const [record, ...others] = records(bed);
    expect(others).toEqual([]);
    expect(record?.plan.playbook).toMatchObject({ batch: { services: 50 }, gates: { soak: 0 } });
    expect(record?.plan.batches[0]).toEqual(before?.batches[0]);
    expect(record?.adjusted).toMatchObject([{ was: before?.id }]);
    expect(record?.plan.batches.flatMap(b => b.nodes.map(n => n.name)).sort()).toEqual(
      bed.sim.nodes.map(n => n.name).sort(),
    );
    await migrated(bed, 'nftables');
  });

  it('is taken over from a live runner only by its name, and that runner ends', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 34);
    const release = hold(bed);
    const runner = start(bed);
    await until(context, () => doing(bed)?.text.includes('prove'));
    const refused = await bed.proxyctl('resume', '--yes');
    expect(refused.code, refused.stderr).toBe(25);
    expect((await bed.proxyctl('rollback', '--takeover', '--yes')).code).toBe(64);
    const run = records(bed)[0]?.run ?? '';
    release();
    const back = await bed.proxyctl('rollback', '--takeover', '--run', run, '--yes');
    const first = await runner.result;
    expect(first.code, first.stderr).toBe(25);
    expect(first.stderr).toMatch(/took this run over: \S+@\S+/);
    expect(back.code, back.stderr).toBe(0);
    await migrated(bed, 'iptables');
  });
});
