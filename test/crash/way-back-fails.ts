// A gate is red, and what it leads to fails as well: both are told, and a rollback puts all in order later.
import assert from 'node:assert/strict';
import type { RunEvent } from '../../src/core/journal.ts';
import { objectsOf } from '../scenarios/embedded-testbed.ts';
import { differences } from '../scenarios/testbed.ts';
import { type Bed, SHORT, withBed } from './bed.ts';
import { configText, writeConfig } from './meddling.ts';
import { aService, ends } from './script.ts';
import { expectMode } from './sweep.ts';

const BOTH = /kernel-rules: .*; the way back from that failed: .*says mode ipvs, and so \S+ would start in it/;

/** A Service has no rules on the last node once it is flipped; from a moment after that no node may be given back. */
function failing(onRed: 'node' | 'run', from: (event: RunEvent) => boolean): Promise<void> {
  const playbook = SHORT.replace(' }', `, onRed: ${onRed} }`);
  return withBed({ mode: 'iptables', to: 'nftables', seed: 59, playbook }, async bed => {
    const before = objectsOf(bed.sim);
    const was = configText(bed);
    const clear = silentOnSecond(bed, event => {
      if (from(event)) writeConfig(bed, was.replace(/^mode: .*$/m, 'mode: ipvs'));
    });
    await ends(bed, 'migrate', 21, BOTH);
    const closed = bed.checker.order.events.findLast(event => event.event === 'run-closed');
    assert.match(closed?.reason ?? '', BOTH);
    clear();
    writeConfig(bed, was);
    await ends(bed, 'rollback', 0);
    expectMode(bed, 'iptables');
    await bed.sleep(5000);
    assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
  });
}

/** Gives what mends it. */
function silentOnSecond(bed: Bed, then: (event: RunEvent) => void): () => void {
  const service = aService(bed);
  bed.checker.excused.add(service);
  const flipped = new Set<string>();
  const clears: (() => void)[] = [];
  bed.checker.heard = event => {
    then(event);
    if (event.event !== 'step-intended' || event.step !== 'hand-over') return;
    flipped.add(event.node);
    if (flipped.size === 2 && clears.length === 0)
      clears.push(bed.sim.fault.silentService(event.node, service, ['nftables']));
  };
  return () => {
    bed.checker.heard = () => {};
    for (const clear of clears) clear();
  };
}

/** The node in hand cannot be put back. */
export const nodeStays = () => failing('node', event => event.event === 'step-intended' && event.to === 'iptables');

/** It can, but not the run with it. */
export function runStays(): Promise<void> {
  let prepared = 0;
  return failing('run', event => event.event === 'phase-started' && event.phase === 'prepare' && ++prepared === 2);
}
