// What may go wrong on a node, and what must find it.
import type { Verdict } from '../../src/core/gate.ts';
import type { Mode } from '../../src/core/mode.ts';

export interface FaultRow {
  readonly fault: string;
  /** What is done to the node. */
  readonly what: string;
  readonly verdict: Exclude<Verdict, 'pass'>;
  /** Of these gates at least one must say so. */
  readonly gates: readonly string[];
  /** `service`: those struck, and no other on the node; `changed`: those, and others that have changed since. */
  readonly names: 'service' | 'changed' | 'node';
  /** A migration of the node to that mode finds it; else `verify` does. */
  readonly towards?: Mode;
}

/**
 * In waves of as many as there are nodes. Those that change endpoints come first: kube-proxies that are well write rules then,
 * and may mend what is damaged on other nodes.
 */
export const ROWS = [
  row('stopped-proxy', 'SIGSTOP to kube-proxy, then an endpoint goes', 'fail', ['kernel-rules'], 'changed'),
  row('frozen-proxy', 'kube-proxy answers and writes nothing; an endpoint goes', 'fail', ['kernel-rules'], 'changed'),
  row('crash-loop', 'kube-proxy ends soon after each start', 'fail', ['node-health', 'watchers'], 'node'),
  row('conntrack-max', 'nf_conntrack_max halved', 'fail', ['conntrack'], 'node'),
  row('service-rules', 'all rules of one Service deleted', 'fail', ['kernel-rules'], 'service'),
  row('endpoint-rule', 'the rule of one endpoint deleted', 'fail', ['kernel-rules'], 'service'),
  row('dead-endpoint', 'one endpoint replaced by an address where nobody is', 'fail', ['kernel-rules'], 'service'),
  row('udp-rule', 'the rule of a UDP port deleted', 'fail', ['kernel-rules'], 'service'),
  row('node-port-rule', 'the rule of a NodePort deleted', 'fail', ['kernel-rules'], 'service'),
  row('affinity-rule', 'the session affinity of one Service deleted', 'fail', ['kernel-rules'], 'service'),
  row('all-rules', 'every rule for Services deleted', 'fail', ['kernel-rules'], 'node'),
  row('udp-dropped', 'a filter drops UDP to Services; all rules are there', 'fail', ['service-probes'], 'service'),
  row('conntrack-full', '75 % of the connection table filled', 'fail', ['conntrack'], 'node'),
  { ...row('no-nft', 'no nft in the image', 'fail', ['node-health'], 'node'), towards: 'nftables' },
] as const satisfies readonly FaultRow[];
export type Fault = (typeof ROWS)[number]['fault'];
/** A row with its own name. */
export type Row = FaultRow & { readonly fault: Fault };

function row<F extends string>(
  fault: F,
  what: string,
  verdict: FaultRow['verdict'],
  gates: FaultRow['gates'],
  names: FaultRow['names'],
): FaultRow & { readonly fault: F } {
  return { fault, what, verdict, gates, names };
}
