// What is asked of a node in its flip, and when: the baseline, the proof, the look afterwards, the soak.
import type { FlipNode } from '../core/driver.ts';
import type { Gate, Look, Moment } from '../core/gate.ts';
import { READINESS } from '../core/gate-settings.ts';
import type { Mode } from '../core/mode.ts';
import { scopeOfNode } from '../core/scope.ts';
import { sharesChains } from '../core/sweep.ts';
import { rememberAll } from './ask-gates.ts';
import { type About, type Engine, type JudgeOptions, judgeUntilPassed, lookAt, stopPoint } from './engine.ts';
import { forceChange } from './forced-change.ts';
import type { NodeWatch } from './node-watch.ts';

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
  /** What is written onto the node when it is done; `node`, where it is absent. */
  readonly stands?: FlipNode;
}

/** A flip under way: what its gates look at. */
export interface Flipping extends Flip {
  readonly about: About & { before: Map<string, unknown> };
}

export function begin(flip: Flip): Flipping {
  const scope = scopeOfNode(flip.engine.reach, flip.node.name);
  return { ...flip, about: { scope, before: new Map<string, unknown>() } };
}

/** The warm kube-proxy serves. Beside an old one that writes the same chains, what stands in them now says nothing of later. */
export async function prove(
  flip: Flipping,
  asked: number | undefined,
  where: 'beside the old one' | 'alone',
): Promise<void> {
  const asking = questions(flip, 'prove', 'warm', asked);
  const blind = where === 'beside the old one' && sharesChains(flip.node.from, flip.node.to);
  const chosen = blind ? asking.gates.filter(gate => !isRules(gate)) : asking.gates;
  // While the old kube-proxy still serves there is no need to wait for what nobody wants any more.
  const stoppable = flip.direction !== 'back' && where === 'beside the old one';
  await judgeUntilPassed(flip.engine, { ...asking, gates: chosen, stoppable });
}

/**
 * What it wrote beside the old one still stands in the kernel since that went; seconds of the node's clock. Nothing else is asked
 * again: health check node ports are closed until the hand-over.
 */
export async function proveRules(flip: Flipping, aloneSince: number): Promise<void> {
  const asking = questions(flip, 'prove', 'warm', undefined, aloneSince);
  await judgeUntilPassed(flip.engine, { ...asking, gates: asking.gates.filter(isRules) });
}

function isRules({ id }: Gate): boolean {
  return id === 'kernel-rules';
}

/** The watchers stand, and what they say before anything is touched is the baseline. */
export async function baseline(flip: Flipping): Promise<void> {
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

export async function gates(
  flip: Flipping,
  moment: Moment,
  slot: 'main' | 'warm',
  asked: number | undefined,
): Promise<void> {
  await judgeUntilPassed(flip.engine, questions(flip, moment, slot, asked));
}

function questions(
  flip: Flipping,
  moment: Moment,
  slot: 'main' | 'warm',
  asked: number | undefined,
  aloneSince?: number,
): JudgeOptions {
  const { engine, node, watch, about } = flip;
  const { settle, convergence } = engine.run.plan.playbook.gates;
  const all = engine.gates.filter(gate => gate.moments.includes(moment));
  const chosen = flip.direction === 'back' ? all.filter(gate => READINESS.has(gate.id)) : all;
  const expected: Mode = moment === 'before-node' ? node.from : node.to;
  const alone = aloneSince === undefined ? {} : { aloneSince };
  const inFlip = () => watch.inFlip({ from: node.from, to: node.to, expected, slot, ...alone }, asked);
  const look = () => lookAt(engine, moment, about, inFlip());
  const stoppable = flip.direction !== 'back' && moment === 'before-node';
  const pod = () => engine.driver.podOf(engine.run, node, slot);
  const waited = moment === 'prove' || moment === 'after-node' ? { pod } : {};
  return { moment, gates: chosen, look, settle, patience: convergence, node: node.name, stoppable, ...waited };
}

/** An endpoint is changed, for the gates of the soak to see whether the node follows. That it could not be is for them to say. */
export async function changed(flip: Flipping): Promise<Flipping> {
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
export async function soak(flip: Flipping, asked: number | undefined): Promise<void> {
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
