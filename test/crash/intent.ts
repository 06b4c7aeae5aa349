// What takes a kube-proxy away stands in the journal before it does; the checker holds every run to it, and these come there.
import assert from 'node:assert/strict';
import { type Bed, withBed } from './bed.ts';
import { ends, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'ipvs', seed: 67 } as const;

function steps({ checker }: Bed): string[] {
  return checker.order.events.flatMap(event => (event.event === 'step-intended' ? [event.step] : []));
}

/** A flip that a dead runner had begun is called off: the warm kube-proxy goes, and the node's own restarts. */
export const calledOff = () =>
  withBed(THERE, async bed => {
    const killed = bed.process('migrate');
    when(bed, 'prove', () => killed.die());
    assert.equal(await bed.run(killed, 'migrate'), 'killed');
    await ends(bed, 'rollback', 0);
    assert.ok(steps(bed).includes('call-off'));
    expectMode(bed, 'iptables');
  });

/** A node that came during the run has a kube-proxy of the template that goes. */
export const joined = () =>
  withBed(THERE, async bed => {
    await ends(bed, 'migrate', 0);
    bed.checker.rebooted('node-3');
    bed.sim.addNode('node-3');
    await bed.sleep(20_000);
    await ends(bed, 'rollback', 0, /restart: kube-proxy on node-3, which came during the run/);
    expectMode(bed, 'iptables');
  });
