// The new mode becomes the cluster's own. Once the shared configuration says it there is no way but on, so everything that could
// be in the way is looked at before; what comes in the way after that must not keep finalize from its end.
import type { Cluster, KubeObject } from '../core/cluster.ts';
import type { FlipNode } from '../core/driver.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { planIdOf } from '../core/fingerprint.ts';
import type { Inventory, NodeFacts } from '../core/inventory.ts';
import { isMode, type Mode } from '../core/mode.ts';
import { isReady } from '../core/node-object.ts';
import type { Plan } from '../core/plan.ts';
import { modeLabel, nodeState, type RunRecord } from '../core/run-state.ts';
import { few } from '../core/words.ts';
import { batchesOf } from './adjust.ts';
import { type Engine, Halt, Red } from './engine.ts';
import { flipNode, step } from './flip.ts';
import { leave, remakeDeleted, restarted, sayForeign, steady, stopped, unfinished, watched } from './give-back.ts';
import { isOpen, nodesNow, readyFirst } from './open-nodes.ts';
import { type Ending, phase, whyHalted } from './phase.ts';
import { revise } from './record.ts';
import { Watches } from './watches.ts';

const NOT_BEGUN =
  "nothing was written; when that is mended 'proxyctl migrate', then 'proxyctl finalize' go on, or 'proxyctl rollback' puts everything back";
const BEGUN = "look at what is named, then 'proxyctl finalize' goes on";

/** Makes the new mode the shared one and gives the nodes back. After it, undo is a new migration. */
export async function finalize(engine: Engine): Promise<Ending> {
  const { run, driver } = engine;
  const watches = new Watches(engine);
  let next = NOT_BEGUN;
  try {
    if (await hasBegun(engine)) next = BEGUN;
    else await phase(engine, 'look', 'whether every node serves in the new mode', () => refuseUnready(engine));
    // Whoever goes on finds nodes that were given back already; without a label they serve in the new mode as well.
    for (const { name } of planned(run.plan)) engine.expectedModes.set(name, run.plan.to);
    await phase(engine, 'commit', 'the shared configuration', () => driver.commit(run));
    next = BEGUN;
    await remakeDeleted(engine);
    const said = await sayForeign(engine);
    const away = await giveBack(engine, watches, said);
    await bringAlong(engine, watches, await lateNodes(engine));
    if (away.length > 0) return unfinished(away, 'finalize');
    const left = await leave(engine, watches, run.plan.to, said);
    if (left.length > 0) return unfinished(left, 'finalize');
    return {
      outcome: 'done',
      reason: `mode ${run.plan.to} is the cluster's own now`,
      next: 'the way back from here is a new migration',
    };
  } catch (error) {
    if (error instanceof Halt) return { outcome: error.outcome, reason: error.message, next };
    const halts = error instanceof Red || (error instanceof ProxyctlError && error.exitCode === EXIT.halted);
    if (!halts) throw error;
    const reason = error instanceof Red ? await whyHalted(error, () => driver.foreign(run)) : error.message;
    return { outcome: 'halted', reason, next };
  } finally {
    await watches.closed();
  }
}

/** Nodes were given back already, or are to be: whatever stands in the way by now, the way is on. */
async function hasBegun(engine: Engine): Promise<boolean> {
  const { driver, run } = engine;
  if (await driver.committed(run)) return true;
  const states = [...(await nodesNow(engine)).values()].map(nodeState);
  return states.some(state => state?.run === run.id && state.from === run.plan.to && state.to === run.plan.to);
}

async function refuseUnready(engine: Engine): Promise<void> {
  const { driver, run, standing } = engine;
  await refuseOtherModes(run.cluster, standing.record, await engine.lookAgain());
  await driver.intact(run);
}

/**
 * @throws ProxyctlError 20 while a node serves in another mode, or in one that cannot be read: once the configuration says the new
 * mode, its next restart is a stock switch. A node that was proven in its flip needs no log that tells.
 */
export async function refuseOtherModes(cluster: Cluster, record: RunRecord, inventory: Inventory): Promise<void> {
  const { to } = record.plan;
  const others = inventory.nodes.filter(node => node.proxyPod && node.os === 'linux' && node.mode !== to);
  const behind = others.filter(node => node.mode !== 'unknown');
  if (behind.length > 0) {
    const names = few(behind.map(node => `${node.name} (${node.mode})`));
    const what = `not every node serves in mode ${to}: ${names}; finalize would switch them with a gap`;
    const left = 'where migrate leaves one out and says why, that node has to go, or the run back';
    throw new ProxyctlError(`${what}; migrate them first; ${left}`, EXIT.findings);
  }
  const unread: NodeFacts[] = [];
  for (const node of others) if (!node.ready || !(await isProven(cluster, record, node.name))) unread.push(node);
  if (unread.length === 0) return;
  const names = few(
    unread.map(node => `${node.name} (${node.ready ? "kube-proxy's log does not tell" : 'not Ready'})`),
  );
  const advice =
    'wait until they are Ready and their kube-proxies run, or delete the Node where a machine is gone for good';
  throw new ProxyctlError(
    `the mode of some nodes cannot be read: ${names}; ${advice}; 'proxyctl migrate' sees to one that was left in the middle`,
    EXIT.findings,
  );
}

/** The run has flipped and proven it, and its DaemonSet knows no other mode. */
async function isProven(cluster: Cluster, { run, plan }: RunRecord, name: string): Promise<boolean> {
  const object = await cluster.get({ kind: 'Node', name });
  const state = object && nodeState(object);
  return object !== undefined && modeLabel(object) === plan.to && state?.run === run && state.step === 'done';
}

function planned({ batches }: Plan): { name: string; batch: string }[] {
  return batches.flatMap(batch => batch.nodes.map(node => ({ name: node.name, batch: batch.id })));
}

/** A node of the plan that bears our label or a step. */
interface Due {
  readonly name: string;
  readonly batch: string;
  readonly ready: boolean;
  /** Its restart, or its flip, was begun by a run that was left. */
  readonly inHand: boolean;
  /** The mode that it is flipped from, where it is not in the new one. */
  readonly from?: Mode;
}

/** Gives all nodes back that are Ready, one that was left in the middle first; gives those that are away, and why. */
async function giveBack(engine: Engine, watches: Watches, said: readonly string[]): Promise<string[]> {
  const { run, driver } = engine;
  const objects = await nodesNow(engine);
  const open = planned(run.plan).flatMap(node => dueOf(objects.get(node.name), node, run.plan.to) ?? []);
  if (open.length === 0) return [];
  // What somebody else removed or put back since the commit.
  await phase(engine, 'prepare', 'objects of the run', () => driver.prepare(run, 'kept'));
  const due = [...open.filter(node => node.inHand), ...readyFirst(open.filter(node => !node.inHand))];
  const away: string[] = [];
  for (const [index, node] of due.entries()) {
    await turn(engine);
    if (!node.ready && node.inHand)
      throw new Halt('halted', `node ${node.name} is not Ready, in the middle of its restart`);
    if (!node.ready) away.push(`${node.name} (not Ready)`);
    else if (node.from !== undefined) await bringAlong(engine, watches, [{ name: node.name, from: node.from }]);
    else {
      await refuseNews(engine, said);
      await handBack(engine, watches, node, due[index + 1]);
    }
  }
  return away;
}

function dueOf(object: KubeObject | undefined, node: { name: string; batch: string }, to: Mode): Due | undefined {
  const state = object && nodeState(object);
  if (!object || !state) return undefined;
  const label = modeLabel(object);
  const flips = label !== to && state.from !== to && state.to === to && state.step !== 'done';
  if (!flips && !isOpen(object)) return undefined;
  const inHand = flips || label !== to || state.step !== 'done';
  return { ...node, ready: isReady(object), inHand, ...(flips ? { from: state.from } : {}) };
}

/** Stops between two nodes, where that is wanted. */
async function turn(engine: Engine): Promise<void> {
  await engine.pausePoint();
  if (!engine.stop.aborted) return;
  const { outcome, reason } = stopped(engine);
  throw new Halt(outcome === 'stopped' ? outcome : 'halted', reason);
}

/** Who changes the DaemonSet now decides what the next node is given to: that is said first. */
async function refuseNews({ driver, run }: Engine, said: readonly string[]): Promise<void> {
  const fields = await driver.foreign(run);
  if (fields.join() === said.join()) return;
  const what = `somebody else changes kube-proxy's DaemonSet in the middle of finalize: ${few(fields) || 'as it was before'}`;
  throw new Halt('halted', `${what}; called again, finalize gives the nodes to it as it is then`);
}

/** A plain restart under the original DaemonSet, and the look at what came of it. */
async function handBack(engine: Engine, watches: Watches, { name, batch }: Due, following?: Due): Promise<void> {
  const { run, driver, journal } = engine;
  const watch = await watches.alive(name);
  watches.prefetch(following?.ready ? following.name : undefined);
  journal.append({ event: 'waiting', node: name, for: 'a plain restart under the original DaemonSet' });
  await watched(watch);
  const node: FlipNode = { name, from: run.plan.to, to: run.plan.to, home: 'original' };
  const at = { engine, batch, node };
  const begun = { clock: run.clock.monotonic(), node: watch.now() };
  await step(at, 'release', () => driver.release(run, node, 'rules'));
  const asked = watch.now();
  await step(at, 'hand-over', () => driver.handOver(run, node));
  await step(at, 'verify', () => steady(engine, watch, run.plan.to, asked));
  restarted(at, watch, begun);
  await driver.mark(run, node, 'done');
  journal.append({ event: 'node-back', batch, node: name, mode: run.plan.to });
  watches.leave(name);
}

interface Late {
  readonly name: string;
  readonly from: Mode;
}

/**
 * Nodes that joined when nobody looked any more, just before the commit: their kube-proxies have started in the old mode. They are
 * in the plan, and so in the run's record, before anything of them is touched.
 */
async function lateNodes(engine: Engine): Promise<Late[]> {
  const { run, journal, hash } = engine;
  const { plan } = run;
  const late = (await engine.lookAgain()).nodes.flatMap(node => {
    const { name, uid, mode, label, os, proxyPod } = node;
    const other = isMode(mode) && mode !== plan.to && label === undefined;
    return other && os === 'linux' && proxyPod ? [{ name, uid, from: mode }] : [];
  });
  const known = new Set(planned(plan).map(node => node.name));
  const added = late.filter(node => !known.has(node.name));
  if (added.length === 0) return late;
  const nodes = added.map(node => ({ ...node, why: 'joined when finalize began' }));
  const exposedAfter = plan.batches.at(-1)?.exposedAfter ?? 0;
  const id = `batch-${plan.batches.length + 1}`;
  const batch = { id, nodes, namespaces: [], services: [], exposedAfter, overCap: false, estimate: 0 };
  const longer = { ...plan, batches: [...plan.batches, batch] };
  await revise(engine, { plan: { ...longer, id: planIdOf(longer, hash) } });
  const why = `${few(added.map(({ name, from }) => `${name} (${from})`))} joined just before the shared configuration was written`;
  journal.append({ event: 'replanned', why, batches: batchesOf(run.plan) });
  return late;
}

/** A restart into the new mode is a flip, and has its steps; only the node's home is the original DaemonSet at once. */
async function bringAlong(engine: Engine, watches: Watches, late: readonly Late[]): Promise<void> {
  const { run, driver, journal } = engine;
  if (late.length === 0) return;
  await phase(engine, 'prepare', 'objects of the run', () => driver.prepare(run, 'kept'));
  for (const { name, from } of late) {
    await turn(engine);
    const batch = planned(run.plan).find(node => node.name === name)?.batch ?? '';
    const watch = await watches.alive(name);
    const node: FlipNode = { name, from, to: run.plan.to, home: 'original' };
    journal.append({ event: 'note', text: `node ${name} came late and is flipped from ${from} to ${run.plan.to}` });
    // As one that was given back: it goes back with those when somebody undoes the commit.
    const stands: FlipNode = { ...node, from: node.to };
    await flipNode({ engine, node, batch, watch, direction: 'back', resumed: true, stands });
    journal.append({ event: 'node-back', batch, node: name, mode: run.plan.to });
    watches.leave(name);
  }
}
