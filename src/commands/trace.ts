import type { NodesInventory } from '../cluster/inventory.ts';
import { type ApiService, apiService, apiSlice } from '../core/api-services.ts';
import type { Cluster, KubeObject } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { ServiceVersion } from '../core/expected-rules.ts';
import { frontendsOf } from '../core/frontends.ts';
import type { NodeFacts } from '../core/inventory.ts';
import { isMode, MODES, type Mode } from '../core/mode.ts';
import type { NodeView } from '../core/node-view.ts';
import { ruleOptions } from '../core/rule-options.ts';
import type { RunRecord } from '../core/run-state.ts';
import { type Choice, chooseNodes, type ServiceTrace, TRACE_VERSION, traceOf } from '../core/trace.ts';
import { few } from '../core/words.ts';
import { traceText } from '../report/trace-text.ts';
import { realClock } from '../run/clock.ts';
import { lookAtNodes } from '../run/look.ts';
import { findRecord } from '../run/record.ts';
import type { CommandIo } from './io.ts';
import { configOf } from './make-plan.ts';
import { openCluster, watcherImageOf } from './session.ts';
import { type Signals, whileLooking } from './signals.ts';

export interface TraceOptions {
  namespace?: string;
  node?: string;
  watcherImage?: string;
}

/** So many kube-proxies are asked for their mode; a cluster of more nodes is not read whole for one Service. */
const MODES_ASKED = 64;
/** A kernel that is not as the API says is looked at again after so long. */
const AGAIN_MS = 3_000;

export async function traceCommand(io: CommandIo, service: string, options: TraceOptions): Promise<number> {
  const asked = readAsked(service, options.namespace);
  const cluster = await openCluster(io);
  try {
    const trace = await whileLooking(io, signals => new Tracer(cluster, asked, options, signals).trace());
    if (io.options.format === 'json') io.out(JSON.stringify(trace, null, 2));
    else io.out(traceText(trace, { painter: io.paintOut, width: io.width }));
    return trace.verdict === 'pass' ? EXIT.done : EXIT.findings;
  } finally {
    cluster.close();
  }
}

interface Asked {
  readonly namespace: string;
  readonly name: string;
  /** Number or name. */
  readonly port: string | undefined;
}

/** `namespace/name:port`, of which only the name must be there. */
function readAsked(text: string, given: string | undefined): Asked {
  const [, namespace, name, port] = /^(?:([a-z0-9-]+)\/)?([a-z0-9-]+)(?::([a-z0-9-]+))?$/.exec(text) ?? [];
  if (name === undefined)
    throw new ProxyctlError(
      `trace takes NAMESPACE/NAME or NAME, with :PORT behind it if you like; got '${text}'`,
      EXIT.usage,
    );
  if (namespace !== undefined && given !== undefined && namespace !== given)
    throw new ProxyctlError(`'${text}' names another namespace than --namespace ${given}`, EXIT.usage);
  return { namespace: namespace ?? given ?? 'default', name, port };
}

class Tracer {
  private readonly cluster: Cluster;
  private readonly asked: Asked;
  private readonly options: TraceOptions;
  private readonly signals: Pick<Signals, 'stop' | 'kill'>;

  constructor(cluster: Cluster, asked: Asked, options: TraceOptions, signals: Tracer['signals']) {
    this.cluster = cluster;
    this.asked = asked;
    this.options = options;
    this.signals = signals;
  }

  async trace(): Promise<ServiceTrace> {
    const { object, version } = await this.read();
    const { service } = version;
    if (!service) return this.unserved(object);
    this.checkPort(service);
    const inventory = await nodesOf(this.cluster, this.options.node);
    const choices = this.choose(inventory);
    const looking = { inventory, choices, record: await findRecord(this.cluster) };
    const first = await this.look(looking);
    if (first.verdict !== 'fail') return first;
    // What the API said a moment ago may be on its way into the kernel.
    await realClock.sleep(AGAIN_MS, this.signals.stop);
    return this.look(looking);
  }

  private async look(looking: Looking): Promise<ServiceTrace> {
    const { inventory, record, choices } = looking;
    const before = await this.read();
    const views = await this.viewsOf(looking, before.version.service);
    const { object, version } = await this.read();
    const { service } = version;
    if (!service) throw this.unknown();
    return traceOf({
      madeAt: new Date().toISOString(),
      cluster: this.cluster.identity,
      type: String(object.spec?.type ?? 'ClusterIP'),
      service,
      port: this.asked.port,
      versions: [before.version, version],
      choices,
      views,
      options: ruleOptions(configOf(inventory) ?? {}),
      modes: modesOf(inventory, record),
    });
  }

  private async viewsOf(
    { inventory, record, choices }: Looking,
    service: ApiService | undefined,
  ): Promise<Map<string, NodeView | string>> {
    const doubts = new Map(choices.map(({ node }) => [node.name, doubtOf(node)] as const));
    const views = await lookAtNodes({
      cluster: this.cluster,
      clock: realClock,
      image: watcherImageOf(this.options.watcherImage),
      nodes: [...doubts].filter(([, doubt]) => doubt === undefined).map(([name]) => name),
      proxyConfig: configOf(inventory) ?? {},
      run: record?.run,
      holder: 'proxyctl trace',
      ...this.signals,
      trace: service ? frontendsOf(service, this.asked.port).map(f => f.key) : [],
    });
    for (const [name, doubt] of doubts) if (doubt !== undefined) views.set(name, doubt);
    return views;
  }

  private choose({ nodes }: NodesInventory): Choice[] {
    const { node: name } = this.options;
    if (name === undefined) {
      const chosen = chooseNodes(nodes);
      if (chosen.length > 0) return chosen;
      throw new ProxyctlError('no Ready node of this cluster is served by kube-proxy; --node takes one', EXIT.findings);
    }
    const node = nodes.find(n => n.name === name);
    if (!node) {
      const message = `no node ${name} in this cluster; there are ${few(nodes.map(n => n.name))}`;
      throw new ProxyctlError(message, EXIT.usage);
    }
    return [{ node, why: 'asked for' }];
  }

  /** What the API says of the Service now. Lists, since they take no more rights than an inventory does. */
  private async read(): Promise<{ object: KubeObject; version: ServiceVersion }> {
    const { namespace, name } = this.asked;
    const [object] = await all(this.cluster.list('Service', { namespace, fieldSelector: `metadata.name=${name}` }));
    if (!object) throw this.unknown();
    const labelSelector = `kubernetes.io/service-name=${name}`;
    const slices = await all(this.cluster.list('EndpointSlice', { namespace, labelSelector }));
    const service = apiService(object);
    const version = { ...(service ? { service } : {}), slices: slices.flatMap(slice => apiSlice(slice) ?? []) };
    return { object, version };
  }

  private unknown(): ProxyctlError {
    const { namespace, name } = this.asked;
    const message = `no Service ${name} in namespace ${namespace}; NAMESPACE/NAME or --namespace names another`;
    return new ProxyctlError(message, EXIT.usage);
  }

  private checkPort(service: ApiService): void {
    const { port } = this.asked;
    if (port === undefined || frontendsOf(service, port).length > 0) return;
    const known = service.ports.map(p => (p.name === '' ? String(p.port) : `${p.port} (${p.name})`));
    throw new ProxyctlError(`Service ${service.key} has no port ${port}; it has ${few(known)}`, EXIT.usage);
  }

  private unserved({ spec = {} }: KubeObject): ServiceTrace {
    const { namespace, name } = this.asked;
    const { type = 'ClusterIP', clusterIP } = spec;
    const reasons: Record<string, string> = {
      ExternalName: `it is a name in DNS for ${spec.externalName}`,
      None: "it is headless: DNS gives its endpoints' own addresses",
    };
    return {
      kind: 'ServiceTrace',
      version: TRACE_VERSION,
      madeAt: new Date().toISOString(),
      cluster: this.cluster.identity,
      service: `${namespace}/${name}`,
      type,
      unserved:
        reasons[type] ?? reasons[clusterIP] ?? 'another program serves it (service.kubernetes.io/service-proxy-name)',
      nodes: [],
      wrong: [],
      verdict: 'pass',
    };
  }
}

interface Looking {
  readonly inventory: NodesInventory;
  readonly record: RunRecord | undefined;
  readonly choices: readonly Choice[];
}

async function nodesOf(cluster: Cluster, node: string | undefined): Promise<NodesInventory> {
  const { takeNodes } = await import('../cluster/inventory.ts');
  return takeNodes(cluster, MODES_ASKED, node);
}

async function all(objects: AsyncIterable<KubeObject>): Promise<KubeObject[]> {
  const found: KubeObject[] = [];
  for await (const object of objects) found.push(object);
  return found;
}

/** Why nothing can be started there to look. */
function doubtOf({ os, ready }: NodeFacts): string | undefined {
  if (os === 'windows') return 'it runs Windows';
  return ready ? undefined : 'it is not Ready';
}

/** Those that nodes serve in, and those that a run leads from and to. */
function modesOf({ nodes }: NodesInventory, record: RunRecord | undefined): Mode[] {
  const plan = record?.plan;
  const found = new Set<string>(nodes.map(n => n.mode));
  if (plan) for (const mode of [plan.to, ...plan.batches.flatMap(b => b.nodes.map(n => n.from))]) found.add(mode);
  return MODES.filter(mode => isMode(mode) && found.has(mode));
}
