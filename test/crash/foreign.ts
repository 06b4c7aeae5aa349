// Others change kube-proxy's own objects in the middle of a run, or what proxyctl writes: it stops before a node depends on it.
import assert from 'node:assert/strict';
import { modeLabel } from '../../src/core/run-state.ts';
import { withBed } from './bed.ts';
import { dropLabels } from './faults.ts';
import { configText as text, writeConfig as write } from './meddling.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 41 } as const;

const edited = (config: string) => config.replace(/^oomScoreAdj:.*$/m, 'oomScoreAdj: -7');

export const editedBeforeRelease = () =>
  withBed(THERE, async bed => {
    const was = text(bed);
    when(bed, 'verify', () => write(bed, edited(was)));
    await ends(bed, 'migrate', 21, /ConfigMap kube-system\/kube-proxy was changed by somebody else .* \(oomScoreAdj\)/);
    assert.equal(bed.sim.store.list('Node').filter(node => modeLabel(node) !== undefined).length, 1);
    write(bed, was);
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
  });

export const brokenBeforeRelease = () =>
  withBed(THERE, async bed => {
    const was = text(bed);
    when(bed, 'verify', () => write(bed, 'mode: [iptables\n'));
    await ends(
      bed,
      'migrate',
      21,
      /ConfigMap kube-system\/kube-proxy was changed by somebody else .*no YAML mapping now/,
    );
    assert.equal(bed.sim.store.list('Node').filter(node => modeLabel(node) !== undefined).length, 1);
    write(bed, was);
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
  });

export const editedBeforeFinalize = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const was = text(bed);
    write(bed, edited(was));
    await ends(bed, 'finalize', 21, /\(oomScoreAdj\)/);
    assert.equal(text(bed), edited(was));
    write(bed, was);
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });

export async function putBackInFinalize(): Promise<void> {
  await putBackThen('finalize');
  await putBackThen('rollback');
}

const putBackThen = (then: 'finalize' | 'rollback') =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const was = text(bed);
    let now = '';
    when(bed, 'verify', () => {
      now = text(bed);
      write(bed, was);
    });
    await ends(bed, 'finalize', 21, /says mode iptables, and so \S+ would start in it instead of nftables/);
    // From there both ways are open: the node that was given back in the new mode is flipped like any other.
    if (then === 'finalize') write(bed, now);
    await ends(bed, then, 0);
    expectMode(bed, then === 'finalize' ? 'nftables' : 'iptables');
  });

export const labelsDropped = () =>
  withBed(THERE, async bed => {
    const clear = dropLabels(bed);
    await ends(bed, 'migrate', 21, /does not bear what was just written to it/);
    assert.deepEqual(bed.sim.store.list('Node').map(modeLabel), [undefined, undefined]);
    assert.deepEqual(
      bed.sim.nodes.map(node => node.proxyMode),
      ['iptables', 'iptables'],
    );
    clear();
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
  });

export const labelsDroppedThenBack = () =>
  withBed(THERE, async bed => {
    const clear = dropLabels(bed);
    await ends(bed, 'migrate', 21, /does not bear what was just written to it/);
    clear();
    let released = '';
    when(bed, 'release', node => {
      released = node;
    });
    await ends(bed, 'rollback', 0);
    assert.equal(released, '');
    expectMode(bed, 'iptables');
  });

export async function clockJumps(): Promise<void> {
  for (const hours of [-1, 1]) {
    await withBed(THERE, async bed => {
      when(bed, 'release', () => {
        bed.machine.clockError = hours * 3_600_000;
      });
      await ends(bed, 'migrate', 0);
      expectMode(bed, 'nftables');
    });
  }
}

const START_MS = 120_000;
const soon = 'gates: { soak: 1s, settle: 3s, convergence: 25s, drain: 3s }\n';

export const slowFirstSync = () =>
  withBed({ ...THERE, playbook: soon.replace('25s', '10m') }, async bed => {
    bed.sim.speed.proxyStart = START_MS;
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
    assert.ok(bed.time.elapsed > 2 * START_MS);
  });

export const firstSyncTooSlow = () =>
  withBed({ ...THERE, playbook: soon }, async bed => {
    bed.sim.speed.proxyStart = START_MS;
    await ends(bed, 'migrate', 21, /convergence/);
    assert.deepEqual(bed.sim.store.list('Node').map(modeLabel), [undefined, undefined]);
    expectMode(bed, 'iptables');
  });
