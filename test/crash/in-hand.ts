// A node was left between two modes, or comes home and is not well there: no other is opened before it is home and proven.
import assert from 'node:assert/strict';
import { rollbackCommand, type UndoOptions } from '../../src/commands/undo.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { objectsOf, truthOf } from '../scenarios/embedded-testbed.ts';
import { differences } from '../scenarios/testbed.ts';
import { type Bed, withBed } from './bed.ts';
import { aService, ends, planned, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THREE = { mode: 'iptables', to: 'nftables', seed: 47, nodes: 3 } as const;

interface Ended {
  readonly code: number | 'killed';
  readonly said: string;
}

/** `rollback --node`, and whether it is killed when it comes to a step. */
function back(bed: Bed, node: string, killedIn?: string): Promise<Ended> {
  return rolledBack(bed, { node }, killedIn);
}

async function rolledBack(bed: Bed, wanted: UndoOptions, killedIn?: string): Promise<Ended> {
  const process = bed.process('rollback');
  if (killedIn !== undefined) when(bed, killedIn, () => process.die());
  const code = await bed.call(process, io => rollbackCommand(io, { yes: true, ...wanted }));
  return { code, said: process.output.replaceAll(/\s+/g, ' ') };
}

function modes(bed: Bed): (string | undefined)[] {
  return planned(bed).map(name => truthOf(bed.sim, name).mode);
}

/** Nodes in the order in which their own kube-proxies were asked to go, since that many events. */
function released({ checker }: Bed, since: number): string[] {
  const { events } = checker.order;
  return events.slice(since).flatMap(e => (e.event === 'step-intended' && e.step === 'release' ? [e.node] : []));
}

/** A rollback died when it had released the last node; another one is wanted back. */
export const otherWanted = () =>
  withBed(THREE, async bed => {
    await ends(bed, 'migrate', 0);
    const [wanted = '', , left = ''] = planned(bed);
    assert.equal((await back(bed, left, 'sweep')).code, 'killed');
    const since = bed.checker.order.events.length;
    const { code, said } = await back(bed, wanted);
    assert.equal(code, 0, said);
    assert.match(said, new RegExp(`goes back to iptables, after what was left in the middle of a flip: ${left} `));
    assert.deepEqual(released(bed, since), [left, wanted]);
    assert.deepEqual(modes(bed), ['iptables', 'nftables', 'iptables']);
  });

/** The same, and the one that was left is dead: it is gone past and named. */
export const otherWantedWhileDead = () =>
  withBed(THREE, async bed => {
    await ends(bed, 'migrate', 0);
    const [wanted = '', , left = ''] = planned(bed);
    assert.equal((await back(bed, left, 'sweep')).code, 'killed');
    const rise = bed.sim.fault.nodeNotReady(left);
    const { code, said } = await back(bed, wanted);
    assert.equal(code, 21, said);
    assert.match(said, new RegExp(`could not put back ${left} \\(not Ready\\)`));
    assert.equal(modes(bed)[0], 'iptables');
    rise();
  });

/** The one that was left is not the last of the plan, with which a rollback begins. */
export const allWanted = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    await ends(bed, 'migrate', 0);
    const [left = '', other = '', last = ''] = planned(bed);
    assert.equal((await back(bed, left, 'sweep')).code, 'killed');
    const since = bed.checker.order.events.length;
    await ends(bed, 'rollback', 0);
    assert.deepEqual(released(bed, since), [left, last, other]);
    expectMode(bed, 'iptables');
    await bed.sleep(5000);
    assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
  });

/** It is handed over, and a Service has no rules in the mode that it came home to. */
export const redAtHome = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    await ends(bed, 'migrate', 0);
    const service = aService(bed);
    bed.checker.excused.add(service);
    let clear = () => {};
    const first = planned(bed).at(-1) ?? '';
    when(bed, 'hand-over', node => {
      assert.equal(node, first);
      clear = bed.sim.fault.silentService(node, service, ['iptables']);
    });
    const named = new RegExp(
      `${first} is not well on its way back to iptables: .*kernel-rules: .*no other node goes back`,
    );
    await ends(bed, 'rollback', 21, named);
    assert.deepEqual(modes(bed), ['nftables', 'nftables', 'iptables']);
    clear();
    await ends(bed, 'rollback', 0);
    await bed.sleep(5000);
    assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
  });

const oddSkips = (node: string): readonly (readonly [UndoOptions, RegExp])[] => [
  [{ skip: `${node},moon` }, /--skip names moon, which is no node of this cluster; there are /],
  [{ skip: node, node }, /both name /],
];

/** It does not get well: the operator has it left alone, and the others go back; it comes home once it is mended. */
export const skipped = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    await ends(bed, 'migrate', 0);
    const service = aService(bed);
    bed.checker.excused.add(service);
    const [, , bad = ''] = planned(bed);
    let clear = () => {};
    when(bed, 'sweep', node => {
      clear = bed.sim.fault.silentService(node, service, ['iptables']);
    });
    await ends(bed, 'rollback', 21, new RegExp(`but with --skip ${bad}`));
    await ends(bed, 'rollback', 21, new RegExp(`${bad} is not well`));
    assert.deepEqual(modes(bed), ['nftables', 'nftables', 'iptables']);
    for (const [wanted, says] of oddSkips(bad)) {
      const refused = await rolledBack(bed, wanted);
      assert.equal(refused.code, 64, refused.said);
      assert.match(refused.said, says);
    }
    bed.checker.passedOver.add(bad);
    const { code, said } = await rolledBack(bed, { skip: bad });
    assert.equal(code, 21, said);
    assert.match(said, new RegExp(`go back to iptables, but for ${bad}, left as it is`));
    assert.match(said, new RegExp(`could not put back ${bad} \\(skipped\\)`));
    assert.deepEqual(modes(bed), ['iptables', 'iptables', 'iptables']);
    clear();
    await ends(bed, 'rollback', 0);
    expectMode(bed, 'iptables');
    await bed.sleep(5000);
    assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
  });

/** The old mode cannot be proven beside the new one, which serves on: the others go back, and it is named. */
export const redBeforeItsRelease = () =>
  withBed(THREE, async bed => {
    await ends(bed, 'migrate', 0);
    const service = aService(bed);
    let clear = () => {};
    const first = planned(bed).at(-1) ?? '';
    when(bed, 'warm', node => {
      clear = bed.sim.fault.silentService(node, service, ['iptables']);
    });
    await ends(bed, 'rollback', 21, new RegExp(`could not put back ${first} \\(.*kernel-rules: `));
    assert.deepEqual(modes(bed), ['iptables', 'iptables', 'nftables']);
    assert.equal(modeLabel(bed.sim.store.get('Node', undefined, first) ?? assert.fail()), 'nftables');
    clear();
    await ends(bed, 'rollback', 0);
    expectMode(bed, 'iptables');
  });
