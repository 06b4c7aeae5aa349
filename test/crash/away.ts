// Nodes that are away while a run goes on: dead, gone, or made anew. What belongs to the others goes on.
import assert from 'node:assert/strict';
import { modeLabel } from '../../src/core/run-state.ts';
import { objectsOf, truthOf } from '../scenarios/embedded-testbed.ts';
import { differences } from '../scenarios/testbed.ts';
import { type Bed, withBed } from './bed.ts';
import { ends, planned, when } from './script.ts';
import { expectMode } from './sweep.ts';

const THREE = { mode: 'iptables', to: 'nftables', seed: 43, nodes: 3 } as const;
/** Below one wait for watchers on a node that never starts them. */
const SOON_MS = 240_000;

function nth(bed: Bed, index: number): string {
  const name = planned(bed).at(index);
  assert.ok(name !== undefined);
  return name;
}

function modes({ sim }: Bed): Record<string, string> {
  return Object.fromEntries(sim.nodes.map(({ name }) => [name, String(truthOf(sim, name).mode)]));
}

function stands({ sim }: Bed): boolean {
  return sim.store.get('Namespace', undefined, 'proxyctl')?.metadata.deletionTimestamp === undefined;
}

/** The rest of the way back, once every node is there again. */
async function allBack(bed: Bed, before: ReadonlyMap<string, string>): Promise<void> {
  await bed.sleep(20_000);
  await ends(bed, 'rollback', 0);
  await bed.sleep(5000);
  expectMode(bed, 'iptables');
  assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
}

const allButOne = (bed: Bed, away: string, its: string) =>
  Object.fromEntries(bed.sim.nodes.map(({ name }) => [name, name === away ? its : 'iptables']));

/** The first to go back is dead when the rollback begins. */
export const deadBefore = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    await ends(bed, 'migrate', 0);
    const away = nth(bed, -1);
    const rise = bed.sim.fault.nodeNotReady(away);
    const began = bed.time.elapsed;
    const said = await ends(bed, 'rollback', 21, new RegExp(`could not put back ${away} \\(not Ready\\)`));
    assert.match(said, /'proxyctl rollback' again; what is not Ready goes back once it is/);
    assert.ok(bed.time.elapsed - began < SOON_MS, `${bed.time.elapsed - began} ms`);
    assert.deepEqual(modes(bed), allButOne(bed, away, 'nftables'));
    assert.ok(stands(bed));
    rise();
    await allBack(bed, before);
  });

/** It dies in a step of its way back. Where its own gates can still be passed it only lacks its last restart. */
export async function deadOnItsWay(): Promise<void> {
  for (const step of ['watch', 'release', 'verify'] as const) {
    await withBed(THREE, async bed => {
      const before = objectsOf(bed.sim);
      await ends(bed, 'migrate', 0);
      const away = nth(bed, -1);
      let rise = () => {};
      when(bed, step, node => {
        assert.equal(node, away);
        rise = bed.sim.fault.nodeNotReady(node);
      });
      await ends(bed, 'rollback', 21, new RegExp(`could not (put back|restart kube-proxy on) ${away} `));
      for (const node of planned(bed).slice(0, -1)) assert.equal(modes(bed)[node], 'iptables', `${step}: ${node}`);
      rise();
      await allBack(bed, before);
    });
  }
}

/** It dies beside its warm kube-proxy, which nobody can call off then. */
export const deadWhenWarm = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    const clear: (() => void)[] = [];
    bed.checker.heard = event => {
      if (event.event !== 'step-intended' || event.step !== 'prove' || clear.length > 0) return;
      if (bed.sim.store.list('Node').every(node => modeLabel(node) !== 'nftables')) return;
      clear.push(bed.sim.fault.nodeNotReady(event.node));
    };
    await ends(bed, 'migrate', 21);
    assert.equal(clear.length, 1);
    const away = nth(bed, 1);
    await ends(bed, 'rollback', 21, new RegExp(`could not put back ${away} \\(not Ready\\)`));
    expectModesOfOthers(bed, away);
    for (const rise of clear) rise();
    await allBack(bed, before);
  });

/** It dies as its own kube-proxy is asked to go: the run says that, and not only what it waited for. */
export const deadInRelease = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    let rise = () => {};
    when(bed, 'release', node => {
      rise = bed.sim.fault.nodeNotReady(node);
    });
    const away = /node (\S+) is not Ready: waited 180 s for the kube-proxy on \1 to end/;
    await ends(bed, 'migrate', 21, away);
    rise();
    await allBack(bed, before);
  });

function expectModesOfOthers(bed: Bed, away: string): void {
  for (const { name } of bed.sim.nodes)
    if (name !== away) assert.equal(truthOf(bed.sim, name).mode, 'iptables', `${name} is not back`);
}

/** All are back, and one that still runs the intermediate template is dead. */
export const deadWithOldTemplate = () =>
  withBed(THREE, async bed => {
    const before = objectsOf(bed.sim);
    await ends(bed, 'migrate', 0);
    const away = nth(bed, 1);
    let rise = () => {};
    when(bed, 'restore', () => {
      rise = bed.sim.fault.nodeNotReady(away);
    });
    const began = bed.time.elapsed;
    await ends(bed, 'rollback', 21, new RegExp(`could not restart kube-proxy on ${away} \\(not Ready\\)`));
    assert.ok(bed.time.elapsed - began < SOON_MS, `${bed.time.elapsed - began} ms`);
    const restarted = bed.checker.order.events.filter(event => event.event === 'node-restarted').map(e => e.node);
    assert.deepEqual(
      restarted.toSorted(),
      planned(bed)
        .filter(node => node !== away)
        .toSorted(),
    );
    const { updateStrategy } = bed.sim.registry.read({
      kind: 'DaemonSet',
      namespace: 'kube-system',
      name: 'kube-proxy',
    }).spec;
    assert.equal(updateStrategy.type, 'OnDelete');
    assert.ok(stands(bed));
    rise();
    await allBack(bed, before);
  });

/** Between two modes when a rollback went past it: it goes home before the next migration opens another node. */
export const deadThenForward = () =>
  withBed(THREE, async bed => {
    await ends(bed, 'migrate', 0);
    const away = nth(bed, -1);
    let rise = () => {};
    when(bed, 'release', node => {
      rise = bed.sim.fault.nodeNotReady(node);
    });
    await ends(bed, 'rollback', 21, new RegExp(`could not put back ${away} `));
    rise();
    await bed.sleep(20_000);
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
  });

/** The same, where another runner had marked it once more and died: it bears the first step, and is between two modes. */
export const deadThenMarked = () =>
  withBed(THREE, async bed => {
    await ends(bed, 'migrate', 0);
    const away = nth(bed, -1);
    for (const step of ['sweep', 'prove']) {
      const killed = bed.process('rollback');
      when(bed, step, () => killed.die());
      assert.equal(await bed.run(killed, 'rollback'), 'killed');
    }
    const rise = bed.sim.fault.nodeNotReady(away);
    await ends(bed, 'rollback', 21, new RegExp(`could not put back ${away} `));
    rise();
    await bed.sleep(20_000);
    const { events } = bed.checker.order;
    const before = events.length;
    await ends(bed, 'migrate', 0);
    const first = events.slice(before).find(event => event.event === 'step-intended');
    assert.equal(first?.node, away, 'another node flips while it is between two modes');
    expectMode(bed, 'nftables');
  });

/** It was put back and rebooted, which its watchers did not outlive: once they are silent, others look at its last restart. */
export const rebootedOnceBack = () =>
  withBed({ ...THREE, nodes: 5 }, async bed => {
    const before = objectsOf(bed.sim);
    await ends(bed, 'migrate', 0);
    when(
      bed,
      'watch',
      () => {
        bed.checker.rebooted(nth(bed, -1));
        bed.sim.reboot(nth(bed, -1));
      },
      nth(bed, -2),
    );
    await ends(bed, 'rollback', 0);
    await bed.sleep(5000);
    expectMode(bed, 'iptables');
    assert.deepEqual(differences(before, objectsOf(bed.sim)), []);
  });
