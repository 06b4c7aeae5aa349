// What a rule in the kernel does otherwise than it should.
import type { ExpectedRule } from './expected-rules.ts';
import { joinedRanges } from './ip-ranges.ts';
import type { Mode } from './mode.ts';
import { type ServiceRule, sameTexts } from './service-rules.ts';
import { count, few } from './words.ts';

/** Ways in which the kernel differs from the API for one address and port, the worst first. */
export type Difference =
  /** No rule at all. */
  | 'missing'
  /** A rule that belongs to no Service (any more). */
  | 'extra'
  /** It sends to endpoints that are not usable (any more), whatever else it does. */
  | 'stale'
  /** It does not send to all endpoints. */
  | 'partial'
  /** The right endpoints under another policy: affinity, source ranges, clients within the cluster, refusal. */
  | 'policy';

export interface RuleDifference {
  readonly difference: Difference;
  /** In words that go behind the name of the Service port. */
  readonly detail: string;
}

/** Undefined when the kernel does what it should. Both rules are in their one form (`serviceRule`). */
export function ruleDifference(
  { rule, own, optional }: ExpectedRule,
  found: ServiceRule | undefined,
  mode: Mode,
): RuleDifference | undefined {
  if (optional && leadsNowhere(rule, found)) return undefined;
  if (!found) return { difference: 'missing', detail: 'has no rule' };
  const policies = policyDifferences(rule, found, mode, own);
  if (sameTexts(rule.endpoints, found.endpoints)) {
    return policies.length === 0 ? undefined : { difference: 'policy', detail: policies.join(', and ') };
  }
  const stale = lacks(rule.endpoints, found.endpoints);
  const missing = lacks(found.endpoints, rule.endpoints);
  const says: string[] = [];
  if (stale.length > 0) says.push(`sends to ${few(stale)}, not usable by what the API says`);
  if (missing.length > 0) {
    says.push(`does not send to ${few(missing)} (${missing.length} of ${count(rule.endpoints.length, 'endpoint')})`);
  }
  return { difference: stale.length > 0 ? 'stale' : 'partial', detail: says.join(', and ') };
}

/** Where NodePorts answer on no address, kube-proxy still writes what refuses those that it does not lead to endpoints. */
function leadsNowhere({ empty }: ServiceRule, found: ServiceRule | undefined): boolean {
  return !found || (found.endpoints.length === 0 && !found.fromCluster && empty !== undefined && found.empty === empty);
}

function policyDifferences(rule: ServiceRule, found: ServiceRule, mode: Mode, own: readonly string[]): string[] {
  const differs: string[] = [];
  // A virtual server without destinations does the same whatever was meant.
  if (mode !== 'ipvs' && rule.empty !== found.empty) differs.push(`${meets(found)} instead of ${meets(rule)}`);
  if (!sameTexts(within(rule), within(found)))
    differs.push(
      `sends clients within the cluster to ${few(within(found)) || 'nobody'} instead of ${few(within(rule)) || 'nobody'}`,
    );
  if (rule.affinitySeconds !== found.affinitySeconds)
    differs.push(`has session affinity of ${seconds(found)} instead of ${seconds(rule)}`);
  if (!sameRanges(rule.sourceRanges, found.sourceRanges, own))
    differs.push(`lets in ${ranges(found)} instead of ${ranges(rule)}`);
  return differs;
}

const within = ({ fromCluster, endpoints }: ServiceRule) => fromCluster ?? endpoints;
const seconds = ({ affinitySeconds: s }: ServiceRule) => (s === undefined ? 'none' : `${s} s`);
const ranges = ({ sourceRanges }: ServiceRule) => (sourceRanges ? few(sourceRanges) : 'everybody');

function meets({ empty }: ServiceRule): string {
  if (empty === undefined) return 'passes connections on';
  return empty === 'drop' ? 'drops connections' : 'refuses connections';
}

function sameRanges(
  a: readonly string[] | undefined,
  b: readonly string[] | undefined,
  own: readonly string[],
): boolean {
  if (!a || !b) return a === b;
  return sameTexts(a, b) || sameTexts(joinedRanges([...a, ...own]), joinedRanges([...b, ...own]));
}

/** Of `all`, those that `some` lacks. */
function lacks(some: readonly string[], all: readonly string[]): string[] {
  const known = new Set(some);
  return all.filter(entry => !known.has(entry));
}
