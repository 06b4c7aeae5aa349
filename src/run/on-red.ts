// What a gate that does not pass leads to, beyond the node in hand.
import { onRedOf } from '../core/gate-settings.ts';
import type { Engine, Red } from './engine.ts';
import { putBack, rollback } from './give-back.ts';
import { type Ending, mending, whyHalted } from './phase.ts';
import { Watches } from './watches.ts';

export const GO_ON_OR_BACK = "'proxyctl rollback' puts everything back, 'proxyctl resume' goes on";

/** Halts, or puts back what the playbook says. The node that was in hand has been dealt with, and nobody watches any more. */
export async function answerRed(engine: Engine, red: Red, batch: string): Promise<Ending> {
  const reason = await whyHalted(red, () => engine.driver.intact(engine.run));
  const halted: Ending = { outcome: 'halted', reason, next: GO_ON_OR_BACK };
  // Before a node is touched nothing of it can be put back: what is red was red without it.
  const answer = red.moment === 'before-node' ? 'halt' : onRedOf(red.judgements, engine.run.plan.playbook);
  if (answer === 'halt' || answer === 'node') return halted;
  const what = answer === 'batch' ? batch : 'the run';
  engine.journal.append({ event: 'note', text: `${what} is put back, as the playbook says (onRed: ${answer})` });
  const ending = await mending(engine, red, () => (answer === 'batch' ? batchBack(engine, batch) : rollback(engine)));
  return { ...ending, reason: `${red.message}; ${ending.reason}` };
}

async function batchBack(engine: Engine, batch: string): Promise<Ending> {
  const watches = new Watches(engine);
  try {
    const ending = await putBack(engine, watches, node => node.batch === batch);
    return (
      ending ?? {
        outcome: 'rolled back',
        reason: `the nodes of ${batch} are as they were`,
        next: "'proxyctl rollback' for the others, 'proxyctl migrate' to go on",
      }
    );
  } finally {
    await watches.closed();
  }
}
