// The Lease of a run, when it is deleted or taken from one who sleeps.
import assert from 'node:assert/strict';
import { statusCommand } from '../../src/commands/status.ts';
import type { Kind } from '../../src/core/cluster.ts';
import { NAMESPACE } from '../../src/core/names.ts';
import { nodeAccount, ownNamespace } from '../../src/core/own-namespace.ts';
import { TARGETS_MAP } from '../../src/run/pods.ts';
import { objectsOf } from '../scenarios/embedded-testbed.ts';
import { differences } from '../scenarios/testbed.ts';
import { withBed } from './bed.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';
import { owner } from './virtual-time.ts';

/** One way. */
const LATENCY_MS = 10;
const THERE = { mode: 'iptables', to: 'nftables', seed: 41 } as const;

/** Who wants to unlock a run deletes its Lease: the next runner goes on all the same, and none of before can. */
export const leaseDeleted = () =>
  withBed(THERE, async bed => {
    for (const step of ['warm', 'prove', 'sweep']) {
      const process = bed.process('migrate');
      when(bed, step, () => process.die());
      assert.equal(await bed.run(process, 'migrate'), 'killed');
    }
    for (const lease of bed.sim.store.list('Lease', NAMESPACE)) bed.sim.store.remove(lease);
    await ends(bed, 'migrate', 0, /take over: from a runner that did not give the Lease up/);
    expectMode(bed, 'nftables');
  });

/** A look at nodes makes our namespace and takes it away. It slept, and by now a run has its record there. */
export const lookThatSlept = () =>
  withBed(THERE, async bed => {
    const looker = bed.process('status');
    const looking = bed.call(looker, io => statusCommand(io, { look: true }));
    while (bed.sim.store.list('Pod', NAMESPACE).length === 0) await bed.sleep(100);
    looker.freeze();
    when(bed, 'sweep', () => looker.thaw());
    await ends(bed, 'migrate', 0);
    assert.equal(await looking, 25, looker.output);
    assert.match(looker.output, /another proxyctl took this run over: .*nothing more was written from here/);
    expectMode(bed, 'nftables');
    await ends(bed, 'rollback', 0);
  });

/** The same, and it slept when it had asked the Lease, with the delete of the namespace in hand. */
export const lookThatSleptAtTheEnd = () =>
  withBed({ ...THERE, latency: () => LATENCY_MS }, async bed => {
    const looker = bed.process('status');
    const { checker } = bed;
    // After this answer it reads the namespace and asks the Lease, and then the delete is on its way.
    checker.writing = ({ method, url }) => {
      if (method !== 'DELETE' || !url.includes('/configmaps/proxyctl-look')) return;
      owner.run(undefined, () => void setTimeout(() => looker.freeze(), 5.5 * LATENCY_MS));
    };
    const looking = bed.call(looker, io => statusCommand(io, { look: true }));
    while (!looker.hold) await bed.sleep(100);
    const deleted: string[] = [];
    checker.writing = ({ method, url }, process) => {
      if (process === looker) deleted.push(`${method} ${url}`);
    };
    when(bed, 'sweep', () => looker.thaw());
    await ends(bed, 'migrate', 0);
    assert.equal(await looking, 25, looker.output);
    assert.match(deleted[0] ?? '', /^DELETE .*\/namespaces\/proxyctl$/);
    expectMode(bed, 'nftables');
    await ends(bed, 'rollback', 0);
  });

/** A rollback in a namespace that was given to it sleeps with the delete of the run's record in hand; a migration goes on. */
export const rollbackThatSleptAtTheEnd = () =>
  withBed({ ...THERE, latency: () => LATENCY_MS }, async bed => {
    const { checker, sim } = bed;
    for (const object of [ownNamespace('given'), nodeAccount()])
      sim.registry.create(object, object.kind as Kind, object.metadata.namespace);
    await ends(bed, 'migrate', 0);
    const sleeper = bed.process('rollback');
    // After this answer it lists the records and asks the Lease.
    checker.writing = ({ method, url }) => {
      if (method !== 'DELETE' || !url.includes(`/configmaps/${TARGETS_MAP}`)) return;
      owner.run(undefined, () => void setTimeout(() => sleeper.freeze(), 5.5 * LATENCY_MS));
    };
    const sleeping = bed.run(sleeper, 'rollback');
    while (!sleeper.hold) await bed.sleep(100);
    const late: string[] = [];
    checker.writing = ({ method, url }, process) => {
      if (process === sleeper) late.push(`${method} ${url}`);
    };
    when(bed, 'sweep', () => sleeper.thaw());
    await ends(bed, 'migrate', 0);
    assert.equal(await sleeping, 25, sleeper.output);
    assert.match(late[0] ?? '', /^DELETE .*\/configmaps\/run-/);
    expectMode(bed, 'nftables');
    await ends(bed, 'rollback', 0);
    expectMode(bed, 'iptables');
  });

/** A runner dies before its run is recorded: with our namespace made, or with the Lease in it. */
export async function leftBehind(): Promise<void> {
  for (const made of ['namespaces', 'leases']) {
    await withBed(THERE, async bed => {
      const before = objectsOf(bed.sim);
      const killed = bed.process('migrate');
      bed.checker.written = ({ method, url }, process) => {
        if (method === 'POST' && url.replace(/\?.*/, '').endsWith(`/${made}`)) process.die();
      };
      assert.equal(await bed.run(killed, 'migrate'), 'killed');
      bed.checker.written = () => {};
      await ends(bed, 'rollback', 0, /left proxyctl .*nothing of proxyctl is left/);
      assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
      await ends(bed, 'rollback', 0, /nothing to do: no run of proxyctl stands/);
    });
  }
}

/** Who is at work in the namespace without a run keeps it. */
export const lookGoesOn = () =>
  withBed(THERE, async bed => {
    bed.sim.speed.podStart = 30_000;
    const looker = bed.process('status');
    const looking = bed.call(looker, io => statusCommand(io, { look: true }));
    while (bed.sim.store.list('Lease', NAMESPACE).length === 0) await bed.sleep(100);
    await ends(bed, 'rollback', 25, /a run is under way: proxyctl status --look/);
    assert.equal(await looking, 0, looker.output);
  });

/** The warm kube-proxy that the runner before had begun to take away goes while who takes over puts its fence onto it. */
export const goneWhileSealed = () =>
  withBed(THERE, async bed => {
    const killed = bed.process('migrate');
    when(bed, 'prove', () => killed.die());
    assert.equal(await bed.run(killed, 'migrate'), 'killed');
    const { checker, sim } = bed;
    let name: string | undefined;
    checker.writing = ({ method, url }) => {
      const warm = /\/pods\/(proxyctl-warm-[^/?]+)/.exec(url)?.[1];
      if (method !== 'PATCH' || warm === undefined || name !== undefined) return;
      name = warm;
      sim.store.remove(sim.store.get('Pod', 'kube-system', warm) ?? assert.fail());
    };
    await ends(bed, 'migrate', 0);
    assert.ok(name, 'no fence was put onto a warm kube-proxy');
    expectMode(bed, 'nftables');
  });
