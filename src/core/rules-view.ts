// Rules lines of a watcher, reduced to what each mode's rules do now.
import type { Mode } from './mode.ts';
import type { RulesSample } from './observation.ts';
import type { ServiceRule } from './service-rules.ts';

/** What the rules of one mode do, as of the last whole look. */
export interface RulesView {
  /** When that look began, by the node's clock. */
  readonly t: string;
  readonly rules: ReadonlyMap<string, ServiceRule>;
}

/** Lines of a look whose last one has not come, by mode, with the number of the last line that came. */
export type RulesOnTheWay = Readonly<
  Partial<Record<Mode, { readonly seq: number; readonly lines: readonly RulesSample[] }>>
>;

interface Known {
  readonly rules: Readonly<Partial<Record<Mode, RulesView>>>;
  readonly rulesOnTheWay: RulesOnTheWay;
}

/**
 * What is known with one more line. Nothing of a look counts before its last line; after a line that was lost the mode is not
 * known until a whole look comes. Copies the rules only where some changed.
 */
export function takeRules({ rules, rulesOnTheWay }: Known, line: RulesSample): Known {
  const { mode, seq, began: t } = line;
  const { [mode]: view, ...others } = rules;
  const { [mode]: before, ...othersOnTheWay } = rulesOnTheWay;
  const waiting = (lines: readonly RulesSample[]) => ({ ...rulesOnTheWay, [mode]: { seq, lines } });
  const unchanged = !line.full && line.set.length === 0 && line.gone.length === 0;
  if (unchanged && view && before?.lines.length === 0 && seq === before.seq)
    return { rules: { ...rules, [mode]: { ...view, t } }, rulesOnTheWay };
  const follows = before && seq === before.seq + 1 && (view || before.lines.length > 0);
  if (unchanged || (!line.full && !follows)) return { rules: others, rulesOnTheWay: othersOnTheWay };
  const lines = line.full ? [line] : [...(before?.lines ?? []), line];
  if (!line.last) return { rules, rulesOnTheWay: waiting(lines) };
  const next = new Map(lines[0]?.full ? [] : view?.rules);
  for (const { set, gone } of lines) {
    for (const key of gone) next.delete(key);
    for (const rule of set) next.set(rule.key, rule);
  }
  return { rules: { ...rules, [mode]: { t, rules: next } }, rulesOnTheWay: waiting([]) };
}
