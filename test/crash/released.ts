// A runner dies when it has released a node: only the warm kube-proxy serves it then. Whatever happens to the next runner, the
// node keeps a kube-proxy.
import assert from 'node:assert/strict';
import { ANNOTATION_CONTROL, LABEL_PART, NAMESPACE, PARTS } from '../../src/core/names.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { platformCleanup } from '../../src/sim/cleanup.ts';
import { type Action, type Bed, withBed } from './bed.ts';
import { aService } from './script.ts';
import { expectMode } from './sweep.ts';

const THERE = { mode: 'iptables', to: 'nftables', seed: 43 } as const;

/** Runs a command; `act` is called once with the node, when that comes to a step of this run. */
async function run(
  bed: Bed,
  action: Action,
  step = '',
  act: (node: string, process: { die(): void }) => void = () => {},
) {
  const process = bed.process(action);
  let done = false;
  bed.checker.heard = event => {
    if (done || event.event !== 'step-intended' || event.step !== step) return;
    done = true;
    act(event.node, process);
  };
  const code = await bed.run(process, action);
  return { code, said: process.output.replaceAll(/\s+/g, ' ') };
}

/** A runner is killed between release and hand-over; gives the node. */
async function released(bed: Bed): Promise<string> {
  let name = '';
  const { code } = await run(bed, 'migrate', 'sweep', (node, process) => {
    name = node;
    process.die();
  });
  assert.equal(code, 'killed');
  assert.equal(labelOf(bed, name), 'none');
  return name;
}

function labelOf({ sim }: Bed, name: string): string | undefined {
  const node = sim.store.get('Node', undefined, name);
  return node && modeLabel(node);
}

function isWarm({ sim }: Bed, node: string): boolean {
  return sim.store.list('Pod', 'kube-system').some(pod => {
    return pod.metadata.labels?.[LABEL_PART] === PARTS.warm && pod.spec.nodeName === node;
  });
}

/** An operator wants the run to stop. */
function abort({ sim }: Bed): void {
  sim.store.mutate('Lease', NAMESPACE, NAMESPACE, lease => {
    const wish = { by: 'somebody', at: '2026-01-01T00:00:00Z' };
    lease.metadata.annotations = {
      ...lease.metadata.annotations,
      [ANNOTATION_CONTROL]: JSON.stringify({ change: 99, abort: wish }),
    };
  });
}

export const stoppedAgain = () =>
  withBed(THERE, async bed => {
    const node = await released(bed);
    const stopped = await run(bed, 'migrate', 'warm', () => abort(bed));
    assert.equal(stopped.code, 23, stopped.said);
    assert.equal(labelOf(bed, node), 'none');
    assert.ok(isWarm(bed, node), 'nothing serves the node any more');
    const last = await run(bed, 'migrate');
    assert.equal(last.code, 0, last.said);
    expectMode(bed, 'nftables');
  });

export const redAgain = () =>
  withBed(THERE, async bed => {
    const node = await released(bed);
    let clear = () => {};
    const service = aService(bed);
    bed.checker.excused.add(service);
    // In the mode that it goes on to a Service has no rules; in the one that it came from it has.
    const red = await run(bed, 'migrate', 'prove', name => {
      assert.equal(name, node);
      clear = bed.sim.fault.silentService(node, service, ['nftables']);
    });
    assert.equal(red.code, 21, red.said);
    assert.equal(labelOf(bed, node), undefined, red.said);
    assert.ok(!isWarm(bed, node));
    expectMode(bed, 'iptables');
    clear();
    const last = await run(bed, 'migrate');
    assert.equal(last.code, 0, last.said);
    expectMode(bed, 'nftables');
  });

export const releaseRefused = () =>
  withBed(THERE, async bed => {
    const { store } = bed.sim;
    let was: unknown;
    let name = '';
    // GitOps puts the DaemonSet back while the node is proven.
    const refused = await run(bed, 'migrate', 'prove', node => {
      name = node;
      store.mutate('DaemonSet', 'kube-system', 'kube-proxy', set => {
        was = structuredClone(set.spec.template);
        set.spec.template = structuredClone(bed.shipped.spec.template);
      });
    });
    assert.equal(refused.code, 21, refused.said);
    assert.match(refused.said, /by somebody else since the run began/);
    assert.equal(labelOf(bed, name), undefined);
    assert.ok(!isWarm(bed, name), 'the warm kube-proxy runs on beside the old one');
    assert.ok(was);
    store.mutate('DaemonSet', 'kube-system', 'kube-proxy', set => {
      set.spec.template = was;
    });
    const last = await run(bed, 'migrate');
    assert.equal(last.code, 0, last.said);
    expectMode(bed, 'nftables');
  });

/** The runner died when it had begun to take the warm kube-proxy away, which takes its time to end: another one is made at once. */
export const warmEnds = () =>
  withBed(THERE, async bed => {
    const node = await released(bed);
    bed.sim.speed.podStop = 20_000;
    const name = `proxyctl-warm-${node}`;
    const began = bed.time.elapsed;
    const last = await run(bed, 'migrate', 'warm', () => {
      bed.sim.registry.delete({ kind: 'Pod', namespace: 'kube-system', name }, {});
    });
    assert.equal(last.code, 0, last.said);
    assert.ok(bed.time.elapsed - began < 150_000, `${bed.time.elapsed - began} ms`);
    expectMode(bed, 'nftables');
  });

/** The old kube-proxy starts once more, after the proof and before it goes: such a start removes what the warm one has written. */
export const oldOneStartsOnceMore = () =>
  withBed(THERE, async bed => {
    for (const [action, serving, to] of [
      ['migrate', 'iptables', 'nftables'],
      ['rollback', 'nftables', 'iptables'],
    ] as const) {
      let struck = '';
      const { code, said } = await run(bed, action, 'release', node => {
        struck = node;
        platformCleanup(bed.sim.node(node).kernel, serving, () => true);
      });
      assert.notEqual(struck, '');
      assert.equal(code, 0, said);
      expectMode(bed, to);
    }
  });
