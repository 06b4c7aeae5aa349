import type { FlipNode } from '../core/driver.ts';
import type { Look, Moment } from '../core/gate.ts';
import { onRedOf, READINESS } from '../core/gate-settings.ts';
import type { Mode } from '../core/mode.ts';
import { flipTally } from '../core/probe-tally.ts';
import type { Step } from '../core/run-state.ts';
import { scopeOfNode } from '../core/scope.ts';
import { needsSweep, sharesChains } from '../core/sweep.ts';
import { rememberAll } from './ask-gates.ts';
import {
  type About,
  type Engine,
  Halt,
  type JudgeOptions,
  judgeUntilPassed,
  lookAt,
  Red,
  stopPoint,
} from './engine.ts';
import { forceChange } from './forced-change.ts';
import type { NodeWatch } from './node-watch.ts';
import { type Sweeping, startSweep } from './sweeper.ts';

/** Complete probe rounds of each vantage that make a baseline. */
const BASELINE_ROUNDS = 2;
/** On the way back a watcher on the pod network is waited for no longer than that. */
const POD_SECONDS = 30;
/** Gates that kept a node waiting for longer than that, ms, saw times that are no baseline. */
const LONG_WAIT_MS = 10_000;
/** How soon a changed soak is heeded. */
const SOAK_LOOK_MS = 500;

export interface Flip {
  readonly engine: Engine;
  readonly node: FlipNode;
  readonly batch: string;
  readonly watch: NodeWatch;
  /** On the way back red gates are reported, not obeyed: red is why it runs. A rehearsed way back obeys all of them. */
  readonly direction: 'forward' | 'back' | 'rehearsed back';
  /** A run that ended within this flip goes on: what stands there now is not what stood before it. */
  readonly resumed: boolean;
  /** Called once the node's own kube-proxy has gone: time to start the watchers of the next node. */
  readonly onReleased?: () => void;
}

/** A flip under way: what its gates look at. */
interface Flipping extends Flip {
  readonly about: About & { before: Map<string, unknown> };
}

/** Seconds that kube-proxy itself took in this flip, and in all. */
interface Times {
  proxy: number;
  begun: number;
}

function begin(flip: Flip): Flipping {
  const scope = scopeOfNode(flip.engine.reach, flip.node.name);
  return { ...flip, about: { scope, before: new Map<string, unknown>() } };
}

/** Flips one node. Throws Red after it has put the node back, or what the cluster or the operator threw. */
export async function flipNode(given: Flip): Promise<void> {
  const flip = begin(given);
  const { engine, node, watch } = flip;
  const { driver, run } = engine;
  const times: Times = { proxy: 0, begun: run.clock.monotonic() };
  await step(flip, 'watch', () => baseline(flip));
  safePoint(flip);
  try {
    const asked = await step(flip, 'warm', async () => {
      await driver.mark(run, node, 'warm');
      const asked = watch.now();
      // One that runs already is believed, however old its process is.
      return (await driver.warm(run, node)) === 'running' ? undefined : asked;
    });
    await step(flip, 'prove', () => proveBeside(flip, asked));
    if (asked !== undefined) times.proxy += watch.startSeconds('warm', asked);
    safePoint(flip);
  } catch (error) {
    if (flip.direction !== 'back' && !run.signal.aborted) await abort(flip);
    throw error;
  }
  const alone = sharesChains(node.from, node.to);
  const early = needsSweep(node.from, node.to) && !alone ? await sweepBehind(flip) : undefined;
  const released = run.clock.monotonic();
  await step(flip, 'release', () => driver.release(run, node));
  times.proxy += (run.clock.monotonic() - released) / 1000;
  flip.onReleased?.();
  await settled(flip, times, async () => {
    const sweeping = alone ? await proveAlone(flip, times).then(() => sweepBehind(flip)) : early;
    await settleIn(flip, times, sweeping);
  });
}

/** For a node that was handed over and not verified for as long as it should have been: only that is done. */
export async function verifyNode(given: Flip): Promise<void> {
  const flip = begin(given);
  const times: Times = { proxy: 0, begun: flip.engine.run.clock.monotonic() };
  await step(flip, 'watch', () => baseline(flip));
  await settled(flip, times, () => verify(flip, undefined));
}

/** The node is done when `settle` says so; else it goes back, unless the operator wants it otherwise. */
async function settled(flip: Flip, times: Times, settle: () => Promise<void>): Promise<void> {
  const { engine, node } = flip;
  const { driver, run } = engine;
  try {
    await settle();
  } catch (error) {
    if (flip.direction !== 'forward' || run.signal.aborted || error instanceof Halt) throw error;
    if (error instanceof Red && onRedOf(error.judgements, run.plan.playbook) === 'halt') throw error;
    await back(flip);
    throw error;
  }
  engine.expectedModes.set(node.name, node.to);
  await driver.mark(run, node, 'done');
  finish(flip, times);
}

/**
 * After the old kube-proxy went: what it left is swept while the warm one serves, so that no start-up cleanup finds anything;
 * then hand over and verify.
 */
async function settleIn(flip: Flipping, times: Times, sweeping: Sweeping | undefined): Promise<void> {
  const { engine, node, watch } = flip;
  await step(flip, 'sweep', async () => {
    await sweeping?.finished();
  });
  const asked = watch.now();
  await step(flip, 'hand-over', () => engine.driver.handOver(engine.run, node));
  await verify(flip, asked);
  times.proxy += watch.startSeconds('main', asked);
}

async function verify(flip: Flipping, asked: number | undefined): Promise<void> {
  await step(flip, 'verify', () => gates(flip, 'after-node', 'main', asked));
  if (flip.direction !== 'back') await soak(await changed(flip), asked);
}

/** The warm kube-proxy serves. Beside an old one that writes the same chains, what stands in them now says nothing of later. */
async function prove(flip: Flipping, asked: number | undefined, where: 'beside the old one' | 'alone'): Promise<void> {
  const asking = questions(flip, 'prove', 'warm', asked);
  const blind = where === 'beside the old one' && sharesChains(flip.node.from, flip.node.to);
  const chosen = blind ? asking.gates.filter(gate => gate.id !== 'kernel-rules') : asking.gates;
  // While the old kube-proxy still serves there is no need to wait for what nobody wants any more.
  const stoppable = flip.direction !== 'back' && where === 'beside the old one';
  await judgeUntilPassed(flip.engine, { ...asking, gates: chosen, stoppable });
}

/** What went wrong with a warm kube-proxy that a runner before us started may be over: another one is asked before it counts. */
async function proveBeside(flip: Flipping, asked: number | undefined): Promise<void> {
  const { engine, node, watch } = flip;
  try {
    await prove(flip, asked, 'beside the old one');
  } catch (error) {
    if (!(error instanceof Red) || asked !== undefined) throw error;
    await engine.driver.cool(engine.run, node);
    const again = watch.now();
    await engine.driver.warm(engine.run, node);
    await prove(flip, again, 'beside the old one');
  }
}

/** The old kube-proxy has gone: a new warm one writes all its rules, over what the old one wrote last into the same chains. */
async function proveAlone(flip: Flipping, times: Times): Promise<void> {
  const { engine, node, watch } = flip;
  await step(flip, 'prove', async () => {
    const cooled = engine.run.clock.monotonic();
    await engine.driver.cool(engine.run, node);
    times.proxy += (engine.run.clock.monotonic() - cooled) / 1000;
    const asked = watch.now();
    await engine.driver.warm(engine.run, node);
    await prove(flip, asked, 'alone');
    times.proxy += watch.startSeconds('warm', asked);
  });
}

function sweepBehind({ engine, node }: Flip): Promise<Sweeping> {
  return startSweep(engine, { node: node.name, left: node.from, now: node.to, serving: 'warm' });
}

/** The watchers stand, and what they say before anything is touched is the baseline. */
async function baseline(flip: Flipping): Promise<void> {
  const { engine, watch, about } = flip;
  const { clock } = engine.run;
  // What a way back has to know the host tells.
  await watch.settled(BASELINE_ROUNDS, flip.direction === 'back' ? POD_SECONDS : undefined);
  if (!flip.resumed) {
    const begun = clock.monotonic();
    await gates(flip, 'before-node', 'main', undefined);
    if (clock.monotonic() - begun > LONG_WAIT_MS) await watch.anew(BASELINE_ROUNDS);
  }
  for (const [gate, seen] of await rememberAll(engine, beforehand(flip))) about.before.set(gate, seen);
  watch.mark();
}

/** What is asked after the flip, asked while the old mode serves. */
function beforehand(flip: Flipping): JudgeOptions {
  const after = questions(flip, 'after-node', 'main', undefined);
  const look = (): Look => {
    const at = after.look();
    return at.node ? { ...at, node: { ...at.node, expected: flip.node.from } } : at;
  };
  return { ...after, look };
}

async function gates(flip: Flipping, moment: Moment, slot: 'main' | 'warm', asked: number | undefined): Promise<void> {
  await judgeUntilPassed(flip.engine, questions(flip, moment, slot, asked));
}

function questions(flip: Flipping, moment: Moment, slot: 'main' | 'warm', asked: number | undefined): JudgeOptions {
  const { engine, node, watch, about } = flip;
  const { settle, convergence } = engine.run.plan.playbook.gates;
  const all = engine.gates.filter(gate => gate.moments.includes(moment));
  const chosen = flip.direction === 'back' ? all.filter(gate => READINESS.has(gate.id)) : all;
  const expected: Mode = moment === 'before-node' ? node.from : node.to;
  const inFlip = () => watch.inFlip({ from: node.from, to: node.to, expected, slot }, asked);
  const look = () => lookAt(engine, moment, about, inFlip());
  const stoppable = flip.direction !== 'back' && moment === 'before-node';
  const pod = () => engine.driver.podOf(engine.run, node, slot);
  const waited = moment === 'prove' || moment === 'after-node' ? { pod } : {};
  return { moment, gates: chosen, look, settle, patience: convergence, node: node.name, stoppable, ...waited };
}

/** An endpoint is changed, for the gates of the soak to see whether the node follows. That it could not be is for them to say. */
async function changed(flip: Flipping): Promise<Flipping> {
  const { engine, about } = flip;
  if (!engine.gates.some(gate => gate.moments.includes('soak'))) return flip;
  try {
    return { ...flip, about: { ...about, change: await forceChange(engine.run) } };
  } catch (error) {
    engine.run.signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    engine.journal.append({ event: 'note', text: `no endpoint could be changed on purpose: ${why}` });
    return flip;
  }
}

/** Every gate once more through the soak: what was good must stay good. */
async function soak(flip: Flipping, asked: number | undefined): Promise<void> {
  const { engine, node } = flip;
  const { clock, signal } = engine.run;
  const begun = clock.monotonic();
  let said = 0;
  for (;;) {
    const seconds = engine.adjustment()?.soak ?? engine.run.plan.playbook.gates.soak;
    const left = seconds * 1000 - (clock.monotonic() - begun);
    if (left <= 0) break;
    if (seconds !== said) engine.journal.append({ event: 'waiting', node: node.name, for: `${seconds} s of soak` });
    said = seconds;
    // It serves and was proven, but not for as long as it should: it is verified again when the run goes on.
    stopPoint(engine);
    await clock.sleep(Math.min(left, SOAK_LOOK_MS), signal);
  }
  await gates(flip, 'soak', 'main', asked);
  if (said > 0) await gates(flip, 'after-node', 'main', asked);
}

/** Before the release nothing of the old mode was touched: the warm kube-proxy goes, and its rules after it. */
async function abort(flip: Flip): Promise<void> {
  const { engine, node } = flip;
  if (await isMadeAnew(engine, node.name)) return;
  engine.journal.append({
    event: 'waiting',
    node: node.name,
    for: `the flip to be called off; ${node.from} serves as before`,
  });
  await callOff(engine, { node: node.name, left: node.to, now: node.from });
  if (flip.direction === 'forward') {
    engine.journal.append({ event: 'node-back', batch: flip.batch, node: node.name, mode: node.from });
    return;
  }
  // Flipped and verified, as it was before its way back was tried.
  const there: FlipNode = { name: node.name, from: node.to, to: node.from, home: 'mode' };
  await step({ engine, batch: flip.batch, node: there }, 'verify', () => engine.driver.mark(engine.run, there, 'done'));
}

/** The machine that was in hand has gone: nothing of ours is on one that bears its name now, and its kube-proxy is left alone. */
async function isMadeAnew({ run }: Engine, name: string): Promise<boolean> {
  const planned = run.plan.batches.flatMap(b => b.nodes).find(n => n.name === name);
  const object = await run.cluster.get({ kind: 'Node', name });
  return object?.metadata.uid !== planned?.uid;
}

/** The warm kube-proxy and its rules away, on a node whose own was never released: `now` is the mode of that one. */
export async function callOff(engine: Engine, at: { node: string; left: Mode; now: Mode }): Promise<void> {
  const { driver, run } = engine;
  const { node: name, left: to, now: from } = at;
  await driver.cool(run, { name, from, to, home: 'mode' });
  // The warm one may have written over chains that the node's own fills again only when it starts, or when something changes.
  if (sharesChains(from, to)) await driver.restart(run, name, from);
  const sweeping = await startSweep(engine, { ...at, serving: 'main' });
  await sweeping.finished();
}

/** The same steps the other way, so there is no gap in the way back either. */
async function back(flip: Flip): Promise<void> {
  const node: FlipNode = { name: flip.node.name, from: flip.node.to, to: flip.node.from, home: 'original' };
  await flipNode({ ...flip, node, direction: 'back', resumed: true });
  flip.engine.journal.append({ event: 'node-back', batch: flip.batch, node: node.name, mode: node.to });
}

/** Who wants the run to stop is heeded here: the old kube-proxy still serves. */
function safePoint(flip: Flip): void {
  if (flip.direction !== 'back') stopPoint(flip.engine);
}

/** Performs a step: its intent is on the disk before it begins, and what came of it after. */
export async function step<T>(
  flip: Pick<Flip, 'engine' | 'batch' | 'node'>,
  id: Step,
  perform: () => Promise<T>,
): Promise<T> {
  const { journal, run } = flip.engine;
  const at = { batch: flip.batch, node: flip.node.name, step: id };
  journal.append({ event: 'step-intended', ...at, to: flip.node.to });
  const begun = run.clock.monotonic();
  let result: T;
  try {
    result = await perform();
  } catch (error) {
    journal.append({ event: 'step-failed', ...at, error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
  journal.append({ event: 'step-done', ...at, seconds: (run.clock.monotonic() - begun) / 1000 });
  return result;
}

function finish(flip: Flip, times: Times): void {
  const { engine, node, watch } = flip;
  const seen = watch.inFlip({ from: node.from, to: node.to, expected: node.to, slot: 'main' }, undefined);
  const seconds = (engine.run.clock.monotonic() - times.begun) / 1000;
  engine.journal.append({
    event: 'node-done',
    batch: flip.batch,
    node: node.name,
    mode: node.to,
    seconds,
    proxySeconds: times.proxy,
    ...flipTally({ inventory: engine.inventory, playbook: engine.run.plan.playbook }, seen),
  });
}
