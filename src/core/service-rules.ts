// What a node's kernel does for Services, in terms that every mode has. Parsers make it of dumps, the API's Services and
// EndpointSlices say what it should be, and the two are compared. Free of zod: it runs on nodes too.
import { joinedRanges } from './ip-ranges.ts';

/**
 * One address and port that a mode answers for. Its `key` is what `servicePort` writes, `10.96.0.10:53/UDP`; NodePorts have
 * `0.0.0.0` or `[::]` in place of an address, whichever addresses of the node they answer on.
 */
export interface ServiceRule {
  readonly key: string;
  /** `address:port` of each endpoint, sorted. Where the traffic policy is Local: what clients outside the cluster reach. */
  readonly endpoints: readonly string[];
  /** What clients within the cluster reach, where that differs (external traffic policy Local). */
  readonly fromCluster?: readonly string[];
  /** Without endpoints: whether a connection is refused or dropped. */
  readonly empty?: 'reject' | 'drop';
  /** Seconds for which a client stays with its endpoint; absent without ClientIP affinity. */
  readonly affinitySeconds?: number;
  /** Load balancer source ranges in their shortest form (`joinedRanges`); absent when everybody may come. */
  readonly sourceRanges?: readonly string[];
}

/**
 * A rule in its one form, so that two that do the same are equal: lists sorted and without duplicates; `fromCluster` only where
 * it differs from `endpoints`, `empty` only without `endpoints`, affinity and source ranges only where there is somebody to
 * reach.
 */
export function serviceRule(rule: ServiceRule): ServiceRule {
  const { key, empty, affinitySeconds, sourceRanges } = rule;
  const endpoints = sorted(rule.endpoints);
  const within = rule.fromCluster && sorted(rule.fromCluster);
  const fromCluster = within && !sameTexts(within, endpoints) ? within : undefined;
  const reached = endpoints.length > 0 || (fromCluster?.length ?? 0) > 0;
  return {
    key,
    endpoints,
    ...(fromCluster ? { fromCluster } : {}),
    ...(empty && endpoints.length === 0 ? { empty } : {}),
    ...(reached && affinitySeconds !== undefined ? { affinitySeconds } : {}),
    ...(reached && sourceRanges ? { sourceRanges: joinedRanges(sourceRanges) } : {}),
  };
}

function sorted(texts: readonly string[]): readonly string[] {
  return texts.length < 2 ? texts : [...new Set(texts)].sort();
}

/** The same texts in the same order. */
export function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, index) => text === b[index]));
}
