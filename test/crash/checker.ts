// The invariants of a run, checked while it runs: on every line of a journal, every write, and after everything that happened.
import type { KubeObject } from '../../src/core/cluster.ts';
import type { RunEvent } from '../../src/core/journal.ts';
import type { Mode } from '../../src/core/mode.ts';
import { LABEL_PART, NAMESPACE, PARTS } from '../../src/core/names.ts';
import { isReady } from '../../src/core/node-object.ts';
import { modeLabel, nodeState, type RunRecord } from '../../src/core/run-state.ts';
import { recordIn } from '../../src/run/record.ts';
import type { ApiCall } from '../../src/sim/api-request.ts';
import type { Sim } from '../../src/sim/sim.ts';
import { Changes, unserved } from './kernel-truth.ts';
import { Order } from './order.ts';
import type { Listener, SimProcess } from './sim-process.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A write to the cluster by one of the processes. */
export interface Write {
  readonly process: SimProcess;
  readonly method: string;
  /** `nodes`, `pods`. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly body: unknown;
  /** The node as it is now, for writes to one. */
  readonly object: KubeObject | undefined;
}

const ORIGINAL = 'kube-proxy';

export class Checker implements Listener {
  readonly broken: string[] = [];
  readonly order: Order;
  /** Services whose rules somebody deletes. */
  readonly excused = new Set<string>();
  /** Nodes that have lost their rules to a boot, until a kube-proxy has written them again. */
  private readonly booting = new Set<string>();
  /** Processes by the order of their epochs; a later one is newer. */
  private readonly epochs: SimProcess[] = [];
  private readonly superseded = new Set<SimProcess>();
  private readonly changes = new Changes();
  private readonly sim: Sim;
  private readonly from: Mode;
  private readonly time: VirtualTime;
  private proven = false;
  /** Somebody else restarts kube-proxies, too. */
  disturbed = false;
  /**
   * Somebody else decides what the original DaemonSet runs, and where: what its kube-proxies do to nodes then is not promised.
   * What proxyctl itself writes, and in which order, still is.
   */
  usurped = false;
  /** Told of what a process has said and what is on its disk by then. */
  heard: (event: RunEvent) => void = () => {};
  /** Told of a write that is about to be carried out. */
  writing: (call: ApiCall, process: SimProcess) => void = () => {};
  /** Told of one that was. */
  written: (call: ApiCall, process: SimProcess) => void = () => {};
  private rollingBack = false;
  /** Nodes between two modes that a rollback went past, for they were not Ready or to be skipped, until they are not between any more. */
  readonly passedOver = new Set<string>();
  private deleting: string | undefined;
  private readonly nodeOf = new Map<string, string>();

  constructor(sim: Sim, from: Mode, to: Mode, time: VirtualTime) {
    this.sim = sim;
    this.from = from;
    this.time = time;
    this.order = new Order(
      to,
      text => this.violation(text),
      node => this.isAway(node),
    );
    sim.store.subscribe(({ kind, object, before }) => {
      if (kind === 'Node' || kind === 'Pod') this.oneInFlight();
      const ends = object.metadata.deletionTimestamp !== undefined && before?.metadata.deletionTimestamp === undefined;
      if (kind === 'Pod' && ends) this.ended(object);
    });
  }

  /** @throws Error with all that was broken. */
  assert(): void {
    if (this.broken.length > 0) throw new Error(`invariants broken:\n${this.broken.slice(0, 12).join('\n')}`);
  }

  journal(process: SimProcess, event: RunEvent, durable: boolean): void {
    if (!durable) this.order.appended(process, event);
    else {
      this.order.durable(process, event);
      this.heard(event);
    }
    if (event.event === 'batch-started') this.wayBackProven(event.batch);
    if (event.event === 'run-opened') this.rollingBack = event.action === 'rollback';
  }

  /** No batch but the first begins before the way back is proven, where it is rehearsed. */
  private wayBackProven(batch: string): void {
    const latest = this.records().toSorted((a, b) => b.revision - a.revision)[0];
    const first = latest?.plan.batches[0];
    const canary = first?.nodes.find(node => node.name === first.rehearses);
    // One that is lost rehearses nothing: the next node does.
    if (!canary || this.sim.store.get('Node', undefined, canary.name)?.metadata.uid !== canary.uid) return;
    if (first?.id !== batch && latest?.rehearsed === undefined)
      this.violation(`I2: ${batch} began before the way back was proven on ${canary.name}`);
  }

  wrote(process: SimProcess, call: ApiCall, status: number): void {
    const write = writeOf(process, call);
    if (!write || status >= 300 || status === 0) return;
    this.written(call, process);
    if (write.resource === 'leases') this.leased(write);
    const owned = isOwned(write);
    if (owned && this.superseded.has(process))
      this.violation(`I5: ${process.name} wrote ${write.method} ${write.resource}/${write.name} after a newer epoch`);
    if (owned) {
      const at = this.epochs.indexOf(process);
      for (const older of this.epochs.slice(0, at)) this.superseded.add(older);
    }
    if (write.resource === 'configmaps' && write.method === 'POST') this.rehearsed(write.body);
    if (owned && this.records().length === 0)
      this.violation(`I4: ${write.resource}/${write.name} written before the run's record`);
    if (write.resource === 'configmaps' && write.name === ORIGINAL && writesData(write.body))
      this.order.committed = true;
    const object = write.resource === 'nodes' ? this.sim.store.get('Node', undefined, write.name) : undefined;
    const restarted = write.method === 'DELETE' ? this.nodeOf.get(write.name) : undefined;
    if (restarted !== undefined) this.order.restarted(process, restarted);
    this.order.wrote({ ...write, object });
  }

  /** A kube-proxy of the original DaemonSet is to end: because its node was taken from it, or because we restart it. */
  private ended({ metadata, spec }: KubeObject): void {
    if (!metadata.ownerReferences?.some(o => o.controller && o.name === ORIGINAL)) return;
    const node = this.sim.store.get('Node', undefined, spec.nodeName);
    this.nodeOf.set(metadata.name, spec.nodeName);
    if (this.disturbed || !node || modeLabel(node) !== undefined || this.deleting === metadata.name) return;
    this.violation(`I9: the kube-proxy of ${spec.nodeName} ends, and nobody asked for it`);
  }

  /** Reads must ask for the latest state: one that names a version may be answered from a cache. */
  reads(process: SimProcess, { url }: ApiCall): void {
    const query = new URL(url, 'http://api').searchParams;
    if (query.has('resourceVersion') && !query.has('watch'))
      this.violation(`I8: ${process.name} may read what was: ${url}`);
  }

  /** A process is about to write. */
  writes(process: SimProcess, call: ApiCall): void {
    this.writing(call, process);
    const write = writeOf(process, call);
    this.deleting = write?.method === 'DELETE' ? write.name : undefined;
  }

  /** After everything that happened. */
  look(): void {
    if (this.usurped) return;
    for (const node of this.sim.nodes) {
      const managed = [...node.processes].filter(p => p.managed);
      if (managed.length > 1) this.violation(`two kube-proxies of DaemonSets run on ${node.name}`);
      for (const { podName, mode } of managed) this.modeOf(node.name, podName, mode);
      if (node.down || !this.changes.since(node.kernel)) continue;
      const lost = unserved(this.sim, node).filter(name => !this.excused.has(name.split(' ')[0] ?? ''));
      if (lost.length === 0) this.booting.delete(node.name);
      if (this.booting.has(node.name)) continue;
      if (lost.length > 0) this.violation(`no rule on ${node.name} for ${lost.length} Services: ${lost[0]}`);
    }
  }

  /** The node's kernel is empty. */
  rebooted(node: string): void {
    this.booting.add(node);
  }

  /** The shared configuration says the new mode. */
  get isCommitted(): boolean {
    return this.order.committed;
  }

  private leased({ process }: Pick<Write, 'process'>): void {
    if (!this.epochs.includes(process)) this.epochs.push(process);
  }

  /** The original's configuration says the old mode until finalize: whatever restarts keeps its mode. */
  private modeOf(node: string, pod: string, mode: Mode): void {
    if (
      this.isCommitted ||
      this.usurped ||
      pod.startsWith('kube-proxy-iptables-') ||
      pod.startsWith('kube-proxy-ipvs-')
    )
      return;
    if (pod.startsWith('kube-proxy-nftables-') || mode === this.from) return;
    this.violation(`I9: the original kube-proxy on ${node} runs in mode ${mode}`);
  }

  private oneInFlight(): void {
    const warmed = new Set(
      this.sim.store
        .list('Pod', 'kube-system')
        .filter(pod => pod.metadata.labels?.[LABEL_PART] === PARTS.warm)
        .map(pod => String(pod.spec.nodeName)),
    );
    const between = this.sim.store.list('Node').filter(node => isOpen(node, warmed.has(node.metadata.name)));
    const names = new Set(between.map(node => node.metadata.name));
    for (const name of this.passedOver) if (!names.has(name)) this.passedOver.delete(name);
    if (this.rollingBack) for (const node of between) if (!isReady(node)) this.passedOver.add(node.metadata.name);
    const open = between.filter(node => !this.passedOver.has(node.metadata.name));
    if (open.length > 1) this.violation(`I1: in flight at once: ${open.map(n => n.metadata.name).join(', ')}`);
  }

  private isAway(name: string): boolean {
    const node = this.sim.store.get('Node', undefined, name);
    return node === undefined || !isReady(node);
  }

  /** A record says that the way back was proven: then the node is back by then, behind all gates. */
  private rehearsed(body: unknown): void {
    const node = recordOf(body as KubeObject)?.rehearsed?.node;
    if (node === undefined || this.proven) return;
    this.proven = true;
    this.order.wayBackProven(node);
    const object = this.sim.store.get('Node', undefined, node);
    if (object && modeLabel(object) !== undefined)
      this.violation(`the way back of ${node} is called proven and it is not back`);
  }

  private records(): RunRecord[] {
    return this.sim.store.list('ConfigMap', NAMESPACE).flatMap(map => recordOf(map) ?? []);
  }

  violation(text: string): void {
    const line = `${(this.time.elapsed / 1000).toFixed(2)} s: ${text}`;
    if (!this.broken.some(other => other.endsWith(text))) this.broken.push(line);
  }
}

/**
 * Between two modes, or in a new one that is not proven yet. Not so a node that is on its way back and was not released: the new
 * mode serves it as before, and a rollback that cannot go on there goes on elsewhere.
 */
function isOpen(node: KubeObject, warmed: boolean): boolean {
  const label = modeLabel(node);
  const step = nodeState(node)?.step;
  if (label === undefined) return warmed || step === 'release' || step === 'hand-over';
  return label === 'none' || (step !== 'done' && step !== 'warm');
}

function recordOf(map: KubeObject): RunRecord | undefined {
  return map.metadata.labels?.[LABEL_PART] === PARTS.record ? recordIn(map) : undefined;
}

function writesData(body: unknown): boolean {
  return (body as { path: string }[]).some(({ path }) => path.startsWith('/data/'));
}

/** What an older epoch must never write: nodes, and kube-proxy's own objects. */
function isOwned({ resource, namespace, name }: Omit<Write, 'object'>): boolean {
  return resource === 'nodes' || (namespace === 'kube-system' && name === ORIGINAL);
}

function writeOf(process: SimProcess, { method, url, body }: ApiCall): Omit<Write, 'object'> | undefined {
  const path = url.replace(/\?.*/, '');
  const [, namespace, resource = '', named] =
    /^\/(?:api\/v1|apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+)(?=\/[^/]+))?\/([^/]+)(?:\/([^/]+))?$/.exec(path) ?? [];
  if (resource === '') return undefined;
  const parsed: unknown = body === '' ? undefined : JSON.parse(body);
  const created = method === 'POST' ? (parsed as KubeObject).metadata.name : undefined;
  return { process, method, resource, namespace, name: named ?? created ?? '', body: parsed };
}
