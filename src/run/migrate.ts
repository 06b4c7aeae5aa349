import type { KubeObject } from '../core/cluster.ts';
import type { FlipNode } from '../core/driver.ts';
import type { Mode } from '../core/mode.ts';
import type { Batch } from '../core/plan.ts';
import { modeLabel, nodeState } from '../core/run-state.ts';
import { scopeOf } from '../core/scope.ts';
import { sharesChains } from '../core/sweep.ts';
import { takeUpAdjustment } from './adjust.ts';
import { rememberAll } from './ask-gates.ts';
import { type Engine, Halt, type JudgeOptions, judgeUntilPassed, lookAt, Red, stopPoint } from './engine.ts';
import { callOff, flipNode, verifyNode } from './flip.ts';
import { removeForcedChange } from './forced-change.ts';
import { putBack } from './give-back.ts';
import { leaveOut, leaveOutLost, lossOf, lostInTurn } from './lost.ts';
import { arrivals, doneEnding } from './newcomers.ts';
import type { Flip } from './node-gates.ts';
import { answerRed, GO_ON_OR_BACK } from './on-red.ts';
import { nodesNow } from './open-nodes.ts';
import { type Ending, phase, refuseCommitted } from './phase.ts';
import { isRehearsed, type Rehearsing, rehearseWayBack } from './rehearse.ts';
import { Watches } from './watches.ts';

/** Walks the plan. Nodes that are done already are left alone, so the same call goes on after a halt. */
export async function migrate(engine: Engine): Promise<Ending> {
  const { journal, run, driver } = engine;
  const watches = new Watches(engine);
  const begun = new Set<string>();
  await refuseCommitted(engine);
  try {
    watches.prefetch(run.plan.batches[0]?.nodes[0]?.name);
    await phase(engine, 'prepare', 'objects of the run', () => driver.prepare(run, 'refused'));
    const unsettled = await settleOthers(engine, watches);
    if (unsettled) return unsettled;
    const labelled = await labelledNodes(engine);
    for (;;) {
      const batch = await nextBatch(engine, watches, begun);
      if (!batch) break;
      const order = run.plan.batches.flatMap(b => b.nodes.map(n => n.name));
      try {
        journal.append({ event: 'batch-started', batch: batch.id });
        for (const service of batch.services) engine.exposed.add(service);
        const before = await rememberAll(engine, questions(engine, new Map()));
        let flipped = false;
        for (const node of batch.nodes) {
          const following = order[order.indexOf(node.name) + 1];
          if ((await inTurn({ engine, watches, batch, planned: node, following })) === 'flipped') flipped = true;
        }
        // A later batch had begun when the run was left, so these gates were passed; now they would see its node in hand.
        const later = run.plan.batches.slice(run.plan.batches.indexOf(batch) + 1);
        const passed = later.some(b => b.nodes.some(n => labelled.has(n.name)));
        if (flipped || !passed) {
          await leaveOutLost(engine);
          journal.append({ event: 'waiting', for: `the gates after ${batch.id}` });
          await judgeUntilPassed(engine, questions(engine, before));
        }
        journal.append({ event: 'batch-done', batch: batch.id, exposed: batch.exposedAfter });
      } catch (error) {
        if (!(error instanceof Red)) throw error;
        await watches.closed();
        return await answerRed(engine, error, batch.id);
      }
    }
    // What is done must stay so: nothing may start a second kube-proxy on flipped nodes.
    await driver.intact(run);
    return doneEnding(run, await arrivals(run));
  } catch (error) {
    if (error instanceof Halt) return { outcome: error.outcome, reason: error.message, next: GO_ON_OR_BACK };
    throw error;
  } finally {
    await watches.closed();
    await withoutChange(engine);
  }
}

/** What was made to change on purpose goes with the watchers; what removes our namespace removes it too. */
async function withoutChange({ run, journal }: Engine): Promise<void> {
  try {
    await removeForcedChange(run);
  } catch (error) {
    journal.append({ event: 'note', text: `Service follows-changes was not removed: ${String(error)}` });
  }
}

/** Nodes that a rollback went past, between two modes, go home first: none but the one whose turn it is may be so. */
async function settleOthers(engine: Engine, watches: Watches): Promise<Ending | undefined> {
  const nodes = await nodesNow(engine);
  const turn = engine.run.plan.batches
    .flatMap(batch => batch.nodes)
    .find(({ name }) => {
      const object = nodes.get(name);
      return object && !isDone(object, engine.run.plan.to);
    });
  return putBack(engine, watches, ({ node, inHand }) => inHand && node.name !== turn?.name);
}

function isDone(node: KubeObject, to: Mode): boolean {
  return modeLabel(node) === to && nodeState(node)?.step === 'done';
}

/** The nodes that bear our label by now: done, or in hand when the run was left. */
async function labelledNodes(engine: Engine): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for await (const node of engine.run.cluster.list('Node')) if (modeLabel(node)) names.add(node.metadata.name);
  return names;
}

/** The first batch of the plan, as it is by then, that has not begun. */
async function nextBatch(engine: Engine, watches: Watches, begun: Set<string>): Promise<Batch | undefined> {
  await engine.pausePoint();
  // The node that was next may not be it any more.
  if (await takeUpAdjustment(engine, begun)) await watches.closed();
  const batch = engine.run.plan.batches.find(b => !begun.has(b.id));
  if (batch) begun.add(batch.id);
  return batch;
}

interface Turn extends Rehearsing {
  /** Whose watchers may start meanwhile. */
  readonly following: string | undefined;
}

type Came = 'flipped' | 'done before' | 'lost';

/** A node of the plan, with its way back rehearsed where that is wanted. Throws a Halt when it is lost in its flip. */
async function inTurn(turn: Turn): Promise<Came> {
  try {
    if (isRehearsed(turn)) {
      if ((await one({ ...turn, following: undefined })) === 'lost') return 'lost';
      await rehearseWayBack(turn);
    }
    return await one(turn);
  } catch (error) {
    throw await lostInTurn(turn.engine, turn.planned, error);
  } finally {
    turn.watches.stop(turn.planned.name);
  }
}

/** Flips a node of the plan, unless that was done before, or another machine bears its name. */
async function one({ engine, watches, batch, planned, following }: Turn): Promise<Came> {
  const { run } = engine;
  await engine.pausePoint();
  stopPoint(engine);
  const object = await run.cluster.get({ kind: 'Node', name: planned.name });
  const loss = lossOf(planned, object);
  if (!object || loss) {
    leaveOut(engine, planned.name, loss ?? 'gone');
    return 'lost';
  }
  const state = nodeState(object);
  if (isDone(object, run.plan.to)) {
    engine.expectedModes.set(planned.name, run.plan.to);
    return 'done before';
  }
  const node: FlipNode = { name: planned.name, from: planned.from, to: run.plan.to, home: 'mode' };
  // A warm kube-proxy that was left may have written over the chains of the node's own, which is to be looked at as it was.
  const warmed = modeLabel(object) === undefined && state?.step === 'warm';
  if (warmed && sharesChains(node.from, node.to)) {
    await callOff(engine, { batch: batch.id, node: node.name, left: node.to, now: node.from });
  }
  const watch = await watches.alive(planned.name);
  const onReleased = () => watches.prefetch(following);
  const resumed = modeLabel(object) !== undefined;
  const handedOver = modeLabel(object) === run.plan.to && state?.step === 'hand-over';
  const flip: Flip = { engine, node, batch: batch.id, watch, direction: 'forward', resumed, onReleased };
  if (handedOver && (await engine.driver.serves(run, node))) await verifyNode(flip);
  else await flipNode(flip);
  return 'flipped';
}

/** Those of a batch, before it begins and after it. */
function questions(engine: Engine, before: ReadonlyMap<string, unknown>): JudgeOptions {
  const moment = 'after-batch';
  const about = { scope: scopeOf(engine.exposed), before };
  const gates = engine.gates.filter(gate => gate.moments.includes(moment));
  const { settle } = engine.run.plan.playbook.gates;
  return { moment, gates, look: () => lookAt(engine, moment, about), settle, patience: settle, stoppable: true };
}
