/** What a mode answers for on a node, as far as its rules are reached from the kernel's hooks. */
export interface ModeReading {
  /** A hook leads to rules that only this mode writes. */
  readonly present: boolean;
  /** Cluster, external and load balancer addresses as `servicePort` writes them; those without endpoints included. */
  readonly served: ReadonlySet<string>;
  /** `port/PROTOCOL`. */
  readonly nodePorts: ReadonlySet<string>;
}
