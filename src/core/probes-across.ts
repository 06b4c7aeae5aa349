// Outside runs there is no time before to compare a Service with: but there are other nodes.
import type { Finding, Look } from './gate.ts';
import { NodePortPeers } from './node-ports-across.ts';
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
  const others: Others = { across, nodePorts: new NodePortPeers(probed, across), answering: answeringOn(probed) };
  for (const here of probed) {
    const findings = [...here.tally.bad].flatMap(([id, { inARow, outcome }]): Finding[] => {
      if (inARow < failures || !stands(id, across)) return [];
      const failing = `${id} from the pod network of ${here.name}: ${outcome}, ${count(inARow, 'time')} in a row`;
      const said = elsewhere(id, here, others);
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

/** What is asked of all nodes. */
interface Others {
  readonly across: Across;
  readonly nodePorts: NodePortPeers;
  /** Nodes on which a target answers each time; found once for each target. */
  readonly answering: (id: string) => readonly string[];
}

function answeringOn(probed: readonly ProbedNode[]): Others['answering'] {
  const found = new Map<string, readonly string[]>();
  return id => {
    const names = found.get(id) ?? probed.flatMap(({ name, tally }) => (isWell(tally, id) ? [name] : []));
    found.set(id, names);
    return names;
  };
}

/** Where it answers; undefined where that says nothing about this node. */
function elsewhere(id: string, here: ProbedNode, others: Others): Pick<Finding, 'message' | 'fix'> | undefined {
  const kind = kindOfTarget(id);
  if (kind === 'node-port') {
    const peers = others.nodePorts.of(id, here);
    if (peers.length === 0) return undefined;
    const message = `its cluster IP answers there, and its NodePort on ${few(peers)}`;
    return { message, fix: `something beside kube-proxy's own rules stops it: rules of another mode, or a firewall` };
  }
  const { history } = others.across.truth;
  if (!ACROSS.has(kind) || history.service(serviceOfTarget(id))?.internalLocal) return undefined;
  const names = others.answering(id);
  return names.length === 0 ? undefined : { message: `it answers from ${few(names)}` };
}

function isWell(tally: ProbeTally, id: string): boolean {
  return (tally.bad.get(id)?.total ?? 0) === 0;
}
