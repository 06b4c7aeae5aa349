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

/** Why it halted. What `ask` refuses comes first: gates may have seen no more than what came of that. */
export async function whyHalted({ message }: Error, ask: () => Promise<unknown>): Promise<string> {
  try {
    await ask();
    return message;
  } catch (error) {
    if (error instanceof ProxyctlError && error.exitCode === EXIT.halted) return `${error.message}; ${message}`;
    throw error;
  }
}

/** Throws once finalize has begun: from there on the only way is to its end. */
export async function refuseCommitted({ driver, run }: Engine): Promise<void> {
  if (!(await driver.committed(run))) return;
  const message = 'finalize has begun: the shared configuration says the new mode, and undo is a new migration';
  throw new ProxyctlError(`${message}; end it with 'proxyctl finalize'`, EXIT.stalePlan);
}
