// What rollback and finalize share: nodes return to the original DaemonSet, and nothing of ours stays.

import type { KubeObject } from '../core/cluster.ts';
import type { FlipNode } from '../core/driver.ts';
import { EXIT, PodWillNotStart, ProxyctlError } from '../core/errors.ts';
import type { Mode } from '../core/mode.ts';
import { modeLabel, nodeState, type Step } from '../core/run-state.ts';
import { scopeOfNode } from '../core/scope.ts';
import { type Engine, Halt, judgeUntilPassed, lookAt, Red } from './engine.ts';
import { callOff, flipNode, step } from './flip.ts';
import type { NodeWatch } from './node-watch.ts';
import { type Ending, phase, refuseCommitted } from './phase.ts';
import { Watches } from './watches.ts';

/** Undoes the run, last node first; `only` undoes one node and leaves the rest as it is. */
export async function rollback(engine: Engine, only?: string): Promise<Ending> {
  const { run } = engine;
  const watches = new Watches(engine);
  await refuseCommitted(engine);
  try {
    const ending = await putBack(engine, watches, ({ node }) => only === undefined || node.name === only);
    if (ending) return ending;
    if (only !== undefined) {
      return {
        outcome: 'rolled back',
        reason: `${only} is as it was`,
        next: "'proxyctl rollback' for the others, 'proxyctl migrate' to go on",
      };
    }
    const modes = [...new Set(run.plan.batches.flatMap(b => b.nodes.map(n => n.from)))];
    await leave(engine, watches, modes[0] ?? run.plan.to);
    return {
      outcome: 'rolled back',
      reason: `every node serves in mode ${modes.join(', ')} again, and nothing of proxyctl is left`,
      next: '',
    };
  } catch (error) {
    return haltedBy(error, "look at the node named, then 'proxyctl rollback' again");
  } finally {
    await watches.closed();
  }
}

/** Puts nodes of the run back, last planned first. What ended it early, or undefined when all of them are as they were. */
export async function putBack(
  engine: Engine,
  watches: Watches,
  chosen: (open: OpenNode) => boolean,
): Promise<Ending | undefined> {
  const stuck: string[] = [];
  const open = (await openNodes(engine)).filter(chosen);
  watches.prefetch(open[0]?.node.name);
  // Somebody may have put back or removed what a way back needs as much as a way there.
  if (open.length > 0) await phase(engine, 'prepare', 'objects of the run', () => engine.driver.prepare(engine.run));
  for (const [index, { node, batch, touched }] of open.entries()) {
    await engine.pausePoint();
    if (engine.stop.aborted) return stopped(engine);
    const watch = await watches.of(node.name);
    const onReleased = () => watches.prefetch(open[index + 1]?.node.name);
    try {
      await (touched === 'flipped'
        ? flipNode({ engine, node, batch, watch, direction: 'back', resumed: true, onReleased })
        : callOff(engine, { node: node.name, left: node.from, now: node.to }));
      engine.journal.append({ event: 'node-back', batch, node: node.name, mode: node.to });
    } catch (error) {
      // Where the new mode serves as before, other nodes may go back meanwhile.
      if (!(error instanceof Red) && !(error instanceof PodWillNotStart && (await isFlipped(engine, node.name))))
        throw error;
      stuck.push(`${node.name} (${error.message})`);
    }
    watches.leave(node.name);
  }
  if (stuck.length === 0) return undefined;
  return {
    outcome: 'halted',
    reason: `could not put back ${stuck.join(', ')}`,
    next: "look at the nodes named, then 'proxyctl rollback' again",
  };
}

/** The new mode serves there as before. */
export async function isFlipped({ run }: Engine, name: string): Promise<boolean> {
  const object = await run.cluster.get({ kind: 'Node', name });
  return object !== undefined && modeLabel(object) === run.plan.to;
}

/** Makes the new mode the shared one and gives the nodes back. After it, undo is a new migration. */
export async function finalize(engine: Engine): Promise<Ending> {
  const { run, driver, journal } = engine;
  const watches = new Watches(engine);
  try {
    const nodes = run.plan.batches.flatMap(b => b.nodes.map(n => ({ name: n.name, batch: b.id })));
    watches.prefetch(nodes[0]?.name);
    // Whoever goes on finds nodes that were given back already; without a label they serve in the new mode as well.
    for (const { name } of nodes) engine.expectedModes.set(name, run.plan.to);
    await phase(engine, 'commit', 'the shared configuration', () => driver.commit(run));
    for (const [index, { name, batch }] of nodes.entries()) {
      await engine.pausePoint();
      if (engine.stop.aborted) return { ...stopped(engine), next: "'proxyctl finalize' goes on" };
      const object = await run.cluster.get({ kind: 'Node', name });
      if (!object || !isOpen(object)) continue;
      const watch = await watches.of(name);
      watches.prefetch(nodes[index + 1]?.name);
      journal.append({ event: 'waiting', node: name, for: 'a plain restart under the original DaemonSet' });
      await watched(watch);
      const node: FlipNode = { name, from: run.plan.to, to: run.plan.to, home: 'original' };
      const at = { engine, batch, node };
      const begun = { clock: run.clock.monotonic(), node: watch.now() };
      await step(at, 'release', () => driver.release(run, node));
      const asked = watch.now();
      await step(at, 'hand-over', () => driver.handOver(run, node));
      await step(at, 'verify', () => steady(engine, watch, run.plan.to, asked));
      restarted(at, watch, begun);
      await driver.mark(run, node, 'done');
      journal.append({ event: 'node-back', batch, node: name, mode: run.plan.to });
      watches.leave(name);
    }
    await leave(engine, watches, run.plan.to);
    return {
      outcome: 'done',
      reason: `mode ${run.plan.to} is the cluster's own now`,
      next: 'the way back from here is a new migration',
    };
  } catch (error) {
    return haltedBy(error, "look at the node named, then 'proxyctl finalize' goes on");
  } finally {
    await watches.closed();
  }
}

/** The original object as it was (`shared` is the mode its configuration says); pods of the intermediate template restarted one by one; our objects gone. */
async function leave(engine: Engine, watches: Watches, shared: Mode): Promise<void> {
  const { driver, run } = engine;
  await phase(engine, 'restore', 'the original DaemonSet', () => driver.restoreTemplate(run));
  const outdated = await driver.outdated(run);
  const steps = await stepsOf(engine);
  const bearing = (wanted: Step) => [...steps].flatMap(([name, step]) => (step === wanted ? [name] : []));
  // Restarted by a run that was left before anybody had looked at them.
  const unseen = bearing('verify').filter(name => !outdated.includes(name));
  // The one whose flip was called off was restarted then: it is looked at before another restarts.
  const first = bearing('warm').filter(name => outdated.includes(name));
  const all = [...new Set([...unseen, ...first, ...outdated])];
  watches.prefetch(all[0]);
  for (const [index, name] of all.entries()) {
    const watch = await watches.of(name);
    watches.prefetch(all[index + 1]);
    await watched(watch);
    // A node that came during the run was served by the original DaemonSet all the time.
    await restart(engine, watch, engine.expectedModes.get(name) ?? shared, outdated.includes(name));
    watches.stop(name);
  }
  await watches.closed();
  await phase(engine, 'leave', 'what proxyctl made', () => driver.leave(run));
}

/** A plain restart, unless that was done before, and the look at what came of it. */
async function restart(engine: Engine, watch: NodeWatch, mode: Mode, due: boolean): Promise<void> {
  const { driver, run } = engine;
  const name = watch.view.node;
  const node: FlipNode = { name, from: mode, to: mode, home: 'original' };
  const batch = run.plan.batches.find(b => b.nodes.some(n => n.name === name))?.id;
  const serving = watch.view.proxy.main?.mode;
  if (due && serving && serving !== mode) {
    const what = `${name} serves in ${serving}, and a restart would bring it into ${mode} with a gap`;
    throw new ProxyctlError(`${what}; somebody changed kube-proxy's configuration in the middle of a run`, EXIT.halted);
  }
  const perform = async () => {
    // Nodes that are not of the plan bear nothing of ours.
    if (due && batch !== undefined) await driver.mark(run, node, 'verify');
    const begun = { clock: run.clock.monotonic(), node: watch.now() };
    if (due) await driver.restart(run, name, mode);
    await steady(engine, watch, mode, due ? begun.node : undefined);
    if (due) restarted({ engine, batch, node }, watch, begun);
    if (batch !== undefined) await driver.mark(run, node, 'done');
  };
  await (batch === undefined ? perform() : step({ engine, batch, node }, 'verify', perform));
}

/** Written down when the restarted kube-proxy has been seen to serve; `begun` is when it was asked for, by our clock (ms) and the node's (s). */
function restarted(
  { engine, batch, node }: { engine: Engine; batch: string | undefined; node: FlipNode },
  watch: NodeWatch,
  begun: { clock: number; node: number },
): void {
  engine.journal.append({
    event: 'node-restarted',
    ...(batch === undefined ? {} : { batch }),
    node: node.name,
    mode: node.to,
    seconds: (engine.run.clock.monotonic() - begun.clock) / 1000,
    proxySeconds: watch.startSeconds('main', begun.node),
  });
}

/** The step that each node of the plan bears. */
async function stepsOf({ run }: Engine): Promise<Map<string, Step>> {
  const steps = new Map<string, Step>();
  for (const { name } of run.plan.batches.flatMap(b => b.nodes)) {
    const object = await run.cluster.get({ kind: 'Node', name });
    const step = object && nodeState(object)?.step;
    if (step) steps.set(name, step);
  }
  return steps;
}

async function watched(watch: NodeWatch): Promise<void> {
  await watch.settled(1);
  watch.mark();
}

/** The restarted kube-proxy serves, and no Service that was well is not. What else goes on in the cluster is no reason to stay half-way. */
async function steady(engine: Engine, watch: NodeWatch, mode: Mode, asked: number | undefined): Promise<void> {
  const { settle, convergence } = engine.run.plan.playbook.gates;
  const gates = engine.gates.filter(g => g.moments.includes('after-node') && g.standsFor === undefined);
  const flip = { from: mode, to: mode, expected: mode, slot: 'main' as const };
  const node = watch.view.node;
  const about = { scope: scopeOfNode(engine.reach, node), before: new Map() };
  const look = () => lookAt(engine, 'after-node', about, watch.inFlip(flip, asked));
  const home: FlipNode = { name: node, from: mode, to: mode, home: 'original' };
  const pod = () => engine.driver.podOf(engine.run, home, 'main');
  await judgeUntilPassed(engine, { moment: 'after-node', gates, look, settle, patience: convergence, node, pod });
}

interface OpenNode {
  node: FlipNode;
  batch: string;
  touched: 'flipped' | 'warmed';
}

/** Nodes that are not as they were, last planned first, and how far each had come. */
async function openNodes(engine: Engine): Promise<OpenNode[]> {
  const open: OpenNode[] = [];
  for (const batch of [...engine.run.plan.batches].reverse()) {
    for (const planned of [...batch.nodes].reverse()) {
      const object = await engine.run.cluster.get({ kind: 'Node', name: planned.name });
      if (!object) continue;
      const node: FlipNode = { name: planned.name, from: engine.run.plan.to, to: planned.from, home: 'original' };
      if (isOpen(object) || isGivenBack(object, engine.run.plan.to))
        open.push({ node, batch: batch.id, touched: 'flipped' });
      else if (nodeState(object)?.step === 'warm') open.push({ node, batch: batch.id, touched: 'warmed' });
    }
  }
  return open;
}

/** Ours, or given back by a run that ended before anybody had looked at it. */
function isOpen(node: KubeObject): boolean {
  const step = nodeState(node)?.step;
  return modeLabel(node) !== undefined || step === 'release' || step === 'hand-over';
}

/** By a finalize whose shared configuration somebody put back: it serves in the new mode until its next restart. */
function isGivenBack(node: KubeObject, to: Mode): boolean {
  const state = nodeState(node);
  return modeLabel(node) === undefined && state?.step === 'done' && state.from === to && state.to === to;
}

/** Gates that did not pass halt; everything else is thrown on. */
function haltedBy(error: unknown, next: string): Ending {
  if (error instanceof Red) return { outcome: 'halted', reason: error.message, next };
  throw error;
}

function stopped({ stop }: Engine): Ending {
  const halt = stop.reason instanceof Halt ? stop.reason : new Halt('stopped', 'stopped by the operator');
  return {
    outcome: halt.outcome,
    reason: `${halt.message}, between two nodes`,
    next: "'proxyctl rollback' goes on",
  };
}
