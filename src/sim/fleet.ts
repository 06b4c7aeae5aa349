// The nodes of the cluster with their kubelets; nodes come and go.
import { Kubelet } from './kubelet.ts';
import type { Network } from './network.ts';
import { SimNode } from './node.ts';
import { Random } from './random.ts';
import { type NodePlace, nodeObject, placeNode } from './topology.ts';
import type { World } from './world.ts';

export class Fleet {
  readonly nodes = new Map<string, SimNode>();
  private readonly kubelets = new Map<string, Kubelet>();
  private readonly network: Network;
  private readonly seed: number;
  private readonly zones: number;
  private placed = 0;

  constructor(network: Network, seed: number, zones: number) {
    this.network = network;
    this.seed = seed;
    this.zones = zones;
  }

  /** The machine, without its object. */
  place(place: NodePlace): SimNode {
    const node = new SimNode(place, new Random(this.seed + 2 + this.placed++));
    this.nodes.set(node.name, node);
    this.network.addNode(node);
    return node;
  }

  /** Starts the kubelets of all nodes, and gives them their pods from now on. */
  start(world: World): void {
    for (const node of this.nodes.values()) this.kubelets.set(node.name, new Kubelet(node, world));
    world.registry.store.subscribe(event => {
      if (event.kind === 'Pod') this.kubelets.get(event.object.spec.nodeName ?? '')?.onPod(event);
    });
  }

  /** A node that joins the running cluster. */
  join(world: World, name: string): SimNode {
    const place = placeNode(this.placed, name, this.zones);
    const node = this.place(place);
    this.kubelets.set(name, new Kubelet(node, world));
    world.registry.create(nodeObject(place), 'Node');
    return node;
  }

  /** The node is gone, and its pods with it. */
  leave({ registry: { store } }: World, name: string): void {
    const node = this.node(name);
    this.kubelet(name).close();
    const object = store.get('Node', undefined, name);
    if (object) store.remove(object);
    for (const pod of store.list('Pod')) if (pod.spec.nodeName === name) store.remove(pod);
    this.kubelets.delete(name);
    this.nodes.delete(name);
    this.network.removeNode(node);
  }

  /** @throws Error for a name that no node has. */
  node(name: string): SimNode {
    const node = this.nodes.get(name);
    if (!node) throw new Error(`no such node: ${name}`);
    return node;
  }

  kubelet(name: string): Kubelet {
    const kubelet = this.kubelets.get(name);
    if (!kubelet) throw new Error(`no such node: ${name}`);
    return kubelet;
  }

  close(): void {
    for (const kubelet of this.kubelets.values()) kubelet.close();
  }
}
