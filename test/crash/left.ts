// Nodes leave in the middle of a run, or come again as other machines; the run goes on with the rest of its plan.
import assert from 'node:assert/strict';
import type { RunEvent } from '../../src/core/journal.ts';
import { LABEL_PART, PARTS } from '../../src/core/names.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { truthOf } from '../scenarios/embedded-testbed.ts';
import { type Bed, SHORT, withBed } from './bed.ts';
import { ends, planned, when } from './script.ts';
import { expectMode } from './sweep.ts';

const FOUR = { mode: 'iptables', to: 'nftables', seed: 45, nodes: 4 } as const;
const [FIRST, LATER] = ['node-1', 'node-3'];
/** Who is lost, and while which node flips. */
const LOST = [
  [FIRST, 'node-2'],
  [LATER, FIRST],
] as const;
const PLAYBOOK = `order: { canary: ${FIRST} }\n${SHORT}`;

/** What leaves takes no Service with it: nothing but kube-proxy runs on the node. */
function withLeaver(name: string, script: (bed: Bed) => Promise<void>, wishes = ''): Promise<void> {
  return withBed({ ...FOUR, playbook: `${wishes}${PLAYBOOK}` }, bed => {
    for (const pod of bed.sim.store.list('Pod'))
      if (pod.spec.nodeName === name && pod.metadata.namespace !== 'kube-system') bed.sim.store.remove(pod);
    return script(bed);
  });
}

/** It has no rules before its kube-proxy has written some. */
function join({ sim, checker }: Bed, name: string): void {
  checker.rebooted(name);
  sim.addNode(name);
}

/** Another machine under the same name, in the mode of the shared configuration; it is Ready at once. */
function makeAnew(bed: Bed, name: string): void {
  bed.sim.removeNode(name);
  join(bed, name);
}

function notes({ checker }: Bed): string {
  return checker.order.events
    .filter((event): event is RunEvent & { event: 'note' } => event.event === 'note')
    .map(({ text }) => text)
    .join('\n');
}

function modeOf({ sim }: Bed, name: string): string | undefined {
  return truthOf(sim, name).mode;
}

/** It leaves when it is done, or before its turn. */
export async function gone(): Promise<void> {
  for (const [leaver, inHand] of LOST) {
    await withLeaver(leaver, async bed => {
      when(bed, 'warm', () => bed.sim.removeNode(leaver), inHand);
      await ends(bed, 'migrate', 0, new RegExp(`every node of the plan that is still there .* gone is ${leaver}`));
      assert.match(notes(bed), new RegExp(`node ${leaver} is gone`));
      expectMode(bed, 'nftables');
      await ends(bed, 'finalize', 0);
      expectMode(bed, 'nftables');
    });
  }
}

/** It leaves in the middle of its flip: the run halts and names it, and goes on without it. */
export async function goneInHand(): Promise<void> {
  for (const step of ['warm', 'release', 'verify']) {
    await withLeaver(FIRST, async bed => {
      when(bed, step, () => bed.sim.removeNode(FIRST), FIRST);
      await ends(
        bed,
        'migrate',
        21,
        new RegExp(`node ${FIRST} left in the middle of its flip.*'proxyctl resume' goes on`),
      );
      await ends(bed, 'migrate', 0);
      expectMode(bed, 'nftables');
    });
  }
}

/** Its turn was over, or had not come: it is left alone and named, and the next call brings it along. */
export async function anew(): Promise<void> {
  for (const [other, inHand] of LOST) {
    await withLeaver(other, async bed => {
      when(bed, 'warm', () => makeAnew(bed, other), inHand);
      await ends(bed, 'migrate', 0, new RegExp(`joined 1 node that is not in it: ${other} \\(iptables\\)`));
      assert.match(notes(bed), new RegExp(`node ${other} was made anew`));
      assert.equal(modeOf(bed, other), 'iptables');
      await ends(bed, 'finalize', 20, new RegExp(`${other} \\(iptables\\)`));
      await ends(bed, 'migrate', 0, new RegExp(`${other} \\(iptables\\)`));
      expectMode(bed, 'nftables');
      await ends(bed, 'rollback', 0);
      await bed.sleep(5000);
      expectMode(bed, 'iptables');
    });
  }
}

/** The machine in hand is replaced: the run halts, and the next call takes the new one for one that joined, or puts all back. */
export async function anewInHand(): Promise<void> {
  for (const [step, next] of [
    ['prove', 'migrate'],
    ['release', 'migrate'],
    ['release', 'rollback'],
  ] as const) {
    await withLeaver(FIRST, async bed => {
      when(bed, step, () => makeAnew(bed, FIRST), FIRST);
      await ends(bed, 'migrate', 21, new RegExp(`node ${FIRST} was made anew in the middle of its flip`));
      const machine = bed.sim.store.get('Node', undefined, FIRST);
      assert.equal(machine && modeLabel(machine), undefined);
      await bed.sleep(20_000);
      assert.equal(modeOf(bed, FIRST), 'iptables');
      await ends(bed, next, 0);
      expectMode(bed, next === 'migrate' ? 'nftables' : 'iptables');
    });
  }
}

/** Somebody drains the node by force between the proof and the release: without the warm kube-proxy nothing is released. */
export const warmGone = () =>
  withBed({ ...FOUR, playbook: PLAYBOOK }, async bed => {
    const warm = () =>
      bed.sim.store.list('Pod', 'kube-system').filter(pod => pod.metadata.labels?.[LABEL_PART] === PARTS.warm);
    when(bed, 'release', () => warm().forEach(pod => void bed.sim.store.remove(pod)), FIRST);
    await ends(bed, 'migrate', 21, new RegExp(`the warm kube-proxy on ${FIRST} .*ran no more`));
    assert.equal(modeOf(bed, FIRST), 'iptables');
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
  });

/** Planned, untouched and not Ready: it holds up nobody before its own turn. */
export const sickBeforeItsTurn = () =>
  withLeaver(LATER, async bed => {
    let rise = () => {};
    when(bed, 'warm', () => {
      rise = bed.sim.fault.nodeNotReady(LATER);
    });
    await ends(bed, 'migrate', 21);
    const { events } = bed.checker.order;
    const batches = events.find(event => event.event === 'run-opened')?.batches ?? [];
    const done = events.filter(event => event.event === 'batch-done').map(event => event.batch);
    const its = batches.findIndex(batch => batch.nodes.includes(LATER));
    assert.ok(its > 0);
    assert.deepEqual(
      done,
      batches.slice(0, its).map(batch => batch.id),
    );
    const sick = bed.sim.store.get('Node', undefined, LATER);
    assert.equal(sick && modeLabel(sick), undefined);
    rise();
    await bed.sleep(20_000);
    await ends(bed, 'migrate', 0);
    expectMode(bed, 'nftables');
  });

/** The canary leaves before the way back was rehearsed on it: the next node rehearses it. */
export const canaryGone = () =>
  withLeaver(
    FIRST,
    async bed => {
      when(bed, 'prepare', () => bed.sim.removeNode(FIRST));
      await ends(bed, 'migrate', 0);
      const rehearsed = bed.checker.order.events.filter(event => event.event === 'rehearsal-done').map(e => e.node);
      assert.deepEqual(rehearsed, [planned(bed)[1]]);
      expectMode(bed, 'nftables');
    },
    'rehearse: canary\n',
  );

/** Those who joined and cannot be flipped are left out and named; the run goes on, with those who can. */
export const unfitNewcomers = () =>
  withBed(FOUR, async bed => {
    const { sim } = bed;
    await halfDone(bed);
    for (const name of ['old', 'young', 'other', 'fine']) join(bed, name);
    await bed.sleep(20_000);
    sim.store.mutate('Node', undefined, 'old', copy => {
      copy.status.nodeInfo.kernelVersion = '3.10.0';
    });
    sim.store.mutate('Pod', 'kube-system', podOn(bed, 'other'), copy => {
      copy.spec.containers[0].image = copy.spec.containers[0].image.replace(/\d+$/, '0');
    });
    sim.fault.nodeNotReady('young');
    const said = await ends(bed, 'migrate', 0, /old: kernel-version: kernel 3\.10 is older/);
    assert.match(said, /other: has no way back: runs image .*--one-way other/);
    assert.match(said, /young: not Ready/);
    assert.match(said, /1 node joined since the plan was made: batch-\d+: fine \(iptables\)/);
    for (const { name } of sim.nodes) {
      const left = ['old', 'young', 'other'].includes(name);
      assert.equal(modeOf(bed, name), left ? 'iptables' : 'nftables', name);
    }
  });

/** What preflight has against the cluster as it is by now keeps newcomers out, not the run from its end. */
export const unfitCluster = () =>
  withBed(FOUR, async bed => {
    const { sim } = bed;
    await halfDone(bed);
    join(bed, 'late');
    sim.store.mutate('DaemonSet', 'kube-system', 'kube-proxy', copy => {
      copy.metadata.annotations = { ...copy.metadata.annotations, 'argocd.argoproj.io/tracking-id': 'x' };
    });
    await bed.sleep(20_000);
    await ends(bed, 'migrate', 0, /late: ownership: daemonset kube-system\/kube-proxy: /);
    for (const { name } of sim.nodes) assert.equal(modeOf(bed, name), name === 'late' ? 'iptables' : 'nftables', name);
  });

/** The canary is flipped, and the next node is called off. */
async function halfDone(bed: Bed): Promise<void> {
  const calm = bed.sim.fault.crashLoop('nftables', 'node-2');
  await ends(bed, 'migrate', 21);
  calm();
}

function podOn({ sim }: Bed, node: string): string {
  const pod = sim.store
    .list('Pod', 'kube-system')
    .find(p => p.spec.nodeName === node && /^kube-proxy-/.test(p.metadata.name));
  return pod?.metadata.name ?? '';
}
