import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { RunOutcome } from '../core/journal.ts';
import { type Engine, Red } from './engine.ts';

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

/** Undoes what `first` spoilt. Where that fails as well both are told, and what failed last says how the run ends. */
export async function mending<T>({ run }: Engine, first: unknown, perform: () => Promise<T>): Promise<T> {
  try {
    return await perform();
  } catch (second) {
    if (run.signal.aborted || !(first instanceof Error && second instanceof Error)) throw second;
    // The gates that failed first have their say about what to put back, too.
    const both =
      first instanceof Red && second instanceof Red
        ? new Red([...first.judgements, ...second.judgements], first.moment)
        : second;
    both.message = `${first.message}; the way back from that failed: ${second.message}`;
    throw both;
  }
}

/** Throws once finalize has begun: from there on the only way is to its end. */
export async function refuseCommitted({ driver, run }: Engine): Promise<void> {
  if (!(await driver.committed(run))) return;
  const message = 'finalize has begun: the shared configuration says the new mode, and undo is a new migration';
  throw new ProxyctlError(`${message}; end it with 'proxyctl finalize'`, EXIT.stalePlan);
}
