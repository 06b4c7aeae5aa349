// What a node's kernel does for Services, in terms that every mode has. Parsers make it of dumps, the API's Services and
// EndpointSlices say what it should be, and the two are compared. Free of zod: it runs on nodes too.

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
  /** Load balancer source ranges, sorted; absent when everybody may come. */
  readonly sourceRanges?: readonly string[];
}
