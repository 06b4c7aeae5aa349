// Nodes of the plan that left the cluster, or came again as other machines: the run goes on with the rest of its plan.
import type { KubeObject } from '../core/cluster.ts';
import { ApiError, WaitedInVain } from '../core/errors.ts';
import type { PlannedNode } from '../core/plan.ts';
import { type Engine, Halt, Red } from './engine.ts';
import { nodesNow } from './open-nodes.ts';

type Loss = 'gone' | 'made anew';

/** What became of the machine that was planned for; undefined when it is there. `object` is what bears its name now. */
export function lossOf({ uid }: PlannedNode, object: KubeObject | undefined): Loss | undefined {
  if (!object) return 'gone';
  return object.metadata.uid === uid ? undefined : 'made anew';
}

/** Nothing is expected of the node any more; said in the journal. */
export function leaveOut({ expectedModes, journal }: Engine, name: string, loss: Loss): void {
  expectedModes.delete(name);
  const what = loss === 'gone' ? 'is gone' : 'was made anew: another machine, which the run leaves alone';
  journal.append({ event: 'note', text: `node ${name} ${what}; the others go on` });
}

/** Leaves out those that were done and are lost since, before others are judged by what they should be. */
export async function leaveOutLost(engine: Engine): Promise<void> {
  const { expectedModes, run } = engine;
  const nodes = await nodesNow(engine);
  for (const planned of run.plan.batches.flatMap(batch => batch.nodes)) {
    if (expectedModes.get(planned.name) !== run.plan.to) continue;
    const loss = lossOf(planned, nodes.get(planned.name));
    if (loss) leaveOut(engine, planned.name, loss);
  }
}

/** What to throw for an error in a node's turn: a Halt where the machine was lost meanwhile. */
export async function lostInTurn(
  { run, expectedModes }: Engine,
  planned: PlannedNode,
  error: unknown,
): Promise<unknown> {
  const failed = error instanceof Red || error instanceof WaitedInVain || error instanceof ApiError;
  if (!failed || run.signal.aborted) return error;
  const loss = lossOf(planned, await run.cluster.get({ kind: 'Node', name: planned.name }));
  if (!loss) return error;
  expectedModes.delete(planned.name);
  const what = loss === 'gone' ? 'left' : 'was made anew';
  return new Halt('halted', `node ${planned.name} ${what} in the middle of its flip`);
}
