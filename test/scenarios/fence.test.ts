// Two runners as two processes: one is stopped in the middle, the other takes over, the first wakes. Whatever it had in hand must
// be refused. What reached the API server is read from its audit log.
import { describe, expect, it, type TestContext } from 'vitest';
import type { Answered, Asked, Sim } from '../../src/sim/sim.ts';
import type { RunningCli } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated } from './migration.ts';
import { differences } from './testbed.ts';

const TIMEOUT = 400_000;
const WRITES = new Set(['create', 'update', 'patch', 'delete']);

type AuditEvent = Asked & Answered;

function audit(sim: Sim, auditor: (event: AuditEvent) => void): () => void {
  return sim.hear((_who, asked, answered) => auditor({ ...asked, ...answered }));
}

async function fresh({ onTestFinished }: TestContext, seed: number): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed('iptables', seed);
  onTestFinished(() => bed.close());
  return bed;
}

function isOf(runner: RunningCli, event: AuditEvent): boolean {
  return event.userAgent.endsWith(`/${runner.pid})`);
}

/** Stops the runner while the answer that its Lease is its own still travels to it, before the write that `next` picks. */
function freezeBefore(bed: EmbeddedTestbed, runner: RunningCli, marker: (event: AuditEvent) => boolean): Promise<void> {
  return new Promise(resolve => {
    let armed = false;
    const off = audit(bed.sim, event => {
      if (!isOf(runner, event)) return;
      if (marker(event)) armed = true;
      else if (armed && event.resource === 'leases' && event.verb === 'get') {
        runner.signal('SIGSTOP');
        off();
        resolve();
      }
    });
  });
}

/**
 * Writes of the runner that the server accepted, from now on. A create has nothing to test: one that was in hand gets through, and
 * nothing after it. Nothing else may be created than a pod that looks on.
 */
function acceptedWrites(bed: EmbeddedTestbed, runner: RunningCli): AuditEvent[] {
  const found: AuditEvent[] = [];
  audit(bed.sim, event => {
    if (isOf(runner, event) && WRITES.has(event.verb) && event.code < 300) found.push(event);
  });
  return found;
}

function nodeOf(bed: EmbeddedTestbed, event: AuditEvent): boolean {
  return event.resource === 'nodes' && event.verb === 'get' && bed.sim.nodes.some(n => n.name === event.name);
}

/** Where the first runner is stopped: the last thing it reads before the write in hand. */
const MOMENTS: Record<string, (bed: EmbeddedTestbed, event: AuditEvent) => boolean> = {
  'before the first mark on a node': nodeOf,
  'before the node is released': (bed, event) => nodeOf(bed, event) && warmPods(bed).length > 0,
  'before the warm kube-proxy is deleted': (bed, event) =>
    event.resource === 'pods' &&
    event.verb === 'get' &&
    released(bed) &&
    (event.name ?? '').startsWith('proxyctl-warm'),
  'before the original DaemonSet is patched': (bed, event) =>
    event.resource === 'daemonsets' &&
    event.verb === 'get' &&
    event.name === 'kube-proxy' &&
    bed.sim.store.list('Lease', 'proxyctl').length > 0,
};

function warmPods(bed: EmbeddedTestbed) {
  return bed.sim.store
    .list('Pod', 'kube-system')
    .filter(p => p.metadata.labels?.['proxyctl.dev/part'] === 'warm' && p.status?.phase === 'Running');
}

function released(bed: EmbeddedTestbed): boolean {
  return bed.sim.store.list('Node').some(n => n.metadata.labels?.['proxyctl.dev/mode'] === 'none');
}

describe.concurrent('a runner that is stopped, superseded and woken', () => {
  it.for(Object.keys(MOMENTS))('%s writes nothing more', { timeout: TIMEOUT }, async (name, context) => {
    const bed = await fresh(context, 21);
    const before = await bed.objects();
    const first = bed.start('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    await freezeBefore(bed, first, event => MOMENTS[name]?.(bed, event) ?? false);
    const second = await bed.proxyctl('migrate', '--yes');
    const accepted = acceptedWrites(bed, first);
    expect(second.code, second.stderr).toBe(0);
    await migrated(bed, 'nftables');
    first.signal('SIGCONT');
    const woken = await first.result;
    expect(accepted.length).toBeLessThanOrEqual(1);
    expect(accepted.filter(({ verb, name }) => verb !== 'create' || !/^(watch|probe)-/.test(name ?? ''))).toEqual([]);
    expect(woken.code, woken.stderr).toBe(25);
    expect(woken.stderr).toMatch(/took this run over|took over this run/);
    await migrated(bed, 'nftables');
    const back = await bed.proxyctl('rollback', '--yes');
    expect(back.code, back.stderr).toBe(0);
    expect(differences(before, await bed.objects())).toEqual([]);
  });
});
