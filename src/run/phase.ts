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
