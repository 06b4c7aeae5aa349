// The faults of the matrix on the embedded cluster.
import { startSim } from '../../src/commands/sim-cluster.ts';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { Mode } from '../../src/core/mode.ts';
import type { Damage } from '../../src/sim/faults.ts';
import type { ServicePort } from '../../src/sim/services.ts';
import type { Sim } from '../../src/sim/sim.ts';
import { runCli, startCli, tempFile } from '../cli/run-cli.ts';
import type { FaultTestbed } from './fault-matrix.ts';
import type { Fault } from './fault-rows.ts';
import {
  deadEndpoint,
  withoutAffinity,
  withoutEndpoint,
  withoutNodePort,
  withoutPort,
  withoutRules,
} from './kernel-damage.ts';

/** Faults at the same time. */
const AT_ONCE = 7;
const CHURN_MS = 250;
const HEALED_MS = 30_000;

export interface EmbeddedFaults extends FaultTestbed {
  readonly sim: Sim;
  close(): Promise<void>;
}

/** Several workers, so that one verification sees several faults. */
export async function embeddedFaults(mode: Mode, seed: number): Promise<EmbeddedFaults> {
  const sim = await startSim({ nodes: AT_ONCE + 1, namespaces: 6, services: 30, mode, seed });
  sim.store.mutate('Service', ...affine(sim), service => {
    service.spec.sessionAffinity = 'ClientIP';
    service.spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 600 } };
  });
  const kubeconfig = tempFile('kubeconfig', sim.kubeconfig());
  const healing: (() => void)[] = [];
  return {
    sim,
    nodes: sim.nodes.slice(1).map(node => node.name),
    without: [],
    start: (...args) => startCli(['--kubeconfig', kubeconfig, ...args]),
    proxyctl: (...args) => runCli(['--kubeconfig', kubeconfig, ...args]),
    async inject(fault, _mode, node) {
      const { services, heal } = injected(sim, fault, mode, node);
      healing.push(heal);
      return services;
    },
    async heal() {
      for (const heal of healing.splice(0)) heal();
      await allServe(sim);
    },
    churn: () => churn(sim),
    close: () => sim.close(),
  };
}

interface Injected {
  readonly services: readonly string[];
  readonly heal: () => void;
}

function injected(sim: Sim, fault: Fault, mode: Mode, node: string): Injected {
  const { kernel } = sim.node(node);
  const damaged = (port: ServicePort, sides: Record<Mode, Damage>): Injected => ({
    services: [port.service],
    heal: sim.fault.damage(node, sides[mode]),
  });
  const many = portWhere(sim, isMany);
  const [first] = many.endpoints;
  if (!first) throw new Error('no Service has endpoints');
  switch (fault) {
    case 'service-rules':
      return { services: [many.service], heal: sim.fault.silentService(node, many.service) };
    case 'endpoint-rule':
      return damaged(many, withoutEndpoint(many, first));
    case 'dead-endpoint':
      return damaged(many, deadEndpoint(many, first));
    case 'udp-rule': {
      const port = portWhere(sim, isUdp);
      return damaged(port, withoutPort(port));
    }
    case 'node-port-rule': {
      const port = portWhere(sim, isNodePort);
      return damaged(port, withoutNodePort(port));
    }
    case 'affinity-rule': {
      const port = portWhere(sim, p => isTeams(p) && p.affinitySeconds !== undefined);
      return damaged(port, withoutAffinity(port));
    }
    case 'all-rules':
      return { services: [], heal: sim.fault.damage(node, withoutRules[mode]) };
    case 'frozen-proxy':
      return withEndpointGone(sim, 1, sim.fault.freezeProxy(node));
    case 'stopped-proxy':
      return withEndpointGone(sim, 2, sim.fault.stopProxies(node));
    case 'crash-loop': {
      const heal = sim.fault.crashLoop(mode, node);
      const pod = proxyPod(sim, node)?.metadata.name ?? '';
      sim.registry.delete({ kind: 'Pod', namespace: 'kube-system', name: pod }, {});
      return { services: [], heal };
    }
    case 'udp-dropped':
      return {
        services: [...new Set(sim.services().ports.flatMap(p => (p.protocol === 'udp' ? p.service : [])))],
        heal: sim.fault.silentTraffic(node, 'udp', [mode]),
      };
    case 'conntrack-full':
      return { services: [], heal: sim.fault.conntrackFill(node, 0.75) };
    case 'conntrack-max': {
      const { max } = kernel.conntrack;
      kernel.conntrack.max = max / 2;
      return {
        services: [],
        heal: () => {
          kernel.conntrack.max = max;
        },
      };
    }
    case 'no-nft':
      return { services: [], heal: sim.fault.noNft(node) };
  }
}

const isTeams = ({ service }: ServicePort) => !/^(default|kube-system|proxyctl)\//.test(service);
const isMany = (port: ServicePort) =>
  isTeams(port) &&
  port.protocol === 'tcp' &&
  port.nodePort === undefined &&
  port.affinitySeconds === undefined &&
  port.endpoints.length > 1;
const isUdp = (port: ServicePort) => isTeams(port) && port.protocol === 'udp';
const isNodePort = (port: ServicePort) => port.nodePort !== undefined;

/** The `nth` port that is such, from 0. */
function portWhere(sim: Sim, is: (port: ServicePort) => boolean, nth = 0): ServicePort {
  const port = sim.services().ports.filter(is)[nth];
  if (!port) throw new Error('this cluster has no such Service');
  return port;
}

/** The last one of those with several endpoints: no other fault takes it. */
function affine(sim: Sim): [string, string] {
  const { service } = sim.services().ports.findLast(isMany) ?? portWhere(sim, isMany);
  const [namespace = '', name = ''] = service.split('/');
  return [namespace, name];
}

/** One endpoint of the `nth` Service leaves the API; its pod goes on. */
function withEndpointGone(sim: Sim, nth: number, clear: () => void): Injected {
  const { service } = portWhere(sim, isMany, nth);
  const slice = sliceOf(sim, service);
  const { endpoints } = slice;
  const put = (list: unknown[]) =>
    sim.store.mutate('EndpointSlice', slice.metadata.namespace, slice.metadata.name, copy => {
      copy.endpoints = list;
    });
  put(endpoints.slice(1));
  return {
    services: [service],
    heal() {
      put(endpoints);
      clear();
    },
  };
}

function sliceOf(sim: Sim, service: string): KubeObject {
  const [namespace, name] = service.split('/');
  const isIts = (s: KubeObject) => s.metadata.labels?.['kubernetes.io/service-name'] === name;
  const slice = sim.store.list('EndpointSlice', namespace).find(isIts);
  if (!slice) throw new Error(`${service} has no EndpointSlice`);
  return slice;
}

function churn(sim: Sim): () => Promise<void> {
  const { service } = portWhere(sim, isMany);
  const { metadata, endpoints } = sliceOf(sim, service);
  const put = (list: unknown[]) =>
    sim.store.mutate('EndpointSlice', metadata.namespace, metadata.name, copy => {
      copy.endpoints = list;
    });
  let turn = 0;
  const timer = setInterval(() => put(turn++ % 2 === 0 ? endpoints.slice(1) : endpoints), CHURN_MS);
  return async () => {
    clearInterval(timer);
    put(endpoints);
  };
}

function proxyPod(sim: Sim, node: string): KubeObject | undefined {
  const isIts = (pod: KubeObject) => pod.spec.nodeName === node && pod.metadata.labels?.['k8s-app'] === 'kube-proxy';
  return sim.store.list('Pod', 'kube-system').find(isIts);
}

/** Every kube-proxy runs and has written its rules since. */
async function allServe(sim: Sim): Promise<void> {
  const serves = (node: string) => {
    const statuses: { ready?: boolean }[] = proxyPod(sim, node)?.status?.containerStatuses ?? [];
    const { processes } = sim.node(node);
    return statuses.length > 0 && statuses.every(s => s.ready) && [...processes].some(p => p.synced);
  };
  const end = performance.now() + HEALED_MS;
  while (!sim.nodes.every(({ name }) => serves(name))) {
    if (performance.now() > end) throw new Error('a kube-proxy did not come back');
    await new Promise(done => setTimeout(done, 50));
  }
}
