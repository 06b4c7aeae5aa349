// The way of a new connection through a node's kernel to one address and port of a Service, as the parsers of all modes read it.
// Free of zod: it runs on nodes too.

/** Where a connection comes from: each meets other hooks and rules. */
export const CLIENTS = ['pod', 'node', 'outside'] as const;
export type Client = (typeof CLIENTS)[number];

/** One thing in the kernel that the connection meets. */
export interface Hop {
  /** `set` is one of ipset, `server` a virtual server of ip_vs, `device` an interface that has the address. */
  readonly kind: 'hook' | 'chain' | 'map' | 'set' | 'device' | 'server';
  /** Of iptables. */
  readonly table?: 'nat' | 'filter';
  /** As the kernel has it. */
  readonly name: string;
  /** In words; absent where it only leads on. */
  readonly does?: string;
}

/** An endpoint, `address:port`, and the chain that leads to it where there is one. */
export interface PathEnd {
  readonly address: string;
  readonly chain?: string;
}

export interface ServicePath {
  /** As in `ServiceRule`. */
  readonly key: string;
  readonly client: Client;
  readonly hops: readonly Hop[];
  /** `nothing`: no rule of the mode knows it, so the packet goes on as it came. */
  readonly outcome: 'endpoints' | 'reject' | 'drop' | 'nothing';
  /** The first MOST_ENDS; `endpoints` counts all. */
  readonly ends: readonly PathEnd[];
  readonly endpoints: number;
  /** Whose connections reach the endpoint from the node's address: everybody's, those of an endpoint to itself, nobody's. */
  readonly masquerade: 'all' | 'self' | 'none';
  /** Everybody else is dropped; absent when all may come. */
  readonly sourceRanges?: readonly string[];
  /** The rules are in the older backend of iptables, which its plain commands may not show. */
  readonly legacy?: true;
}

/** A Service of thousands of endpoints is not told whole. */
export const MOST_ENDS = 50;
