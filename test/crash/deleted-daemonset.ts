// Somebody else deletes kube-proxy's DaemonSet between the commands of a run, or within one, and makes it anew or does not.
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/core/cluster.ts';
import { type Bed, withBed } from './bed.ts';
import { configText, daemonSet, deleteDaemonSet, makeDaemonSet } from './meddling.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 41 } as const;
const DELETED = /DaemonSet kube-system\/kube-proxy was deleted by somebody else since the run began/;
const MADE_ANEW = /DaemonSet kube-system\/kube-proxy was deleted and made anew by somebody else since the run began/;

/** Longer than garbage collection and a kube-proxy's start. */
const SETTLED_MS = 10_000;

function deleteAndMake(bed: Bed, change?: (spec: KubeObject['spec']) => void): void {
  deleteDaemonSet(bed);
  setTimeout(() => makeDaemonSet(bed, change), 2000);
}

/** The DaemonSet as it was shipped, one kube-proxy of it on each node, of its template, and in this mode. */
async function expectAsShipped(bed: Bed, mode: 'iptables' | 'nftables'): Promise<void> {
  await bed.sleep(SETTLED_MS);
  const { uid } = daemonSet(bed).metadata;
  assert.deepEqual(daemonSet(bed).spec, bed.shipped.spec);
  assert.deepEqual(daemonSet(bed).metadata.labels, bed.shipped.metadata.labels);
  expectMode(bed, mode);
  const pods = bed.sim.store.list('Pod', 'kube-system').filter(pod => pod.metadata.name.startsWith('kube-proxy-'));
  assert.deepEqual(pods.map(({ spec }) => spec.nodeName).sort(), bed.sim.nodes.map(({ name }) => name).sort());
  assert.ok(pods.every(({ metadata }) => metadata.ownerReferences?.[0]?.uid === uid));
  const revisions = bed.sim.store.list('ControllerRevision', 'kube-system');
  assert.equal(new Set(pods.map(({ metadata }) => metadata.labels?.['controller-revision-hash'])).size, 1);
  assert.ok(revisions.every(revision => !JSON.stringify(revision.data).includes('proxyctl')));
}

/** Deleted while a node is in this step, and never made again: each command says so, and a rollback makes it. */
export async function deletedWithinMigrate(): Promise<void> {
  for (const orphan of [false, true]) {
    await withBed(THERE, async bed => {
      when(bed, 'verify', () => deleteDaemonSet(bed, orphan));
      await ends(bed, 'migrate', 21, DELETED);
      await bed.sleep(SETTLED_MS);
      await ends(bed, 'migrate', 21, DELETED);
      const config = configText(bed);
      await ends(bed, 'finalize', 21, DELETED);
      assert.equal(configText(bed), config);
      await ends(bed, 'rollback', 0, /which somebody else has deleted, made anew from the run's record/);
      await expectAsShipped(bed, 'iptables');
    });
  }
}

/** Made anew by somebody: it would start its kube-proxy on flipped nodes, so the run halts; called again, it goes on. */
export const madeAnewWithinMigrate = () =>
  withBed(THERE, async bed => {
    when(bed, 'verify', () => deleteAndMake(bed));
    await ends(bed, 'migrate', 21, MADE_ANEW);
    await bed.sleep(SETTLED_MS);
    await ends(bed, 'migrate', 0);
    await ends(bed, 'finalize', 0);
    await expectStays(bed);
  });

async function expectStays(bed: Bed): Promise<void> {
  await bed.sleep(SETTLED_MS);
  expectMode(bed, 'nftables');
}

export async function madeAnewThenRollback(): Promise<void> {
  for (const step of ['warm', 'release', 'hand-over', 'verify']) {
    await withBed(THERE, async bed => {
      when(bed, step, () => deleteAndMake(bed));
      await ends(bed, 'migrate', 21);
      await bed.sleep(SETTLED_MS);
      await ends(bed, 'rollback', 0);
      await expectAsShipped(bed, 'iptables');
    });
  }
}

/** The runner is dead as well: whoever takes the run over seals what is there. */
export const deletedAfterKill = () =>
  withBed(THERE, async bed => {
    const killed = bed.process('killed');
    bed.checker.heard = event => {
      if (event.event === 'step-intended' && event.step === 'hand-over') killed.die();
    };
    assert.equal(await bed.run(killed, 'migrate'), 'killed', killed.output);
    deleteDaemonSet(bed);
    await bed.sleep(SETTLED_MS);
    await ends(bed, 'rollback', 0);
    await expectAsShipped(bed, 'iptables');
  });

/** Another template than before stays as they want it. */
export const madeAnewDifferently = () =>
  withBed(THERE, async bed => {
    const change = (spec: KubeObject['spec']) => {
      spec.template.metadata.annotations = { 'somebody.example/was': 'here' };
    };
    when(bed, 'verify', () => deleteAndMake(bed, change));
    await ends(bed, 'migrate', 21);
    await bed.sleep(SETTLED_MS);
    await ends(bed, 'migrate', 21, /spec\.template\.metadata\.annotations/);
    await ends(bed, 'rollback', 0, /spec\.template\.metadata\.annotations/);
    await bed.sleep(SETTLED_MS);
    assert.deepEqual(daemonSet(bed).spec.template.metadata.annotations, { 'somebody.example/was': 'here' });
    assert.equal(daemonSet(bed).spec.updateStrategy.type, 'RollingUpdate');
    expectMode(bed, 'iptables');
  });

/** After the last release nothing depends on it any more, and the run is not called done all the same. */
export async function lostAtTheEnd(): Promise<void> {
  for (const anew of [false, true]) {
    await withBed(THERE, async bed => {
      const last = bed.sim.nodes.map(({ name }) => name).find(name => name === 'cp-1');
      when(bed, 'verify', () => (anew ? deleteAndMake(bed) : deleteDaemonSet(bed)), last);
      await ends(bed, 'migrate', 21, anew ? MADE_ANEW : DELETED);
      await bed.sleep(SETTLED_MS);
      await ends(bed, 'rollback', 0);
      await expectAsShipped(bed, 'iptables');
    });
  }
}

export async function lostBeforeFinalize(): Promise<void> {
  for (const anew of [false, true]) {
    await withBed(THERE, async bed => {
      await ends(bed, 'migrate', 0);
      const config = configText(bed);
      deleteDaemonSet(bed);
      await bed.sleep(SETTLED_MS);
      if (anew) makeDaemonSet(bed);
      await bed.sleep(SETTLED_MS);
      await (anew ? ends(bed, 'finalize', 20, /migrate them first/) : ends(bed, 'finalize', 21, DELETED));
      assert.equal(configText(bed), config);
      if (anew) {
        await ends(bed, 'migrate', 0);
        await ends(bed, 'finalize', 0);
        await expectStays(bed);
      } else {
        await ends(bed, 'rollback', 0);
        await expectAsShipped(bed, 'iptables');
      }
    });
  }
}

/** Once the shared configuration says the new mode the way is on: finalize makes what it gives nodes to. */
export async function lostWithinFinalize(): Promise<void> {
  for (const anew of [false, true]) {
    await withBed(THERE, async bed => {
      await ends(bed, 'migrate', 0);
      when(bed, 'verify', () => (anew ? deleteAndMake(bed) : deleteDaemonSet(bed)));
      await ends(bed, 'finalize', 21, anew ? MADE_ANEW : DELETED);
      await bed.sleep(SETTLED_MS);
      await ends(bed, 'finalize', 0);
      await expectAsShipped(bed, 'nftables');
    });
  }
}

export async function lostWithinRollback(): Promise<void> {
  for (const step of ['warm', 'release', 'hand-over', 'verify']) {
    await withBed(THERE, async bed => {
      await ends(bed, 'migrate', 0);
      when(bed, step, () => deleteDaemonSet(bed));
      await ends(bed, 'rollback', 21, DELETED);
      await bed.sleep(SETTLED_MS);
      await ends(bed, 'rollback', 0);
      await expectAsShipped(bed, 'iptables');
    });
  }
}
