// The way back, proven on the first node before any other is touched: the same steps as a rollback, behind all gates.
import type { FlipNode } from '../core/driver.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Batch, PlannedNode } from '../core/plan.ts';
import { type Engine, Halt, Red, stopPoint } from './engine.ts';
import { flipNode } from './flip.ts';
import { isFlipped } from './open-nodes.ts';
import { revise } from './record.ts';
import type { Watches } from './watches.ts';

export interface Rehearsing {
  readonly engine: Engine;
  readonly watches: Watches;
  readonly batch: Batch;
  readonly planned: PlannedNode;
}

/**
 * Whether the way back is to be proven in this node's turn, and was not yet: on the canary, or on the next node where that is lost.
 * One that was left half-way begins anew.
 */
export function isRehearsed({ engine: { standing } }: Pick<Rehearsing, 'engine'>): boolean {
  const { plan, rehearsed } = standing.record;
  return rehearsed === undefined && plan.batches.some(batch => batch.rehearses !== undefined);
}

/** Brings the flipped node back and writes into the record that this works. Throws a Halt when it does not. */
export async function rehearseWayBack({ engine, watches, batch, planned }: Rehearsing): Promise<void> {
  const { run, journal } = engine;
  const at = { batch: batch.id, node: planned.name };
  await engine.pausePoint();
  stopPoint(engine);
  const begun = run.clock.monotonic();
  journal.append({ event: 'rehearsal-started', ...at });
  const node: FlipNode = { name: planned.name, from: run.plan.to, to: planned.from, home: 'original' };
  const watch = await watches.of(node.name);
  // What the new mode does differently is no trouble: each way is measured by what is before it.
  watch.mark();
  try {
    await flipNode({ engine, node, batch: batch.id, watch, direction: 'rehearsed back', resumed: false });
  } catch (error) {
    throw run.signal.aborted ? error : await unproven(engine, node, error);
  }
  watch.mark();
  journal.append({ event: 'node-back', ...at, mode: node.to });
  await revise(engine, { rehearsed: { node: node.name, at: new Date(run.clock.now()).toISOString() } });
  journal.append({ event: 'rehearsal-done', ...at, seconds: (run.clock.monotonic() - begun) / 1000 });
}

/** A way back that failed ends the run: what goes wrong from here on could not be undone by a rollback either. */
async function unproven(engine: Engine, { name, from, to }: FlipNode, error: unknown): Promise<unknown> {
  const failed = error instanceof Red || (error instanceof ProxyctlError && error.exitCode === EXIT.halted);
  if (!failed) return error;
  const where = (await isFlipped(engine, name))
    ? `serves in ${from} as before`
    : `is on its way to ${to}, which is not proven there`;
  const what = `the way back is not proven: rehearsed on ${name}, it failed (${error.message})`;
  return new Halt('halted', `${what}; ${name} ${where}, and no other node was touched`);
}
