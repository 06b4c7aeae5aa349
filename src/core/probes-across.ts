// Outside runs there is no time before to compare a Service with: but there are other nodes.
import type { Finding, Look } from './gate.ts';
import { nodePortPeers } from './node-ports-across.ts';
import type { ProbeTally } from './node-view.ts';
import { kindOfTarget, type ProbeKind, serviceOfTarget } from './probe-kind.ts';
import type { ServiceTruth } from './service-truth.ts';
import { count, few } from './words.ts';

export interface ProbedNode {
  readonly name: string;
  /** Of its pod network. */
  readonly tally: ProbeTally;
}

/** What all nodes are looked at with. */
export type Across = Pick<Look, 'inventory' | 'playbook'> & { readonly truth: ServiceTruth };

/** What means the same on every node. A server that does not answer our datagrams answers them nowhere. */
const ACROSS: ReadonlySet<ProbeKind> = new Set(['cluster-ip-tcp', 'cluster-ip-udp', 'dns']);

/**
 * By node, Services that do not answer from its pod network, so many times in a row as the playbook says, while they answer from
 * that of other nodes each time: so it is not the Service that fails. Cluster IPs, and NodePorts of the node itself; other
 * addresses are a matter of the network. Services with internal traffic policy Local are let off.
 */
export function failingHereOnly(nodes: readonly ProbedNode[], across: Across): Map<string, Finding[]> {
  const { failures } = across.playbook.gates.probes;
  const probed = nodes.filter(({ tally }) => tally.rounds > 0 && tally.attempts > 0);
  const found = new Map<string, Finding[]>();
  for (const here of probed) {
    const findings = [...here.tally.bad].flatMap(([id, { inARow, outcome }]): Finding[] => {
      if (inARow < failures || !stands(id, across)) return [];
      const failing = `${id} from the pod network of ${here.name}: ${outcome}, ${count(inARow, 'time')} in a row`;
      const said = elsewhere({ id, here, probed }, across);
      if (!said) return [];
      const { message, ...advice } = said;
      const subject = `service ${serviceOfTarget(id)}`;
      return [{ level: 'error', subject, message: `${failing}, while ${message}`, ...advice }];
    });
    if (findings.length > 0) found.set(here.name, findings);
  }
  return found;
}

/** Nodes were probed one after another: a Service that is gone by now, or has lost its endpoints, answered the first of them. */
function stands(id: string, { truth: { history } }: Across): boolean {
  const service = serviceOfTarget(id);
  return history.service(service) !== undefined && history.hasEndpoints(service);
}

interface Failing {
  readonly id: string;
  readonly here: ProbedNode;
  readonly probed: readonly ProbedNode[];
}

/** Where it answers; undefined where that says nothing about this node. */
function elsewhere({ id, here, probed }: Failing, across: Across): Pick<Finding, 'message' | 'fix'> | undefined {
  const kind = kindOfTarget(id);
  if (kind === 'node-port') {
    const peers = nodePortPeers(id, here, probed, across);
    if (peers.length === 0) return undefined;
    const message = `its cluster IP answers there, and its NodePort on ${few(peers)}`;
    return { message, fix: `something beside kube-proxy's own rules stops it: rules of another mode, or a firewall` };
  }
  if (!ACROSS.has(kind) || across.truth.history.service(serviceOfTarget(id))?.internalLocal) return undefined;
  const others = probed.filter(other => other.name !== here.name && isWell(other.tally, id)).map(other => other.name);
  return others.length === 0 ? undefined : { message: `it answers from ${few(others)}` };
}

function isWell(tally: ProbeTally, id: string): boolean {
  return (tally.bad.get(id)?.total ?? 0) === 0;
}
