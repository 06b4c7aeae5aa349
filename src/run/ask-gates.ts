// One round of gates: the cheap ones each time, the dear ones when they are due.
import type { Gate, Judgement } from '../core/gate.ts';
import type { Playbook } from '../core/playbook.ts';
import type { Engine, JudgeOptions, Judging } from './engine.ts';

/** What dear gates said, by id, and until when it stands, ms. */
export type Standing = Map<string, { readonly judgement: Judgement; readonly until: number }>;

/** When asking has taken longer than that, the cheap gates' word has grown old, ms: watchers may have fallen silent meanwhile. */
const OLD_MS = 2_000;

/** What the cheap gates say now, and the dear ones said last. Dear gates are asked once all others pass. */
export async function askGates(engine: Judging, options: JudgeOptions, standing: Standing): Promise<Judgement[]> {
  const { gates, look } = options;
  const { clock } = engine.run;
  const cheap = gates.filter(gate => gate.standsFor === undefined);
  const begun = clock.monotonic();
  let judgements = await engine.runGates(cheap, look());
  if (judgements.every(passes)) {
    const due = gates.filter(gate => gate.standsFor !== undefined && !stands(standing, gate, clock.monotonic()));
    const said = await engine.runGates(due, look());
    const now = clock.monotonic();
    for (const judgement of said) {
      const standsFor = due.find(gate => gate.id === judgement.gate)?.standsFor ?? 0;
      standing.set(judgement.gate, { judgement, until: now + standsFor * 1000 });
    }
    if (now - begun > OLD_MS && said.every(passes)) judgements = await engine.runGates(cheap, look());
  }
  return [...judgements, ...[...standing.values()].map(({ judgement }) => judgement)];
}

function passes({ verdict }: Judgement): boolean {
  return verdict === 'pass';
}

function stands(standing: Standing, { id }: Gate, now: number): boolean {
  return (standing.get(id)?.until ?? Number.NEGATIVE_INFINITY) > now;
}

/** How long gates may stay open. While one waits that may for longer than others, the others' time does not run. */
export class Patience {
  private readonly options: JudgeOptions;
  private readonly playbook: Playbook;
  private readonly begun: number;
  private others: number;

  /** Times are ms of the monotonic clock. */
  constructor(options: JudgeOptions, playbook: Playbook, begun: number) {
    this.options = options;
    this.playbook = playbook;
    this.begun = begun;
    this.others = begun;
  }

  isOver(open: readonly Judgement[], now: number): boolean {
    const own = open.flatMap(
      ({ gate }) => this.options.gates.find(g => g.id === gate)?.patience?.(this.playbook) ?? [],
    );
    if (own.length === 0) return now - this.others > this.options.patience * 1000;
    this.others = now;
    return own.some(seconds => now - this.begun > seconds * 1000);
  }
}

/** What gates that compare see now, by their id. One that cannot look now has nothing to compare with later. */
export async function rememberAll(engine: Engine, options: JudgeOptions): Promise<Map<string, unknown>> {
  const seen = new Map<string, unknown>();
  const look = options.look();
  for (const gate of options.gates) {
    try {
      if (gate.remember) seen.set(gate.id, await gate.remember(look));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      engine.journal.append({ event: 'note', text: `gate ${gate.id} has nothing to compare with: ${why}` });
    }
  }
  return seen;
}
