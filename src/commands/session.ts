// What commands share: a connection, an inventory, a run.
import { createHash, randomBytes } from 'node:crypto';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from '../core/cluster.ts';
import type { Driver, RunContext, Runner } from '../core/driver.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { reachOf } from '../core/exposure.ts';
import { configuredGates } from '../core/gate-settings.ts';
import type { Inventory } from '../core/inventory.ts';
import type { Mode } from '../core/mode.ts';
import { LABEL_PART, LABEL_RUN, NAMESPACE, PARTS } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { detectPlatform } from '../core/platforms.ts';
import { probeTargets } from '../core/probe-targets.ts';
import { ruleOptions } from '../core/rule-options.ts';
import { modeLabel, nodeState, type RunRecord } from '../core/run-state.ts';
import { watcherImage } from '../core/watcher-image.ts';
import { parseConfig } from '../drivers/config-text.ts';
import { DRIVERS } from '../drivers/index.ts';
import { GATES, runGates } from '../gates/index.ts';
import { escapeText } from '../report/escape.ts';
import { batchesOf } from '../run/adjust.ts';
import { realClock, steadyClock } from '../run/clock.ts';
import { type Engine, waiter } from '../run/engine.ts';
import { fencedCluster } from '../run/fence.ts';
import { type JournalFile, openJournal } from '../run/journal-file.ts';
import type { Held } from '../run/lease.ts';
import { makeOutside } from '../run/outside.ts';
import { TARGETS_MAP } from '../run/pods.ts';
import { type ServiceWatch, watchServices } from '../run/service-truth.ts';
import { Steering } from '../run/steering.ts';
import { type CommandIo, clusterLine } from './io.ts';
import { completed } from './originals.ts';

declare const PROXYCTL_VERSION: string;

/** What to do when finalize has waited in vain: undo may be over. */
const ON = "see 'proxyctl status', then 'proxyctl finalize' goes on";

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Connects and says to whom, before anything else. */
export async function openCluster(io: CommandIo): Promise<Cluster> {
  const { connect } = await import('../cluster/client.ts');
  const { kubeconfig, context } = io.options;
  const cluster = await connect({
    ...(kubeconfig ? { kubeconfig } : {}),
    ...(context ? { context } : {}),
    terminal: io.interactive,
  });
  io.err(clusterLine(cluster.identity));
  return cluster;
}

export async function inventoryOf(cluster: Cluster): Promise<Inventory> {
  const { takeInventory } = await import('../cluster/inventory.ts');
  return takeInventory(cluster, new Date());
}

/** `r` for runs, `v` for who only looks. */
export function newRunId(what: 'r' | 'v' = 'r'): string {
  return `${what}-${new Date().toISOString().slice(0, 16).replace(/[-:T]/g, '')}-${randomBytes(2).toString('hex')}`;
}

/** Who holds the Lease, for people. */
export function holder(run: string): string {
  return `${whoAmI()} (pid ${process.pid}, run ${run})`;
}

/** Which run to take, and whether from a runner that is alive. */
export interface TakeOver {
  run?: string;
  takeover?: boolean;
}

/** `--takeover` is meant for one run, which has to be named. */
export function refuseBlindTakeover({ run, takeover }: TakeOver): void {
  if (takeover && run === undefined)
    throw new ProxyctlError("--takeover needs --run ID: 'proxyctl status' tells which run and who runs it", EXIT.usage);
}

/** `user@host`, for people who look at what somebody else does. */
export function whoAmI(): string {
  return `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container a user may have no name.
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}

/** The driver for this cluster, or the platform's own way to `to` as an error. */
export function driverFor(inventory: Inventory, to: Mode): Driver {
  const platform = detectPlatform(inventory, to);
  if (!platform.fits) throw new ProxyctlError(platform.reason, EXIT.findings);
  const driver = DRIVERS.find(d => d.id === platform.id);
  if (!driver) throw new Error(`no driver ${platform.id}`);
  return driver;
}

export interface OpenRun {
  engine: Engine;
  journal: JournalFile;
  services: ServiceWatch;
  steering: Steering;
}

export interface RunOptions {
  cluster: Cluster;
  inventory: Inventory;
  record: RunRecord;
  held: Held;
  stop: AbortSignal;
  kill: AbortSignal;
  watcherImage?: string;
  action: 'migrate' | 'rollback' | 'finalize';
  /** The one node that a rollback puts back. */
  only?: string;
  /** Nodes that it leaves as they are. */
  skipped?: ReadonlySet<string>;
}

/** Where this machine keeps what it knows of a run. Its names come from the cluster, so they are no paths here. */
export function runFolder({ run, plan }: RunRecord): string {
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state');
  const [cluster = '', name = ''] = [plan.cluster.uid.slice(0, 8), run].map(part => part.replaceAll(/[^\w-]/g, '_'));
  return join(state, 'proxyctl', 'runs', cluster, name);
}

/** Puts a run together from its record and the cluster as it is now. */
export async function openRun(options: RunOptions): Promise<OpenRun> {
  const { cluster, inventory, record, held } = options;
  const { plan } = record;
  const journal = openJournal(join(runFolder(record), 'events.jsonl'), record.run, realClock);
  const clock = steadyClock();
  const signal = AbortSignal.any([options.kill, held.lost]);
  const doing = { action: options.action, ...(options.only === undefined ? {} : { only: options.only }) };
  const adjusted = new Set(record.adjusted?.map(a => a.at));
  const steering = new Steering({ held, journal, clock, signal, doing, adjusted });
  const standing = { record };
  const run: RunContext = {
    id: record.run,
    epoch: held.epoch,
    get plan() {
      return standing.record.plan;
    },
    originals: await completed(cluster, record),
    cluster: fencedCluster(cluster, held),
    clock,
    signal,
    waitFor: waiter(journal, clock, signal, options.action === 'finalize' ? ON : undefined),
  };
  const proxyConfig = configOf(record);
  const expectedModes = await modesNow(cluster, plan);
  const services = watchServices(cluster, clock, ruleOptions(proxyConfig));
  const engine: Engine = {
    run,
    driver: driverOf(plan),
    gates: configuredGates(GATES, plan.playbook),
    runGates,
    journal,
    inventory,
    reach: reachOf(inventory, plan.playbook),
    outside: makeOutside(process.env, signal),
    watcherImage: watcherImageOf(options.watcherImage ?? record.watcherImage),
    stop: AbortSignal.any([options.stop, steering.stop, journal.failed]),
    pausePoint: () => steering.pausePoint(engine.stop),
    adjustment: () => steering.adjustment,
    lookAgain: () => inventoryOf(cluster),
    standing,
    hash: sha256,
    expectedModes,
    exposed: new Set(),
    skipped: options.skipped ?? new Set(),
    excludeCIDRs: excludedBy(proxyConfig),
    proxyConfig,
    truth: services.truth,
  };
  return { engine, journal, services, steering };
}

export interface ImageOptions {
  watcherImage?: string;
}

/** The image that was named with the call. */
export function imageOf({ watcherImage }: ImageOptions): ImageOptions {
  return watcherImage ? { watcherImage } : {};
}

/** Says which image a run goes on with where nobody named it now: it runs on nodes, and comes from the cluster. */
export function sayImage(io: CommandIo, record: RunRecord, options: ImageOptions): void {
  const image = imageOf(options).watcherImage ? undefined : record.watcherImage;
  if (image !== undefined) io.err(`watchers run ${escapeText(image)}, as the run's record says`);
}

/** The image that was asked for, else that of this version. */
export function watcherImageOf(given: string | undefined): string {
  return given ?? watcherImage(PROXYCTL_VERSION);
}

export function openedEvent(options: RunOptions) {
  const { plan } = options.record;
  return {
    event: 'run-opened' as const,
    v: 1 as const,
    action: options.action,
    cluster: plan.cluster,
    to: options.action === 'rollback' ? null : plan.to,
    epoch: options.held.epoch,
    batches: batchesOf(plan),
  };
}

function driverOf(plan: Plan): Driver {
  const driver = DRIVERS.find(d => d.id === plan.driver);
  if (!driver)
    throw new ProxyctlError(
      `the plan needs driver '${plan.driver}', which this proxyctl does not have`,
      EXIT.stalePlan,
    );
  return driver;
}

/** The mode that each node of the run serves in by now, as its label and state say. */
async function modesNow(cluster: Cluster, plan: Plan): Promise<Map<string, Mode>> {
  const planned = new Map(plan.batches.flatMap(b => b.nodes.map(n => [n.name, n] as const)));
  const modes = new Map<string, Mode>();
  for await (const node of cluster.list('Node')) {
    const { from, uid } = planned.get(node.metadata.name) ?? {};
    if (from === undefined || uid !== node.metadata.uid) continue;
    const flipped = modeLabel(node) === plan.to && nodeState(node)?.step === 'done';
    modes.set(node.metadata.name, flipped ? plan.to : from);
  }
  return modes;
}

function configOf({ originals }: RunRecord): Record<string, unknown> {
  const { configMap, configKey } = originals;
  const data = configMap.data;
  return parseConfig(String(typeof data === 'object' && data !== null ? Reflect.get(data, configKey) : ''));
}

function excludedBy({ ipvs }: Record<string, unknown>): string[] {
  const list = typeof ipvs === 'object' && ipvs !== null ? Reflect.get(ipvs, 'excludeCIDRs') : undefined;
  return Array.isArray(list) ? list.map(String) : [];
}

/** The file that tells watchers what to probe, as it is for this run; made anew when the run goes on. */
export async function writeTargets({ run, inventory, journal }: Engine): Promise<void> {
  const { plan } = run;
  const exposed = new Set(plan.batches.flatMap(b => b.services));
  const left = await writeTargetsFile(run, inventory, exposed, plan.playbook.gates.probes.services);
  if (left.length === 0) return;
  const names = left.slice(0, 5).join(', ');
  const text = `${left.length} Services are not probed (limit gates.probes.services): ${names} ...`;
  journal.append({ event: 'note', text });
}

/** Writes the file of at most `limit` Services, those in `first` before others; gives the names of those left out. */
export async function writeTargetsFile(
  run: Runner,
  inventory: Inventory,
  first: ReadonlySet<string>,
  limit: number,
): Promise<string[]> {
  const { targets, left } = probeTargets(inventory, first, limit);
  const ref = { kind: 'ConfigMap' as const, namespace: NAMESPACE, name: TARGETS_MAP };
  const data = { 'targets.json': JSON.stringify(targets) };
  if (await run.cluster.get(ref)) {
    await run.cluster.patch(ref, [{ op: 'replace', path: '/data', value: data }]);
  } else {
    const labels = { [LABEL_PART]: PARTS.targets, [LABEL_RUN]: run.id };
    const metadata = { name: ref.name, namespace: NAMESPACE, labels };
    await run.cluster.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
  }
  return left;
}
