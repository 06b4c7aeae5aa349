// A node's kernel against the API: which Services it serves otherwise than it should, and which are only on their way.
import { type ExpectedRule, expectedRules, type RulePlace, type ServiceVersion } from './expected-rules.ts';
import { inRange } from './ip-ranges.ts';
import { type RuleDifference, ruleDifference } from './rule-difference.ts';
import type { ServiceHistory } from './service-history.ts';
import type { ServiceRule } from './service-rules.ts';

export interface RuleFlaw extends RuleDifference {
  /** `namespace/name`; undefined for a rule of no Service that is known. */
  readonly service: string | undefined;
  /** `namespace/name:port/PROTO at 10.96.0.10:80/TCP`, or the address alone. */
  readonly at: string;
}

export interface Comparison {
  readonly flaws: readonly RuleFlaw[];
  /** Services whose rules are not as the API says now, but as it said within the lag. */
  readonly lagging: ReadonlySet<string>;
  /** Addresses and ports compared. */
  readonly compared: number;
}

export interface KernelLook {
  readonly rules: ReadonlyMap<string, ServiceRule>;
  /** The kernel may be as the API was at any time after this, ms of our clock: the beginning of the look less the lag. */
  readonly since: number;
}

interface Comparing {
  readonly history: ServiceHistory;
  readonly place: RulePlace;
  readonly look: KernelLook;
  readonly expected: (version: ServiceVersion) => readonly ExpectedRule[];
}

interface Suspect extends RuleDifference {
  readonly service: string;
  readonly entry: ExpectedRule;
}

/**
 * Compares. Gates ask again and again: as long as neither the kernel nor the API has changed, the answer of before holds, if
 * nothing lagged that may lag too long by now.
 */
export function compareRules(history: ServiceHistory, place: RulePlace, look: KernelLook): Comparison {
  const asked = JSON.stringify([place, history.revision]);
  const before = answers.get(look.rules);
  const same = before?.history === history && before.asked === asked;
  if (same && (before.since === look.since || before.comparison.lagging.size === 0)) return before.comparison;
  const comparison = compare(history, place, look);
  answers.set(look.rules, { history, asked, since: look.since, comparison });
  return comparison;
}

interface Answer {
  readonly history: ServiceHistory;
  readonly asked: string;
  readonly since: number;
  readonly comparison: Comparison;
}
const answers = new WeakMap<KernelLook['rules'], Answer>();

function compare(history: ServiceHistory, place: RulePlace, look: KernelLook): Comparison {
  const comparing = { history, place, look, expected: expectedRules(place) };
  const { claimed, suspects, compared } = compareNow(comparing);
  const wrong = suspects.filter(({ entry }) => !claimed.get(entry.rule.key));
  const extras = [...look.rules.keys()].filter(key => !claimed.has(key) && !isLeftAlone(key, place));
  const lagging = new Set<string>();
  const flaws: RuleFlaw[] = [];
  if (wrong.length + extras.length === 0) return { flaws, lagging, compared };
  const past = pastRules(comparing);
  for (const { service, entry, ...difference } of wrong) {
    const { key } = entry.rule;
    if (fitsPast(comparing, past, key) || wasAbsent(comparing, service, key)) lagging.add(service);
    else flaws.push({ ...difference, service, at: `${entry.port} at ${key}` });
  }
  for (const key of extras) {
    const service = past.get(key)?.at(-1)?.service;
    if (service !== undefined && fitsPast(comparing, past, key)) lagging.add(service);
    else flaws.push({ difference: 'extra', service, at: key, detail: 'has a rule and belongs to no Service' });
  }
  return { flaws, lagging, compared };
}

/** `claimed`: by key, whether the kernel does what some Service wants there; two may share an external address and port. */
function compareNow({ history, place, look, expected }: Comparing) {
  const claimed = new Map<string, boolean>();
  const suspects: Suspect[] = [];
  let compared = 0;
  for (const [service, version] of history.current()) {
    for (const entry of expected(version)) {
      const { key } = entry.rule;
      const difference = ruleDifference(entry, look.rules.get(key), place.mode);
      compared++;
      claimed.set(key, !difference || claimed.get(key) === true);
      if (difference) suspects.push({ service, entry, ...difference });
    }
  }
  return { claimed, suspects, compared };
}

type PastRules = ReadonlyMap<string, readonly { readonly service: string; readonly entry: ExpectedRule }[]>;

/** By key, what the API said within the lag and does not say any more. */
function pastRules({ history, look, expected }: Comparing): PastRules {
  const rules = new Map<string, { service: string; entry: ExpectedRule }[]>();
  for (const service of history.changedAfter(look.since)) {
    for (const version of history.replacedAfter(service, look.since)) {
      for (const entry of expected(version)) {
        const known = rules.get(entry.rule.key);
        if (known) known.push({ service, entry });
        else rules.set(entry.rule.key, [{ service, entry }]);
      }
    }
  }
  return rules;
}

function fitsPast({ look, place }: Comparing, past: PastRules, key: string): boolean {
  const found = look.rules.get(key);
  return past.get(key)?.some(({ entry }) => !ruleDifference(entry, found, place.mode)) ?? false;
}

/** The kernel has no rule for the key, and the API asked for none within the lag. */
function wasAbsent({ history, look, expected }: Comparing, service: string, key: string): boolean {
  if (look.rules.has(key)) return false;
  const versions = history.replacedAfter(service, look.since);
  return versions.some(version => expected(version).every(entry => entry.rule.key !== key));
}

/** ipvs leaves virtual servers in excludeCIDRs alone. */
function isLeftAlone(key: string, { mode, options }: RulePlace): boolean {
  if (mode !== 'ipvs' || options.excludeCIDRs.length === 0) return false;
  const address = key.slice(0, key.lastIndexOf(':')).replace(/[[\]]/g, '');
  return options.excludeCIDRs.some(range => inRange(address, range));
}
