import type { Cluster } from '../core/cluster.ts';
import type { Runner } from '../core/driver.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
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
import { count, few } from '../core/words.ts';
import { parseConfig } from '../drivers/config-text.ts';
import { leaveNamespace } from '../drivers/own-namespace.ts';
import { GATES, runGates } from '../gates/index.ts';
import { escapeJson, escapeText } from '../report/escape.ts';
import { nodeLine, verifyText } from '../report/verify-text.ts';
import { realClock } from '../run/clock.ts';
import { waiter } from '../run/engine.ts';
import { fencedCluster } from '../run/fence.ts';
import { type Held, takeLease } from '../run/lease.ts';
import { ensureNamespace, findRecord } from '../run/record.ts';
import { watchServices } from '../run/service-truth.ts';
import { verifyNodes } from '../run/verify.ts';
import type { CommandIo } from './io.ts';
import { playbookOf } from './make-plan.ts';
import { holder, inventoryOf, newRunId, openCluster, watcherImageOf, writeTargetsFile } from './session.ts';
import { signals } from './signals.ts';

export interface VerifyOptions {
  node?: string[];
  output?: string;
  playbook?: string;
  watcherImage?: string;
}

/** Gates that look at all nodes together. */
const OF_CLUSTER: ReadonlySet<string> = new Set(['mixed-mode', 'node-health']);
const FORMATS = ['text', 'json'] as const;
const ADVICE = 'see the pods in namespace proxyctl';

interface Session {
  readonly io: CommandIo;
  readonly cluster: Cluster;
  readonly inventory: Inventory;
  readonly nodes: readonly NodeFacts[];
  readonly playbook: Playbook;
  readonly options: VerifyOptions;
  /** Aborted by the first Ctrl-C, and by the second. */
  readonly stop: AbortSignal;
  readonly kill: AbortSignal;
}

export async function verifyCommand(io: CommandIo, options: VerifyOptions): Promise<number> {
  const output = options.output ?? io.options.format;
  if (!FORMATS.some(f => f === output))
    throw new ProxyctlError(`--output takes ${FORMATS.join(', ')}; got '${output}'`, EXIT.usage);
  const playbook = playbookOf(options);
  const cluster = await openCluster(io);
  const { stop, kill, off } = signals(text => io.err(text), 'removing the watchers; once more leaves them there');
  try {
    const inventory = await inventoryOf(cluster);
    const nodes = nodesToVerify(inventory, options.node ?? []);
    const found = await verify({ io, cluster, inventory, nodes, playbook, options, stop, kill });
    io.out(output === 'json' ? escapeJson(JSON.stringify(found, null, 2)) : verifyText(found, io.paintOut));
    return found.verdict === 'pass' ? EXIT.done : EXIT.findings;
  } catch (error) {
    if (stop.aborted) throw new ProxyctlError('stopped by the operator', EXIT.stopped, { cause: error });
    throw error;
  } finally {
    off();
    cluster.close();
  }
}

/** Those named, or all that kube-proxy could serve. */
function nodesToVerify({ nodes }: Inventory, names: readonly string[]): NodeFacts[] {
  const unknown = names.filter(name => !nodes.some(n => n.name === name));
  if (unknown.length > 0) {
    const message = `no node ${few(unknown)} in this cluster; there are ${few(nodes.map(n => n.name))}`;
    throw new ProxyctlError(message, EXIT.usage);
  }
  const wanted = new Set(names);
  return nodes.filter(n => (wanted.size === 0 ? n.os !== 'windows' : wanted.has(n.name)));
}

/** Only one proxyctl at a time has watchers on nodes: the Lease is held meanwhile. */
async function verify(session: Session): Promise<Verification> {
  const { io, cluster, nodes } = session;
  io.err(
    `looking at ${count(nodes.length, 'node')}; nothing of the cluster is changed, but for short-lived pods and Services in namespace ${NAMESPACE}`,
  );
  await ensureNamespace(cluster, realClock);
  const run = newRunId('v');
  const held = await takeLease(cluster, realClock, { holder: holder(run) });
  try {
    return await look(session, { id: run, held });
  } finally {
    await held.release();
  }
}

async function look(session: Session, { id, held }: { id: string; held: Held }): Promise<Verification> {
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
    return await lookAtNodes(session, runner(AbortSignal.any([stop, kill, held.lost])));
  } finally {
    if (standing) await removeOurs(leaving);
    else await leaveNamespace(leaving);
  }
}

async function lookAtNodes(session: Session, run: Runner): Promise<Verification> {
  const { io, cluster, inventory, nodes, playbook, options, stop } = session;
  const notProbed = await writeTargetsFile(run, inventory, new Set(), playbook.gates.probes.services);
  const config = configOf(inventory);
  const services = watchServices(cluster, realClock, ruleOptions(config));
  const at = () => lookAt(session, config, services.truth);
  const gates = configuredGates(GATES, playbook).filter(gate => gate.moments.includes('verify'));
  try {
    const found = await verifyNodes(
      {
        run,
        stop,
        inventory,
        runGates,
        journal: journalOf(session),
        watcherImage: watcherImageOf(options.watcherImage),
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
    const madeAt = new Date().toISOString();
    return verification({ madeAt, cluster: inventory.cluster, nodes: found, gates: ofCluster, notProbed });
  } finally {
    await services.stop();
  }
}

/** What gates look at besides a node. */
function lookAt(
  { cluster, inventory, nodes, playbook }: Session,
  proxyConfig: Look['proxyConfig'],
  truth: ServiceTruth,
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
    ...(proxyConfig ? { proxyConfig } : {}),
    truth,
  };
}

/** Without a configuration to read, kube-proxy has its defaults. */
function configOf({ proxy }: Inventory): Record<string, unknown> {
  return proxy.configMap ? parseConfig(proxy.configMap.text) : {};
}

/** What is waited for is said with --verbose; there is no run to keep a journal of. */
function journalOf({ io }: Session): { append(event: NewEvent): void } {
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
