// The embedded cluster: a Kubernetes API over real HTTP with simulated controllers and nodes behind it.
import { stringify } from 'yaml';
import type { Kind, KubeObject } from '../core/cluster.ts';
import type { Mode } from '../core/mode.ts';
import type { ApiAnswer } from './api-answer.ts';
import type { DenyRule } from './api-faults.ts';
import type { ApiCall } from './api-request.ts';
import { type Answered, ApiServer } from './api-server.ts';
import { type Asked, Authorizer, USER, type Who } from './authorizer.ts';
import { buildCluster } from './build.ts';
import { DaemonSetController } from './daemonset-controller.ts';
import { EndpointsController } from './endpoints-controller.ts';
import { Faults } from './faults.ts';
import { Fleet } from './fleet.ts';
import { GarbageCollector } from './garbage.ts';
import { Network } from './network.ts';
import type { SimNode } from './node.ts';
import { LogBook } from './pod-logs.ts';
import { Random } from './random.ts';
import { Registry } from './registry.ts';
import { Services, type ServiceView } from './services.ts';
import { Store } from './store.ts';
import { Timers } from './timers.ts';
import { clusterCIDR, placeNodes } from './topology.ts';
import { Traffic } from './traffic.ts';
import { type SimOptions, SPEED, type Speed, type World } from './world.ts';

export type { Answered } from './api-server.ts';
export type { Asked, Who } from './authorizer.ts';
export { Authorizer } from './authorizer.ts';
export type { Traffic, TrafficTotals } from './traffic.ts';
export type { RunWatcher, SimOptions, Speed } from './world.ts';

export type RequestListener = (who: Who, asked: Asked, answered: Answered) => void;

export interface Sim {
  /** `http://127.0.0.1:<port>`, or what was given. */
  readonly url: string;
  /** YAML with the context `simulated`. */
  kubeconfig(): string;
  /** The nodes as they truly are. */
  readonly nodes: readonly SimNode[];
  /** @throws Error for a name that no node has. */
  node(name: string): SimNode;
  /** Objects behind the API, for tests. */
  readonly store: Store;
  readonly registry: Registry;
  readonly traffic: Traffic;
  readonly fault: Faults;
  /** What takes how long from now on. */
  readonly speed: Speed;
  /** Service ports as every kube-proxy should have them. */
  services(): ServiceView;
  /** Refuses requests as the real server does without a role for them; returns what allows them again. */
  deny(rule: DenyRule): () => void;
  /** `kubectl apply` of what is not there yet, RBAC objects included: whoever is impersonated has the rights of these alone. */
  apply(objects: readonly KubeObject[]): void;
  /** Tells of every request for objects once it was carried out or refused, before its answer leaves; returns what ends it. */
  hear(listener: RequestListener): () => void;
  /** A node joins the cluster; kube-proxy comes to it as to any other. */
  addNode(name: string): SimNode;
  /** A node leaves for good, its pods with it. */
  removeNode(name: string): void;
  /** The node's kernel is emptied, its pods start again. */
  reboot(node: string): void;
  /** A request without a connection, for those who bring their own. */
  answer(call: ApiCall, answer: ApiAnswer): Promise<void>;
  close(): Promise<void>;
}

const DEFAULTS = {
  nodes: 4,
  namespaces: 3,
  services: 20,
  mode: 'iptables' as Mode,
  seed: 1,
  port: 0,
  controlPlane: 1,
  zones: 3,
};

/** Resolves when every node's kube-proxy has its rules and the API answers. */
export async function createSim(options: SimOptions = {}): Promise<Sim> {
  const given = { ...DEFAULTS, ...options };
  const { world, fleet } = createWorld(options, given);
  const places = placeNodes(given.nodes, given.controlPlane, given.zones);
  for (const place of places) fleet.place(place);
  startControllers(world, fleet);
  const { faults, logs, registry, timers, traffic } = world;
  const unreachable = (name: string) => kubeletTrouble(fleet.nodes.get(name));
  registry.admitted = (object, before) => faults.requests.admitted(object, before);
  const authorizer = new Authorizer();
  registry.store.subscribe(({ type, kind, object }) => {
    if (type === 'DELETED' && kind === 'Namespace') authorizer.forget(object.metadata.name);
  });
  const listeners = new Set<RequestListener>();
  const hear: RequestListener = (who, asked, answered) => {
    for (const listener of listeners) listener(who, asked, answered);
  };
  const api = new ApiServer({ registry, logs, faults: faults.requests, authorizer, hear, timers, unreachable });
  const url = options.url ?? (await api.listen(given.port));
  const close = async () => {
    traffic.stop();
    fleet.close();
    timers.close();
    await api.close();
  };
  try {
    await buildCluster(world, { ...given, places });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    url,
    kubeconfig: () => kubeconfigFor(url),
    get nodes() {
      return [...fleet.nodes.values()];
    },
    node: name => fleet.node(name),
    store: registry.store,
    registry,
    traffic,
    fault: faults,
    speed: world.speed,
    services: () => world.services.current(),
    deny: rule => faults.requests.deny(rule),
    apply(objects) {
      for (const object of authorizer.grant(objects)) {
        const { kind, metadata } = object;
        const there = registry.store.get(kind as Kind, metadata.namespace, metadata.name);
        if (!there) registry.create(object, kind as Kind, metadata.namespace);
      }
    },
    hear(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    addNode: name => fleet.join(world, name),
    removeNode: name => fleet.leave(world, name),
    reboot(name) {
      traffic.forget(name);
      fleet.kubelet(name).reboot();
    },
    answer: (call, answer) => api.answer(call, answer),
    close,
  };
}

function createWorld(options: SimOptions, given: typeof DEFAULTS): { world: World; fleet: Fleet } {
  const random = new Random(given.seed);
  const timers = new Timers();
  const registry = new Registry(new Store(), random);
  const services = new Services(registry.store);
  const network = new Network(registry.store);
  const fleet = new Fleet(network, given.seed, given.zones);
  const { nodes } = fleet;
  const world: World = {
    registry,
    services,
    logs: new LogBook(),
    timers,
    random,
    speed: { ...SPEED, ...options.speed },
    faults: new Faults(),
    nodes,
    network,
    traffic: new Traffic({ network, services, timers, random: new Random(given.seed + 1), nodes }),
    runWatcher: options.runWatcher,
    clusterCIDR: clusterCIDR(given.nodes),
  };
  return { world, fleet };
}

function startControllers(world: World, fleet: Fleet): void {
  const { registry, timers, speed, faults } = world;
  new DaemonSetController(registry, timers, () => speed.controllerLag + faults.controllerLag);
  new GarbageCollector(registry, timers, speed.controllerLag);
  new EndpointsController(registry.store, timers, speed.controllerLag);
  fleet.start(world);
  connectFaults(world, fleet);
}

/** Why the API server cannot ask a kubelet, when it cannot. */
function kubeletTrouble(node: SimNode | undefined): string | undefined {
  if (!node?.down && !node?.frozen) return undefined;
  return `Get "https://${node.ip}:10250/containerLogs": dial tcp ${node.ip}:10250: i/o timeout`;
}

function connectFaults({ faults, services }: World, fleet: Fleet): void {
  const kernelOf = (name: string) => fleet.node(name).kernel;
  const resync = (name: string) => {
    for (const proxier of fleet.node(name).processes) proxier.queue();
  };
  faults.connect({
    setReady: (name, ready) => {
      fleet.node(name).frozen = !ready;
      fleet.kubelet(name).tellReady(ready);
    },
    silence: (name, service, modes) => {
      const kernel = kernelOf(name);
      // Twice is once: the modes of the first time hold.
      if (!kernel.silenced.has(service)) kernel.silenced.set(service, modes);
      kernel.silence(services.current().ports);
    },
    unsilence: (name, service) => {
      kernelOf(name).silenced.delete(service);
      resync(name);
    },
    disturb: (name, what, modes) => {
      kernelOf(name).disturbed.set(what, modes);
    },
    pressure: (name, on) => fleet.kubelet(name).pressure(on),
    modesOf: name => kernelOf(name).modes(),
    kernelOf,
    fill: (name, ratio) => {
      kernelOf(name).conntrack.filled = ratio;
    },
    resync,
    stop: (name, stopped) => {
      for (const proxier of fleet.node(name).processes) proxier.stopped = stopped;
      if (!stopped) resync(name);
    },
  });
}

function kubeconfigFor(server: string): string {
  const name = 'simulated';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server } }],
    users: [{ name: USER, user: {} }],
    contexts: [{ name, context: { cluster: name, user: USER } }],
    'current-context': name,
  });
}
