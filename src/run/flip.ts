import type { FlipNode } from '../core/driver.ts';
import { WaitedInVain } from '../core/errors.ts';
import { onRedOf } from '../core/gate-settings.ts';
import type { Mode } from '../core/mode.ts';
import { isReady } from '../core/node-object.ts';
import { plannedNode } from '../core/plan.ts';
import { flipTally } from '../core/probe-tally.ts';
import { modeLabel, nodeState, type Step } from '../core/run-state.ts';
import { needsSweep, sharesChains } from '../core/sweep.ts';
import { type Engine, Halt, Red, stopPoint } from './engine.ts';
import { lossOf } from './lost.ts';
import { baseline, begin, changed, type Flip, type Flipping, gates, prove, proveRules, soak } from './node-gates.ts';
import { mending } from './phase.ts';
import { type Sweeping, startSweep } from './sweeper.ts';

/** Seconds that kube-proxy itself took in this flip, and in all. */
interface Times {
  proxy: number;
  begun: number;
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
    if (!run.signal.aborted) await mending(engine, error, () => undone(flip, error));
    throw error;
  }
  const released = run.clock.monotonic();
  try {
    await step(flip, 'release', () => driver.release(run, node, 'warm'));
  } catch (error) {
    if (!run.signal.aborted) await mending(engine, error, () => unreleased(flip));
    throw error;
  }
  times.proxy += (run.clock.monotonic() - released) / 1000;
  flip.onReleased?.();
  await settled(flip, times, async () => {
    const alone = sharesChains(node.from, node.to);
    await (alone ? proveAlone(flip, times) : proveStill(flip, times));
    await settleIn(flip, times, alone || isSwept(flip) ? await sweepBehind(flip) : undefined);
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
    if (!run.signal.aborted) await mending(engine, error, () => backFrom(flip, error));
    throw error;
  }
  engine.expectedModes.set(node.name, node.to);
  await driver.mark(run, flip.stands ?? node, 'done');
  finish(flip, times);
}

/** Leaving iptables for nftables kube-proxy cleans up by itself, as a rule: a sweeper costs the node time. */
function isSwept({ node, watch }: Flip): boolean {
  return needsSweep(node.from) && !(node.from === 'iptables' && watch.view.kernel?.cleansItself === true);
}

/** Before the release the flip is called off. Where a runner before us has released the node, only the warm kube-proxy serves it. */
async function undone(flip: Flip, error: unknown): Promise<void> {
  if (flip.resumed) await backFrom(flip, error);
  else await abort(flip);
}

/** After the release the node goes back, unless the operator wants it otherwise. */
async function backFrom(flip: Flip, error: unknown): Promise<void> {
  if (flip.direction !== 'forward' || error instanceof Halt) return;
  if (error instanceof Red && onRedOf(error.judgements, flip.engine.run.plan.playbook) === 'halt') return;
  await back(flip);
}

/** A release may be refused before anything of it was done: then the flip is called off. */
async function unreleased(flip: Flip): Promise<void> {
  const { engine, node } = flip;
  if (flip.direction === 'back') return;
  const object = await engine.run.cluster.get({ kind: 'Node', name: node.name });
  if (object && modeLabel(object) === 'none') return;
  // Where something took our label out of what was written, the rest of it stands: nobody may take that for a release later.
  if (object && nodeState(object)?.step === 'release') await engine.driver.mark(engine.run, node, 'warm');
  await abort(flip);
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
  await step(flip, 'prove-alone', async () => {
    const cooled = engine.run.clock.monotonic();
    await engine.driver.cool(engine.run, node);
    times.proxy += (engine.run.clock.monotonic() - cooled) / 1000;
    const asked = watch.now();
    await engine.driver.warm(engine.run, node);
    await prove(flip, asked, 'alone');
    times.proxy += watch.startSeconds('warm', asked);
  });
}

/**
 * The old kube-proxy may have started again shortly before it went, and a start removes what other modes wrote: the kernel is read
 * once more, before anything of the old mode goes.
 */
async function proveStill(flip: Flipping, times: Times): Promise<void> {
  const since = flip.watch.now();
  try {
    await step(flip, 'prove-alone', () => proveRules(flip, since));
  } catch (error) {
    if (!(error instanceof Red)) throw error;
    await proveAlone(flip, times);
  }
}

function sweepBehind({ engine, node }: Flip): Promise<Sweeping> {
  return startSweep(engine, { node: node.name, left: node.from, now: node.to, serving: 'warm' });
}

/** Before the release nothing of the old mode was touched: the warm kube-proxy goes, and its rules after it. */
async function abort(flip: Flip): Promise<void> {
  const { engine, node } = flip;
  if (await isMadeAnew(engine, node.name)) return;
  await callOff(engine, { batch: flip.batch, node: node.name, left: node.to, now: node.from });
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
  const planned = plannedNode(run.plan, name);
  const object = await run.cluster.get({ kind: 'Node', name });
  return planned === undefined || lossOf(planned, object) !== undefined;
}

/** The warm kube-proxy and its rules away, on a node whose own was never released: `now` is the mode of that one. */
export async function callOff(engine: Engine, { batch, node: name, left, now }: CalledOff): Promise<void> {
  const { driver, run } = engine;
  const node: FlipNode = { name, from: left, to: now, home: 'original' };
  await step({ engine, batch, node }, 'call-off', async () => {
    const what = `the warm kube-proxy to go, and its rules; ${now} serves as before`;
    engine.journal.append({ event: 'waiting', node: name, for: what });
    await driver.cool(run, node);
    // The warm one may have written over chains that the node's own fills again only when it starts, or when something changes.
    if (sharesChains(now, left)) await driver.restart(run, name, now);
    const sweeping = await startSweep(engine, { node: name, left, now, serving: 'main' });
    await sweeping.finished();
  });
}

interface CalledOff {
  readonly batch: string;
  readonly node: string;
  readonly left: Mode;
  readonly now: Mode;
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
  id: Step | 'call-off',
  perform: () => Promise<T>,
): Promise<T> {
  const { journal, run } = flip.engine;
  const at = { batch: flip.batch, node: flip.node.name, step: id };
  journal.append({ event: 'step-intended', ...at, to: flip.node.to });
  const begun = run.clock.monotonic();
  let result: T;
  try {
    result = await perform();
  } catch (thrown) {
    const error = await withReadiness(flip, thrown);
    journal.append({ event: 'step-failed', ...at, error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
  journal.append({ event: 'step-done', ...at, seconds: (run.clock.monotonic() - begun) / 1000 });
  return result;
}

/** Where what was waited for did not come, a node that is not Ready says why. */
async function withReadiness(
  { engine: { run }, node }: Pick<Flip, 'engine' | 'node'>,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof WaitedInVain)) return error;
  // Whoever cannot be asked adds nothing to what went wrong.
  const object = await run.cluster.get({ kind: 'Node', name: node.name }).catch(() => undefined);
  return object && !isReady(object) ? new WaitedInVain(`node ${node.name} is not Ready: ${error.message}`) : error;
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
    ...flipTally(
      { inventory: engine.inventory, playbook: engine.run.plan.playbook, proxyConfig: engine.proxyConfig },
      seen,
    ),
  });
}
