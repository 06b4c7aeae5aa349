// Outside runs there is no time before to compare a Service with: but there are other nodes.
import type { Finding } from './gate.ts';
import type { ProbeTally } from './node-view.ts';
import { kindOfTarget, type ProbeKind, serviceOfTarget } from './probe-kind.ts';
import type { ServiceTruth } from './service-truth.ts';
import { count, few } from './words.ts';

export interface ProbedNode {
  readonly name: string;
  /** Of its pod network. */
  readonly tally: ProbeTally;
}

/** What means the same on every node. A server that does not answer our datagrams answers them nowhere. */
const ACROSS: ReadonlySet<ProbeKind> = new Set(['cluster-ip-tcp', 'cluster-ip-udp', 'dns']);

/**
 * By node, Services that do not answer from its pod network, `failures` times in a row, while they answer from that of other
 * nodes each time: so it is not the Service that fails. Only cluster IPs: other addresses are a matter of the node. Services
 * with internal traffic policy Local are let off.
 */
export function failingHereOnly(
  nodes: readonly ProbedNode[],
  { history }: Pick<ServiceTruth, 'history'>,
  failures: number,
): Map<string, Finding[]> {
  const tallies = nodes.filter(({ tally }) => tally.rounds > 0 && tally.attempts > 0);
  const found = new Map<string, Finding[]>();
  for (const { name, tally } of tallies) {
    const findings = [...tally.bad].flatMap(([id, { inARow, outcome }]): Finding[] => {
      const service = serviceOfTarget(id);
      if (inARow < failures || !ACROSS.has(kindOfTarget(id)) || history.service(service)?.internalLocal) return [];
      const others = tallies.filter(other => other.name !== name && isWell(other.tally, id)).map(other => other.name);
      if (others.length === 0) return [];
      const message = `${id} from the pod network of ${name}: ${outcome}, ${count(inARow, 'time')} in a row, while it answers from ${few(others)}`;
      return [{ level: 'error', subject: `service ${service}`, message }];
    });
    if (findings.length > 0) found.set(name, findings);
  }
  return found;
}

function isWell(tally: ProbeTally, id: string): boolean {
  return (tally.bad.get(id)?.total ?? 0) === 0;
}
