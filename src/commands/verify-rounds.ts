// What a verification needs of a cluster: the Lease, watchers, what the API says. One look at all nodes, or several.
import type { Cluster } from '../core/cluster.ts';
import type { Runner } from '../core/driver.ts';
import type { Look } from '../core/gate.ts';
import { configuredGates } from '../core/gate-settings.ts';
import type { Inventory, NodeFacts } from '../core/inventory.ts';
import type { NewEvent } from '../core/journal.ts';
import { isMode, type Mode } from '../core/mode.ts';
import { LABEL_RUN, NAMESPACE } from '../core/names.ts';
import type { Playbook } from '../core/playbook.ts';
import { ruleOptions } from '../core/rule-options.ts';
import type { ServiceTruth } from '../core/service-truth.ts';
import { type Verification, verification } from '../core/verification.ts';
import { count } from '../core/words.ts';
import { leaveNamespace } from '../drivers/own-namespace.ts';
import { GATES, runGates } from '../gates/index.ts';
import { escapeText } from '../report/escape.ts';
import { nodeLine } from '../report/verify-text.ts';
import { realClock } from '../run/clock.ts';
import { waiter } from '../run/engine.ts';
import { fencedCluster } from '../run/fence.ts';
import { type Held, takeLease } from '../run/lease.ts';
import { ensureNamespace, findRecord } from '../run/record.ts';
import { watchServices } from '../run/service-truth.ts';
import { verifyNodes } from '../run/verify.ts';
import { Watches } from '../run/watches.ts';
import type { CommandIo } from './io.ts';
import { configOf } from './make-plan.ts';
import { holder, inventoryOf, newRunId, writeTargetsFile } from './session.ts';

/** Gates that look at all nodes together. */
const OF_CLUSTER: ReadonlySet<string> = new Set(['mixed-mode', 'node-health']);
const ADVICE = 'see the pods in namespace proxyctl';

export interface VerifySession {
  readonly io: CommandIo;
  readonly cluster: Cluster;
  /** As of the first round. */
  readonly inventory: Inventory;
  readonly playbook: Playbook;
  readonly watcherImage: string;
  /** Rounds follow one another: watchers stay where they are few. */
  readonly again: boolean;
  /** Aborted by the first Ctrl-C, and by the second. */
  readonly stop: AbortSignal;
  readonly kill: AbortSignal;
}

/** Looks at every node once. Throws the signal's reason when it aborts. */
export type Round = () => Promise<Verification>;
type NodesOf = (inventory: Inventory) => NodeFacts[];

/**
 * Calls `work` once rounds can be made; nothing of ours is left when it returns. Only one proxyctl at a time has watchers on
 * nodes: the Lease is held meanwhile.
 */
export async function whileWatching<T>(
  session: VerifySession,
  nodesOf: NodesOf,
  work: (round: Round) => Promise<T>,
): Promise<T> {
  const { io, cluster, inventory } = session;
  const nodes = count(nodesOf(inventory).length, 'node');
  io.err(
    `looking at ${nodes}; nothing of the cluster is changed, but for short-lived pods and Services in namespace ${NAMESPACE}`,
  );
  await ensureNamespace(cluster, realClock);
  const id = newRunId('v');
  const held = await takeLease(cluster, realClock, { holder: holder(id) });
  try {
    return await inNamespace(session, { id, held }, run => watching(session, run, nodesOf, work));
  } finally {
    await held.release();
  }
}

/** Whatever is left of ours in the namespace when `work` is over goes. */
async function inNamespace<T>(
  session: VerifySession,
  { id, held }: { id: string; held: Held },
  work: (run: Runner) => Promise<T>,
): Promise<T> {
  const { cluster, stop, kill } = session;
  const runner = (signal: AbortSignal): Runner => ({
    id,
    epoch: held.epoch,
    cluster: fencedCluster(cluster, held),
    clock: realClock,
    signal,
    waitFor: waiter(journalOf(session), realClock, signal, ADVICE),
  });
  const leaving = runner(AbortSignal.any([kill, held.lost]));
  const standing = await findRecord(cluster);
  try {
    return await work(runner(AbortSignal.any([stop, kill, held.lost])));
  } finally {
    if (standing) await removeOurs(leaving);
    else await leaveNamespace(leaving);
  }
}

async function watching<T>(
  session: VerifySession,
  run: Runner,
  nodesOf: NodesOf,
  work: (round: Round) => Promise<T>,
): Promise<T> {
  const { cluster, playbook, watcherImage } = session;
  let { inventory } = session;
  const notProbed = await writeTargetsFile(run, inventory, new Set(), playbook.gates.probes.services);
  const proxyConfig = configOf(inventory) ?? {};
  const services = watchServices(cluster, realClock, ruleOptions(proxyConfig));
  const watches = new Watches({
    run,
    proxyConfig,
    watcherImage,
    journal: journalOf(session),
    get inventory() {
      return inventory;
    },
  });
  let rounds = 0;
  try {
    return await work(async () => {
      if (rounds++ > 0) inventory = await inventoryOf(cluster);
      const nodes = nodesOf(inventory);
      const proxyConfig = configOf(inventory) ?? {};
      const looking = { run, watches, inventory, proxyConfig, nodes, truth: services.truth };
      const found = await lookAtNodes(session, looking);
      return verification({ ...found, notProbed, ...(session.again ? { round: rounds } : {}) });
    });
  } finally {
    await watches.closed();
    await services.stop();
  }
}

interface Looking {
  readonly run: Runner;
  readonly watches: Watches;
  readonly inventory: Inventory;
  readonly proxyConfig: Record<string, unknown>;
  readonly nodes: readonly NodeFacts[];
  readonly truth: ServiceTruth;
}

async function lookAtNodes(session: VerifySession, looking: Looking) {
  const { io, playbook, stop, again } = session;
  const { run, watches, inventory, nodes } = looking;
  const at = () => lookAt(session, looking);
  const gates = configuredGates(GATES, playbook).filter(gate => gate.moments.includes('verify'));
  const found = await verifyNodes(
    {
      run,
      stop,
      watches,
      again,
      runGates,
      journal: journalOf(session),
      gates: gates.filter(gate => !OF_CLUSTER.has(gate.id)),
      look: at,
      settle: playbook.gates.settle,
      onNode: node => io.err(nodeLine(node, io.paint)),
    },
    nodes,
  );
  const ofCluster = await runGates(
    gates.filter(gate => OF_CLUSTER.has(gate.id)),
    at(),
  );
  return { madeAt: new Date().toISOString(), cluster: inventory.cluster, nodes: found, gates: ofCluster };
}

/** What gates look at besides a node. */
function lookAt(
  { cluster, playbook }: VerifySession,
  { inventory, proxyConfig, nodes, truth }: Looking,
): Look & { truth: ServiceTruth } {
  const modes = nodes.flatMap(({ name, mode }): [string, Mode][] => (isMode(mode) ? [[name, mode]] : []));
  return {
    moment: 'verify',
    inventory,
    to: modes[0]?.[1] ?? 'iptables',
    playbook,
    cluster,
    expectedModes: new Map(modes),
    exposed: new Set(),
    proxyConfig,
    truth,
  };
}

/** What is waited for is said with --verbose; there is no run to keep a journal of. */
function journalOf({ io }: VerifySession): { append(event: NewEvent): void } {
  return {
    append(event) {
      if (event.event === 'note') io.err(escapeText(event.text));
      if (event.event === 'waiting' && io.options.verbose)
        io.err(escapeText(`${event.node === undefined ? '' : `${event.node} `}waits for ${event.for}`));
    },
  };
}

/** A run stands in our namespace: only what is ours goes, where the watchers' own end has left something. */
async function removeOurs({ cluster, id }: Runner): Promise<void> {
  const ours = { namespace: NAMESPACE, labelSelector: `${LABEL_RUN}=${id}` };
  for (const kind of ['Pod', 'Service', 'EndpointSlice'] as const) {
    for await (const { metadata } of cluster.list(kind, ours)) {
      const uid = metadata.uid === undefined ? {} : { uid: metadata.uid };
      await cluster.delete({ kind, namespace: NAMESPACE, name: metadata.name }, { ...uid, graceSeconds: 0 });
    }
  }
}
