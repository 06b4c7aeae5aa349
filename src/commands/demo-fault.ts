// What the demo breaks on purpose, and when.
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import type { RunEvent } from '../core/journal.ts';
import type { Plan } from '../core/plan.ts';
import type { DemoTraffic } from '../report/demo-text.ts';
import type { CommandIo } from './io.ts';

type Sim = Awaited<ReturnType<typeof import('./sim-cluster.ts').startSim>>;
type Disturbance = Parameters<Sim['fault']['silentTraffic']>[1];

/** Traffic of one kind that dies on a node, by the fault's name: what it is called, and what a cluster must have for it. */
const KINDS: Readonly<Record<string, { kind: Disturbance; what: string; has?: (inventory: Inventory) => boolean }>> = {
  'silent-udp': { kind: 'udp', what: 'UDP of all Services' },
  'silent-nodeport': {
    kind: 'node-port',
    what: 'all NodePorts',
    has: ({ services }) => services.some(s => s.ports.some(p => p.nodePort !== undefined)),
  },
  'silent-affinity': { kind: 'affinity', what: 'session affinity' },
  'silent-hairpin': { kind: 'hairpin', what: 'connections of pods to themselves' },
};

export const FAULTS: readonly string[] = ['silent-service', ...Object.keys(KINDS), 'none'];

/** Batches that go well before the fault strikes. */
const GOOD_BATCHES = 2;

export interface Victim {
  readonly what: string;
  readonly node: string;
  strike(sim: Sim): void;
  /** Connections of the simulated clients that it cost. */
  failed(traffic: DemoTraffic): number;
}

/** Undefined for the fault `none`. Throws ProxyctlError 64 when the cluster has nothing of the kind. */
export function victimOf(fault: string, plan: Plan, inventory: Inventory): Victim | undefined {
  if (fault === 'none') return undefined;
  const { [fault]: chosen } = KINDS;
  if (!chosen) return serviceVictim(plan);
  const { kind, what, has = () => true } = chosen;
  const node = (plan.batches[GOOD_BATCHES] ?? plan.batches.at(-1))?.nodes[0]?.name;
  if (node === undefined || !has(inventory)) throw tooSmall(what);
  return {
    what,
    node,
    strike: sim => sim.fault.silentTraffic(node, kind),
    failed: traffic => (kind === 'udp' ? traffic.udp.failed : 0),
  };
}

/** A Service that a late batch exposes, on the first node of that batch; of an earlier batch where no late one exposes any. */
function serviceVictim(plan: Plan): Victim {
  const late = plan.batches.slice(GOOD_BATCHES);
  for (const batch of [...late, ...plan.batches.slice(0, GOOD_BATCHES).reverse()]) {
    const service = batch.services.find(s => !s.startsWith('kube-system/') && !s.startsWith('default/'));
    const node = batch.nodes[0]?.name;
    if (service === undefined || node === undefined) continue;
    return {
      what: service,
      node,
      strike: sim => sim.fault.silentService(node, service),
      failed: traffic => traffic.failedByService.get(service) ?? 0,
    };
  }
  throw tooSmall('Service');
}

function tooSmall(what: string): ProxyctlError {
  const message = `this cluster has nothing to break (${what}); ask for more --services, or for --fault none`;
  return new ProxyctlError(message, EXIT.usage);
}

/** Strikes once the node has been handed over; on the way back nothing is done to it. */
export function striker(sim: Sim, victim: Victim, io: CommandIo): (event: RunEvent) => void {
  let struck = false;
  return event => {
    if (struck || event.event !== 'step-intended' || event.step !== 'verify' || event.node !== victim.node) return;
    struck = true;
    victim.strike(sim);
    io.err(`(fault: ${victim.what} dies on ${victim.node}; its kube-proxy reports success)`);
  };
}
