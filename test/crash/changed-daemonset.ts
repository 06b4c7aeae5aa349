// Somebody else changes kube-proxy's DaemonSet between the commands of a run, or within one.
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/core/cluster.ts';
import { type Bed, withBed } from './bed.ts';
import { FAULT_KINDS } from './faults.ts';
import { daemonSet, editDaemonSet } from './meddling.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 41 } as const;
const IMAGE = /spec\.template\.spec\.containers\[kube-proxy\]\.image is "\S+9", was "\S+"/;

function setImage(bed: Bed): void {
  editDaemonSet(bed, ({ template }) => {
    for (const container of template.spec.containers) container.image = container.image.replace(/\d+$/, '9');
  });
}

/** Theirs in the DaemonSet and on every node, nothing of ours, and the strategy of before. */
function expectTheirs(bed: Bed): void {
  const { template, updateStrategy } = structuredClone(daemonSet(bed).spec);
  assert.equal(updateStrategy.type, 'RollingUpdate');
  for (const container of template.spec.containers) {
    assert.match(container.image, /9$/);
    container.image = bed.shipped.spec.template.spec.containers[0].image;
  }
  assert.deepEqual(template, bed.shipped.spec.template);
  const pods = bed.sim.store.list('Pod', 'kube-system').filter(pod => pod.metadata.name.startsWith('kube-proxy-'));
  assert.equal(pods.length, bed.sim.nodes.length);
  for (const pod of pods) assert.match(imageOf(pod), /9$/);
}

function imageOf({ spec }: KubeObject): string {
  return spec.containers[0].image;
}

export const changedWithinMigrate = () =>
  withBed(THERE, async bed => {
    when(bed, 'verify', () => setImage(bed));
    await ends(bed, 'migrate', 21, IMAGE);
    const now = structuredClone(daemonSet(bed).spec);
    await ends(bed, 'migrate', 21, IMAGE);
    assert.deepEqual(daemonSet(bed).spec, now);
    await ends(bed, 'rollback', 0, IMAGE);
    expectTheirs(bed);
    expectMode(bed, 'iptables');
  });

export const upgradedBeforeRollback = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    FAULT_KINDS.find(kind => kind.id === 'kubeadm upgrade')?.strike(bed, bed.random);
    await bed.sleep(20_000);
    await ends(bed, 'migrate', 21, IMAGE);
    await ends(bed, 'rollback', 0, IMAGE);
    expectTheirs(bed);
    expectMode(bed, 'iptables');
  });
