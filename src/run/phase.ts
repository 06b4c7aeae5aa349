import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { RunOutcome } from '../core/journal.ts';
import type { Engine } from './engine.ts';

export interface Ending {
  outcome: RunOutcome;
  reason: string;
  /** What the operator can do now. */
  next: string;
}

export async function phase(engine: Engine, id: string, title: string, perform: () => Promise<void>): Promise<void> {
  engine.journal.append({ event: 'phase-started', phase: id, title });
  await perform();
  engine.journal.append({ event: 'phase-done', phase: id });
}

/** Throws once finalize has begun: from there on the only way is to its end. */
export async function refuseCommitted({ driver, run }: Engine): Promise<void> {
  if (!(await driver.committed(run))) return;
  const message = 'finalize has begun: the shared configuration says the new mode, and undo is a new migration';
  throw new ProxyctlError(`${message}; end it with 'proxyctl finalize'`, EXIT.stalePlan);
}
