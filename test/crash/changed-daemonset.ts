// Somebody else changes kube-proxy's DaemonSet between the commands of a run, or within one.
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/core/cluster.ts';
import { type Bed, withBed } from './bed.ts';
import { FAULT_KINDS } from './faults.ts';
import { configText, daemonSet, editDaemonSet } from './meddling.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 41 } as const;
const RESTARTED = 'kubectl.kubernetes.io/restartedAt';
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

export const restartedBeforeFinalize = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const [config, was] = [configText(bed), structuredClone(daemonSet(bed).spec)];
    editDaemonSet(bed, ({ template }) => {
      template.metadata.annotations = { ...template.metadata.annotations, [RESTARTED]: '2026-11-21T09:00:00Z' };
    });
    const now = structuredClone(daemonSet(bed).spec);
    const said = await ends(bed, 'finalize', 21, /changed by somebody else since the run began/);
    assert.match(said, /spec\.template\.metadata\.annotations\S* .*2026-11-21T09:00:00Z/);
    assert.match(said, /next .*'proxyctl rollback'/);
    assert.equal(configText(bed), config);
    assert.deepEqual(daemonSet(bed).spec, now);
    editDaemonSet(bed, spec => {
      spec.template = was.template;
    });
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });

export const putBackBeforeFinalize = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const config = configText(bed);
    bed.checker.usurped = true;
    editDaemonSet(bed, spec => {
      spec.template = structuredClone(bed.shipped.spec.template);
    });
    await ends(bed, 'finalize', 21, /was put back by somebody else .*'proxyctl migrate'/);
    assert.equal(configText(bed), config);
    await ends(bed, 'migrate', 0);
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });

export const changedWithinFinalize = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    when(bed, 'verify', () => setImage(bed));
    const said = await ends(bed, 'finalize', 21, IMAGE);
    assert.match(said, /next .*'proxyctl finalize' goes on/);
    assert.doesNotMatch(said, /proxyctl (rollback|resume)/);
    await ends(bed, 'finalize', 0, IMAGE);
    expectTheirs(bed);
    expectMode(bed, 'nftables');
  });

export const putBackWithinFinalize = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    when(bed, 'verify', () => {
      bed.checker.usurped = true;
      editDaemonSet(bed, spec => {
        spec.template = structuredClone(bed.shipped.spec.template);
      });
    });
    await ends(bed, 'finalize', 21, /was put back by somebody else .*'proxyctl finalize' goes on/);
    await ends(bed, 'finalize', 0);
    assert.deepEqual(daemonSet(bed).spec, bed.shipped.spec);
    expectMode(bed, 'nftables');
  });

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
