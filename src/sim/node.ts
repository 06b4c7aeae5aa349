import type { KubeObject } from '../core/cluster.ts';
import type { Mode } from '../core/mode.ts';
import type { HostPort } from '../core/proxy-address.ts';
import { Kernel } from './kernel.ts';
import type { Proxier } from './proxier.ts';
import type { Random } from './random.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Answers GET. */
export type PortHandler = (path: string) => Answer;

interface Listener {
  readonly address: string;
  readonly handler: PortHandler;
}

/** Go listens for both families on either. */
const WILDCARDS = ['0.0.0.0', '::'];
const LOOPBACKS = ['127.0.0.1', '::1'];

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
  private readonly listeners = new Map<number, Listener>();
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

  /** A process listens. Gives what ends it; undefined where the port is taken or the address is not the node's own. */
  listen({ address, port }: HostPort, handler: PortHandler): (() => void) | undefined {
    const own = [...WILDCARDS, ...LOOPBACKS, ...this.addresses].includes(address);
    if (!own || this.listeners.has(port)) return undefined;
    const listener = { address, handler };
    this.listeners.set(port, listener);
    return () => {
      if (this.listeners.get(port) === listener) this.listeners.delete(port);
    };
  }

  /** Who answers there. */
  at({ address, port }: HostPort): PortHandler | undefined {
    const listener = this.listeners.get(port);
    const meant = listener && [address, ...WILDCARDS].includes(listener.address);
    return meant ? listener.handler : undefined;
  }

  /** Every process is gone, the kernel is empty. */
  reboot(): void {
    this.listeners.clear();
    this.processes.clear();
    this.kernel.reboot();
  }
}

export function isHostNetwork(pod: KubeObject): boolean {
  return pod.spec.hostNetwork === true;
}
