// NodePorts are dialled on the node itself, so each node has its own: what makes that of one node worth as much as another's.
import { type NodeFacts, nodeIn, readyOn, serviceIn } from './inventory.ts';
import { inRange } from './ip-ranges.ts';
import type { ProbeTally } from './node-view.ts';
import { primaryAddress } from './primary-address.ts';
import { addressOfTarget, kindOfTarget, serviceOfTarget, targetId } from './probe-kind.ts';
import type { Across, ProbedNode } from './probes-across.ts';
import type { RuleOptions } from './rule-options.ts';

/** A node on which a NodePort answers each time. */
interface Open {
  readonly name: string;
  readonly role: NodeFacts['role'];
  /** Ready endpoints of the Service on it. */
  readonly near: number;
}

/** What the dials of a node tell of all its NodePorts. */
interface Dialled {
  /** None of them answers. */
  readonly closed: boolean;
  /** Ports of Services, `namespace/name:port/PROTOCOL`, that a cluster IP did not lead to each time. */
  readonly unreached: ReadonlySet<string>;
}

/** Of thousands of nodes each may have hundreds that do not answer, so what is asked of all nodes is found once. */
export class NodePortPeers {
  private readonly probed: readonly ProbedNode[];
  private readonly across: Across;
  /** By port and family. */
  private readonly open = new Map<string, readonly Open[]>();
  private readonly dialled = new Map<ProbeTally, Dialled>();

  constructor(probed: readonly ProbedNode[], across: Across) {
    this.probed = probed;
    this.across = across;
  }

  /**
   * Nodes whose own NodePort answers each time, where that of `here` (`id`, with its address) should as well: empty where
   * - the address is not the node's main one, or outside `nodePortAddresses`;
   * - the Service's cluster IP does not answer here either, so that the endpoints are not reached at all;
   * - the traffic policy is Local and no endpoint is;
   * - only nodes answer that have more endpoints on themselves: a NetworkPolicy may let in the own node and no other;
   * - no NodePort answers here, and none but nodes of the other role answer: a firewall may keep them closed.
   */
  of(id: string, here: ProbedNode): string[] {
    const { inventory, truth } = this.across;
    const service = serviceIn(inventory, serviceOfTarget(id));
    const facts = nodeIn(inventory, here.name);
    const address = addressOfTarget(id);
    const isIPv6 = address.includes(':');
    if (!service || !facts || address !== promised(facts, isIPv6, truth.options)) return [];
    const near = readyOn(service, here.name);
    if (service.externalTrafficPolicy === 'Local' && near === 0) return [];
    const { closed, unreached } = this.dialledFrom(here.tally);
    if (unreached.has(portOf(id))) return [];
    const peers = this.openOn(portOf(id), isIPv6).filter(
      other => other.near <= near && (!closed || other.role === facts.role),
    );
    return peers.map(({ name }) => name);
  }

  private openOn(port: string, isIPv6: boolean): readonly Open[] {
    const key = `${port} ${isIPv6}`;
    const known = this.open.get(key) ?? this.readOpen(port, isIPv6);
    this.open.set(key, known);
    return known;
  }

  private readOpen(port: string, isIPv6: boolean): Open[] {
    const { inventory, truth } = this.across;
    const service = serviceIn(inventory, serviceOfTarget(port));
    return this.probed.flatMap(({ name, tally }) => {
      const facts = nodeIn(inventory, name);
      if (!service || !facts || nodePorts(tally) === 0) return [];
      const at = promised(facts, isIPv6, truth.options);
      if (at === undefined) return [];
      if (tally.bad.has(targetId(port, 'node-port', at))) return [];
      return [{ name, role: facts.role, near: readyOn(service, name) }];
    });
  }

  private dialledFrom(tally: ProbeTally): Dialled {
    const known = this.dialled.get(tally) ?? readDialled(tally);
    this.dialled.set(tally, known);
    return known;
  }
}

/** The address of the node on which every mode answers NodePorts. */
function promised(facts: NodeFacts, isIPv6: boolean, options: RuleOptions): string | undefined {
  const address = primaryAddress(facts, isIPv6, options.bound);
  const { nodePortAddresses: ranges } = options;
  const open = ranges.length === 0 || ranges.includes('primary');
  return address !== undefined && (open || ranges.some(range => inRange(address, range))) ? address : undefined;
}

/** What stands in front of the kind, or of another address: `namespace/name:port/PROTOCOL`. */
function portOf(id: string): string {
  const end = id.indexOf('@');
  return end < 0 ? id : id.slice(0, end);
}

/** NodePorts dialled in a round. */
function nodePorts({ kinds, rounds }: ProbeTally): number {
  return (kinds['node-port'] ?? 0) / rounds;
}

function readDialled(tally: ProbeTally): Dialled {
  const unreached = new Set<string>();
  let failing = 0;
  for (const [id, { total, inARow }] of tally.bad) {
    const kind = kindOfTarget(id);
    if (kind === 'node-port' && inARow > 0) failing++;
    if (total > 0 && /^cluster-ip/.test(kind)) unreached.add(portOf(id));
  }
  return { closed: failing >= nodePorts(tally), unreached };
}
