// NodePorts are dialled on the node itself, so each node has its own: what makes that of one node worth as much as another's.
import { type NodeFacts, readyOn, serviceKey } from './inventory.ts';
import { inRange } from './ip-ranges.ts';
import type { ProbeTally } from './node-view.ts';
import { addressOfTarget, kindOfTarget, serviceOfTarget, targetId } from './probe-kind.ts';
import type { Across, ProbedNode } from './probes-across.ts';
import type { RuleOptions } from './rule-options.ts';

/**
 * Nodes whose own NodePort answers each time, where that of `here` (`id`, with its address) should as well: empty where
 * - the address is not the node's main one, or outside `nodePortAddresses`;
 * - the Service's cluster IP does not answer here either, so that the endpoints are not reached at all;
 * - the traffic policy is Local and no endpoint is;
 * - only nodes answer that have more endpoints on themselves: a NetworkPolicy may let in the own node and no other;
 * - no NodePort answers here, and none but nodes of the other role answer: a firewall may keep them closed.
 */
export function nodePortPeers(
  id: string,
  here: ProbedNode,
  probed: readonly ProbedNode[],
  { inventory, truth: { options } }: Across,
): string[] {
  const service = inventory.services.find(s => serviceKey(s) === serviceOfTarget(id));
  const factsOf = (name: string) => inventory.nodes.find(n => n.name === name);
  const facts = factsOf(here.name);
  const address = addressOfTarget(id);
  if (!service || !facts || address !== promised(facts, address.includes(':'), options)) return [];
  const near = readyOn(service, here.name);
  if (service.externalTrafficPolicy === 'Local' && near === 0) return [];
  if (!answersAtClusterIP(id, here.tally)) return [];
  const alone = isClosed(here.tally);
  const peers = probed.filter(({ name, tally }) => {
    const other = factsOf(name);
    if (!other || name === here.name || readyOn(service, name) > near) return false;
    if (alone && other.role !== facts.role) return false;
    const at = promised(other, address.includes(':'), options);
    return at !== undefined && nodePorts(tally) > 0 && !tally.bad.has(targetId(portOf(id), 'node-port', at));
  });
  return peers.map(({ name }) => name);
}

/** The address of the node on which every mode answers NodePorts. */
function promised({ internalIPs }: NodeFacts, isIPv6: boolean, options: RuleOptions): string | undefined {
  const address = internalIPs.find(ip => ip.includes(':') === isIPv6);
  const { nodePortAddresses: ranges } = options;
  const open = ranges.length === 0 || ranges.includes('primary');
  return address !== undefined && (open || ranges.some(range => inRange(address, range))) ? address : undefined;
}

/** What stands in front of the kind: `namespace/name:port/PROTOCOL`. */
function portOf(id: string): string {
  return id.slice(0, id.indexOf('@'));
}

function answersAtClusterIP(id: string, { bad }: ProbeTally): boolean {
  const port = portOf(id);
  return ![...bad].some(
    ([other, { total }]) =>
      total > 0 && /^cluster-ip/.test(kindOfTarget(other)) && (other === port || portOf(other) === port),
  );
}

/** NodePorts dialled in a round. */
function nodePorts({ kinds, rounds }: ProbeTally): number {
  return (kinds['node-port'] ?? 0) / rounds;
}

/** None of the node's NodePorts answers. */
function isClosed(tally: ProbeTally): boolean {
  const bad = [...tally.bad].filter(([id, { inARow }]) => kindOfTarget(id) === 'node-port' && inARow > 0);
  return bad.length >= nodePorts(tally);
}
