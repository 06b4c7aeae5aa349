// What rollback and finalize share: nodes return to the original DaemonSet, and nothing of ours stays.

import type { FlipNode } from '../core/driver.ts';
import { EXIT, ProxyctlError, WaitedInVain } from '../core/errors.ts';
import type { Mode } from '../core/mode.ts';
import { isReady } from '../core/node-object.ts';
import { scopeOfNode } from '../core/scope.ts';
import { few } from '../core/words.ts';
import { type Engine, Halt, judgeUntilPassed, lookAt, Red } from './engine.ts';
import { callOff, flipNode, step } from './flip.ts';
import type { NodeWatch } from './node-watch.ts';
import { bearing, isFlipped, nodesNow, type OpenNode, openNodes, readyFirst, unlessAway } from './open-nodes.ts';
import { type Ending, phase, refuseCommitted, whyHalted } from './phase.ts';
import { Watches } from './watches.ts';

/** Undoes the run, last node first; `only` undoes one node, after who was left between two modes, and leaves the rest as it is. */
export async function rollback(engine: Engine, only?: string): Promise<Ending> {
  const { run } = engine;
  const watches = new Watches(engine);
  await refuseCommitted(engine);
  try {
    await remakeDeleted(engine);
    const kept = await sayForeign(engine);
    const chosen = ({ node, inHand }: OpenNode) => only === undefined || node.name === only || inHand;
    const ending = await putBack(engine, watches, chosen);
    if (ending) return ending;
    if (only !== undefined) {
      return {
        outcome: 'rolled back',
        reason: `${only} is as it was`,
        next: "'proxyctl rollback' for the others, 'proxyctl migrate' to go on",
      };
    }
    const modes = [...new Set(run.plan.batches.flatMap(b => b.nodes.map(n => n.from)))];
    const left = await leave(engine, watches, modes[0] ?? run.plan.to, kept);
    if (left.length > 0) return unfinished(left, 'rollback');
    return {
      outcome: 'rolled back',
      reason: `every node serves in mode ${modes.join(', ')} again, and nothing of proxyctl is left`,
      next: '',
    };
  } catch (error) {
    if (!(error instanceof Red)) throw error;
    const reason = await whyHalted(error, () => engine.driver.foreign(run));
    return { outcome: 'halted', reason, next: "look at the node named, then 'proxyctl rollback' again" };
  } finally {
    await watches.closed();
  }
}

/**
 * Puts nodes of the run back in the order of `openNodes`. What ended it early or could not be put back, or undefined when all of
 * them are as they were. One that was released and is not well at home ends it: the next would be the second between two modes.
 */
export async function putBack(
  engine: Engine,
  watches: Watches,
  chosen: (open: OpenNode) => boolean,
): Promise<Ending | undefined> {
  const stuck: string[] = [];
  const open = (await openNodes(engine)).filter(chosen);
  const prefetch = (next: OpenNode | undefined) => watches.prefetch(next?.ready ? next.node.name : undefined);
  prefetch(open[0]);
  // Somebody may have put back or removed what a way back needs as much as a way there.
  if (open.length > 0)
    await phase(engine, 'prepare', 'objects of the run', () => engine.driver.prepare(engine.run, 'kept'));
  for (const [index, { node, batch, touched }] of open.entries()) {
    await engine.pausePoint();
    if (engine.stop.aborted) return stopped(engine);
    const back = async () => {
      const watch = await watches.alive(node.name);
      const onReleased = () => prefetch(open[index + 1]);
      await (touched === 'flipped'
        ? flipNode({ engine, node, batch, watch, direction: 'back', resumed: true, onReleased })
        : callOff(engine, { batch, node: node.name, left: node.from, now: node.to }));
      engine.journal.append({ event: 'node-back', batch, node: node.name, mode: node.to });
    };
    try {
      // Where the new mode serves as before, other nodes may go back meanwhile.
      const why = await unlessAway(engine, node.name, back, () => isFlipped(engine, node.name));
      if (why !== undefined) stuck.push(`${node.name} (${why})`);
    } catch (error) {
      if (!(error instanceof Red || error instanceof WaitedInVain)) throw error;
      const why = await whyHalted(error, () => engine.driver.foreign(engine.run));
      return notBack(
        stuck,
        `${node.name} is not well on its way back to ${node.to}: ${why}; no other node goes back before it, but with --skip ${node.name}`,
      );
    }
    watches.leave(node.name);
  }
  return stuck.length === 0 ? undefined : notBack(stuck);
}

function notBack(stuck: readonly string[], ...others: string[]): Ending {
  const reasons = [...(stuck.length > 0 ? [`could not put back ${stuck.join(', ')}`] : []), ...others];
  return {
    outcome: 'halted',
    reason: reasons.join('; '),
    next: "look at the nodes named, then 'proxyctl rollback' again; what is not Ready goes back once it is",
  };
}

/** What nodes go back to, made anew where somebody has deleted it. */
export async function remakeDeleted(engine: Engine): Promise<void> {
  const { driver, run } = engine;
  if (!(await driver.deleted(run))) return;
  const title = "kube-proxy's DaemonSet, which somebody else has deleted, made anew from the run's record";
  await phase(engine, 'remake', title, () => driver.remake(run));
}

/** Says what somebody else has changed in the original DaemonSet, unless that was `said`: it stays, and is what nodes go back to. Gives it. */
export async function sayForeign({ driver, run, journal }: Engine, said: readonly string[] = []): Promise<string[]> {
  const fields = await driver.foreign(run);
  if (fields.length > 0 && fields.join() !== said.join()) {
    const text = `somebody else changed kube-proxy's DaemonSet since the run began, and it stays so: ${few(fields)}`;
    journal.append({ event: 'note', text });
  }
  return fields;
}

/**
 * The original object without what is ours (`shared` is the mode its configuration says), and with what somebody else has changed
 * in it, of which `said` was said; pods of another template restarted one by one; our objects gone. Gives the nodes that have still
 * to restart, and why: until then what belongs to all stays.
 */
export async function leave(
  engine: Engine,
  watches: Watches,
  shared: Mode,
  said: readonly string[],
): Promise<string[]> {
  const { driver, run } = engine;
  await sayForeign(engine, said);
  await phase(engine, 'restore', 'the original DaemonSet', () => driver.restoreTemplate(run));
  const outdated = await driver.outdated(run);
  const nodes = await nodesNow(engine);
  // Restarted by a run that was left before anybody had looked at them.
  const unseen = bearing(engine, nodes, 'verify').filter(name => !outdated.includes(name));
  // The one whose flip was called off was restarted then: it is looked at before another restarts.
  const first = bearing(engine, nodes, 'warm').filter(name => outdated.includes(name));
  const due = [...new Set([...unseen, ...first, ...outdated])].flatMap(name => {
    const object = nodes.get(name);
    return object ? [{ name, ready: isReady(object) && !engine.skipped.has(name) }] : [];
  });
  const all = readyFirst(due);
  const prefetch = (next: (typeof all)[number] | undefined) => watches.prefetch(next?.ready ? next.name : undefined);
  prefetch(all[0]);
  const away: string[] = [];
  for (const [index, { name }] of all.entries()) {
    const again = async () => {
      const watch = await watches.alive(name);
      prefetch(all[index + 1]);
      await watched(watch);
      // A node that came during the run was served by the original DaemonSet all the time.
      await restart(engine, watch, engine.expectedModes.get(name) ?? shared, outdated.includes(name));
    };
    const why = await unlessAway(engine, name, again, () => false);
    if (why !== undefined) away.push(`${name} (${why})`);
    watches.stop(name);
  }
  await watches.closed();
  if (away.length === 0) await phase(engine, 'leave', 'what proxyctl made', () => driver.leave(run));
  return away;
}

/** These nodes, named with why, have still to be given to the original DaemonSet as it was. */
export function unfinished(away: readonly string[], command: 'rollback' | 'finalize'): Ending {
  return {
    outcome: 'halted',
    reason: `could not restart kube-proxy on ${away.join(', ')}; every other node is as it should be`,
    next: `'proxyctl ${command}' again, once nothing is in their way, restarts them and takes away what is left of proxyctl`,
  };
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
    if (due && batch !== undefined) await driver.mark(run, node, 'verify');
    const begun = { clock: run.clock.monotonic(), node: watch.now() };
    if (due) await driver.restart(run, name, mode);
    await steady(engine, watch, mode, due ? begun.node : undefined);
    if (due) restarted({ engine, batch, node }, watch, begun);
    if (batch !== undefined) await driver.mark(run, node, 'done');
  };
  // Nodes that are not of the plan bear nothing of ours.
  if (batch === undefined) await phase(engine, 'restart', `kube-proxy on ${name}, which came during the run`, perform);
  else await step({ engine, batch, node }, 'verify', perform);
}

/** Written down when the restarted kube-proxy has been seen to serve; `begun` is when it was asked for, by our clock (ms) and the node's (s). */
export function restarted(
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

export async function watched(watch: NodeWatch): Promise<void> {
  await watch.settled(1);
  watch.mark();
}

/** The restarted kube-proxy serves, and no Service that was well is not. What else goes on in the cluster is no reason to stay half-way. */
export async function steady(engine: Engine, watch: NodeWatch, mode: Mode, asked: number | undefined): Promise<void> {
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

export function stopped({ stop }: Engine): Ending {
  const halt = stop.reason instanceof Halt ? stop.reason : new Halt('stopped', 'stopped by the operator');
  return {
    outcome: halt.outcome,
    reason: `${halt.message}, between two nodes`,
    next: "'proxyctl rollback' goes on",
  };
}
