// What finalize makes of nodes that came late, or whose mode cannot be read.
import assert from 'node:assert/strict';
import { modeLabel, nodeState } from '../../src/core/run-state.ts';
import { objectsOf, truthOf } from '../scenarios/embedded-testbed.ts';
import { type Bed, withBed } from './bed.ts';
import { configText, writeConfig } from './meddling.ts';
import { ends, when } from './script.ts';
import { DIRECTIONS, expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 41 } as const;
const LATE_MS = 8000;

function join(bed: Bed): void {
  bed.checker.rebooted('late');
  bed.sim.addNode('late');
}

/** The node joins before the commit, and nobody has seen it by then: its kube-proxy starts in the old mode. */
function joinUnseen(bed: Bed, then = () => {}): void {
  when(bed, 'commit', () => {
    join(bed);
    then();
    bed.sim.fault.api({ every: 1, times: 1, verb: 'patch', resource: 'configmaps', delayMs: LATE_MS });
  });
}

function expectNothingLeft(bed: Bed): void {
  const left = [...objectsOf(bed.sim)]
    .filter(([key, text]) => key !== 'Namespace /kube-system' && `${key} ${text}`.includes('proxyctl'))
    .map(([key]) => key);
  assert.deepEqual(left, []);
}

export const joinedBeforeCommit = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const config = configText(bed);
    bed.sim.fault.api({ every: 1, times: 1, resource: 'leases', verb: 'patch', delayMs: LATE_MS });
    const running = ends(bed, 'finalize', 20, /late \(iptables\).*migrate them first/);
    await bed.sleep(1000);
    join(bed);
    await running;
    const opened = bed.checker.order.events.filter(event => event.event === 'run-opened');
    assert.equal(opened.at(-1)?.action, 'finalize', 'seen under the Lease, not before');
    assert.equal(configText(bed), config);
    await ends(bed, 'migrate', 0);
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });

export async function joinedUnseen(): Promise<void> {
  for (const [mode, to] of DIRECTIONS) {
    await withBed({ ...THERE, mode, to }, async bed => {
      await ends(bed, 'migrate', 0);
      joinUnseen(bed);
      await ends(bed, 'finalize', 0, /late .*joined/);
      expectMode(bed, to);
      await bed.sleep(2000);
      expectNothingLeft(bed);
    });
  }
}

export const joinedUnable = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    joinUnseen(bed);
    const clear = bed.sim.fault.noNft('late');
    const said = await ends(bed, 'finalize', 21, /next .*'proxyctl finalize' goes on/);
    assert.doesNotMatch(said, /proxyctl (rollback|resume)/);
    // The others are the original DaemonSet's own, and that node serves as before.
    assert.deepEqual(bed.sim.store.list('Node').map(modeLabel), [undefined, undefined, undefined]);
    assert.equal(truthOf(bed.sim, 'late').mode, 'iptables');
    clear();
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
    await bed.sleep(2000);
    expectNothingLeft(bed);
  });

/** Killed in the middle of that node's flip, at several points. */
export async function joinedUnseenAndKilled(): Promise<void> {
  for (const step of ['warm', 'release', 'hand-over', 'verify']) {
    await withBed(THERE, async bed => {
      await ends(bed, 'migrate', 0);
      joinUnseen(bed);
      const first = bed.checker.heard;
      const killed = bed.process('killed');
      bed.checker.heard = event => {
        first(event);
        if (event.event === 'step-intended' && event.node === 'late' && event.step === step) killed.die();
      };
      assert.equal(await bed.run(killed, 'finalize'), 'killed', killed.output);
      await ends(bed, 'rollback', 24);
      await ends(bed, 'finalize', 0);
      expectMode(bed, 'nftables');
      await bed.sleep(2000);
      expectNothingLeft(bed);
    });
  }
}

export const logsDoNotTell = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const clear = bed.sim.fault.api({ every: 1, verb: 'get', resource: 'pods/log', status: 400 });
    when(bed, 'commit', clear);
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });

export const notReady = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const config = configText(bed);
    const [node] = bed.sim.store.list('Node').filter(n => nodeState(n)?.step === 'done' && modeLabel(n) === 'nftables');
    assert.ok(node);
    const { name } = node.metadata;
    const clear = bed.sim.fault.nodeNotReady(name);
    await ends(bed, 'finalize', 20, new RegExp(`cannot be read: ${name} \\(not Ready\\)`));
    assert.equal(configText(bed), config);
    clear();
    await bed.sleep(5000);
    assert.equal(truthOf(bed.sim, name).mode, 'nftables');
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });

/** Somebody undoes the commit of a finalize that has not ended: its late node goes back with all others. */
export async function putBackAfterLate(): Promise<void> {
  for (const [mode, to] of [
    ['iptables', 'nftables'],
    ['ipvs', 'iptables'],
  ] as const) {
    await withBed({ ...THERE, mode, to }, async bed => {
      await ends(bed, 'migrate', 0);
      const config = configText(bed);
      let clear = () => {};
      joinUnseen(bed, () => {
        clear = bed.sim.fault.nodeNotReady('node-1');
      });
      await ends(bed, 'finalize', 21, /node-1 \(not Ready\).*'proxyctl finalize' again/);
      assert.equal(truthOf(bed.sim, 'late').mode, to);
      clear();
      await bed.sleep(5000);
      bed.checker.usurped = true;
      writeConfig(bed, config);
      await ends(bed, 'rollback', 0);
      await bed.sleep(2000);
      expectMode(bed, mode);
      expectNothingLeft(bed);
    });
  }
}

export const awayAfterCommit = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const [name = ''] = bed.sim.store.list('Node').map(n => n.metadata.name);
    let clear = () => {};
    when(bed, 'commit', () => {
      clear = bed.sim.fault.nodeNotReady(name);
    });
    await ends(bed, 'finalize', 21, new RegExp(`${name} \\(not Ready\\).*'proxyctl finalize' again`));
    const labelled = bed.sim.store.list('Node').filter(n => modeLabel(n) !== undefined);
    assert.deepEqual(
      labelled.map(n => n.metadata.name),
      [name],
    );
    await ends(bed, 'rollback', 24);
    clear();
    await bed.sleep(5000);
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
    await bed.sleep(2000);
    expectNothingLeft(bed);
  });

export const madeAnew = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    const config = configText(bed);
    bed.sim.removeNode('node-1');
    bed.checker.rebooted('node-1');
    await bed.sleep(2000);
    bed.sim.addNode('node-1');
    await bed.sleep(10_000);
    await ends(bed, 'finalize', 20, /node-1 \(iptables\).*migrate them first/);
    assert.equal(configText(bed), config);
    await ends(bed, 'migrate', 0);
    await ends(bed, 'finalize', 0);
    expectMode(bed, 'nftables');
  });
