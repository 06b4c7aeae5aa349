// Fills a new cluster with objects and waits until it stands.
import type { Kind, KubeObject } from '../core/cluster.ts';
import type { Mode } from '../core/mode.ts';
import { type Bindings, kubeProxyObjects } from './kubeadm.ts';
import type { SimNode } from './node.ts';
import {
  API_PORT,
  deploymentObject,
  dnsWorkload,
  kubernetesService,
  type NodePlace,
  namespaceNames,
  namespaceObject,
  nodeObject,
  serviceObject,
  sliceObject,
  teamWorkloads,
  workloadPod,
} from './topology.ts';
import type { World } from './world.ts';

interface Blueprint {
  readonly places: readonly NodePlace[];
  readonly namespaces: number;
  readonly services: number;
  readonly mode: Mode;
  readonly bindings?: Bindings;
}

/** Services that every cluster has. */
const OWN_SERVICES = 2;
const LONGEST_WAIT_MS = 60_000;

/** @throws Error when kube-proxy has not programmed every node after a minute. */
export async function buildCluster(
  world: World,
  { places, namespaces, services, mode, bindings = {} }: Blueprint,
): Promise<void> {
  const create = (object: KubeObject) => world.registry.create(object, object.kind as Kind, object.metadata.namespace);
  const teams = namespaceNames(namespaces);
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease', ...teams])
    create(namespaceObject(name));
  for (const place of places) create(nodeObject(place));
  const of = (controlPlane: boolean) =>
    places.filter(p => p.controlPlane === controlPlane).flatMap(p => world.nodes.get(p.name) ?? []);
  const masters = of(true);
  const workers = of(false).length > 0 ? of(false) : masters;
  for (const object of kubernetesService(masters)) create(object);
  const dns = dnsWorkload(world.random.sample(workers, 2));
  for (const workload of [dns, ...teamWorkloads(teams, Math.max(0, services - OWN_SERVICES), workers, world.random)]) {
    create(serviceObject(workload));
    create(deploymentObject(workload));
    const pods = workload.nodes.map(node => create(workloadPod(workload, node, world.random)));
    create(sliceObject(workload, pods, world.random));
  }
  const apiServer = `https://${masters[0]?.ip ?? '127.0.0.1'}:${API_PORT}`;
  const setup = { mode, clusterCIDR: world.clusterCIDR, apiServer, bindings };
  for (const object of kubeProxyObjects(setup)) create(object);
  await programmed(world);
}

async function programmed({ nodes, timers }: World): Promise<void> {
  const never = new AbortController().signal;
  const isUp = (node: SimNode) => [...node.processes].some(proxier => proxier.synced);
  for (let waited = 0; waited < LONGEST_WAIT_MS; waited += 10) {
    if ([...nodes.values()].every(isUp)) return;
    await timers.wait(10, never);
  }
  throw new Error('the simulated kube-proxies did not come up');
}
