import type { KubeObject } from '../core/cluster.ts';
import type { Mode } from '../core/mode.ts';
import { Kernel } from './kernel.ts';
import type { Proxier } from './proxier.ts';
import type { Random } from './random.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Answers GET on a port of the node's loopback. */
export type PortHandler = (path: string) => Answer;

/** A node as it truly is, whatever the API says. */
export class SimNode {
  readonly name: string;
  readonly ip: string;
  /** All that it has on its own devices: `ip`, and one of a second network that the API does not name. */
  readonly addresses: readonly string[];
  readonly podCIDR: string;
  readonly kernel: Kernel;
  /** Images that were pulled. */
  readonly images = new Set<string>();
  readonly ports = new Map<number, PortHandler>();
  /** Running kube-proxies, the oldest first. */
  readonly processes = new Set<Proxier>();
  /** Off the network: rebooting. */
  down = false;
  /** kubelet does nothing and tells nothing. */
  frozen = false;
  private lastPod = 1;

  constructor(given: { name: string; ip: string; podCIDR: string }, random: Random) {
    this.name = given.name;
    this.ip = given.ip;
    this.podCIDR = given.podCIDR;
    this.addresses = [given.ip, given.ip.replace(/^192\.168\./, '172.20.')];
    this.kernel = new Kernel(this.addresses, random);
  }

  /** Mode of the running kube-proxy; of the one that a DaemonSet made when there are two. */
  get proxyMode(): Mode | undefined {
    const all = [...this.processes];
    return (all.find(p => p.managed) ?? all[0])?.mode;
  }

  /** A free address of the pod network. */
  nextPodIP(): string {
    this.lastPod++;
    const [a, b, c] = this.podCIDR.split('.');
    return `${a}.${b}.${c}.${2 + (this.lastPod % 250)}`;
  }

  /** Every process is gone, the kernel is empty. */
  reboot(): void {
    this.ports.clear();
    this.processes.clear();
    this.kernel.reboot();
  }
}

export function isHostNetwork(pod: KubeObject): boolean {
  return pod.spec.hostNetwork === true;
}
