// What the parts of the embedded cluster share.
import type { KubeObject } from '../core/cluster.ts';
import type { Mode } from '../core/mode.ts';
import type { NodeIo } from '../core/node-io.ts';
import type { Faults } from './faults.ts';
import type { Bindings } from './kubeadm.ts';
import type { Network } from './network.ts';
import type { SimNode } from './node.ts';
import type { LogBook } from './pod-logs.ts';
import type { Random } from './random.ts';
import type { Registry } from './registry.ts';
import type { Services } from './services.ts';
import type { Timers } from './timers.ts';
import type { Traffic } from './traffic.ts';

/** Milliseconds that things take. */
export interface Speed {
  /** From the start of a kube-proxy process to its first sync. */
  proxyStart: number;
  /** From a change of a Service to the rules. */
  proxySync: number;
  /** From a pod's creation to its running containers. */
  podStart: number;
  /** From a pod's deletion to its end. */
  podStop: number;
  /** Before a controller acts. */
  controllerLag: number;
  /** First pause of a crash loop; it doubles up to ten times of it. */
  crashBackoff: number;
  /** Between two looks of an iptables kube-proxy at its canary, and two full syncs in ipvs mode (30 s in truth). */
  canary: number;
  /** Before a taken port is tried again (5 s in truth). */
  portRetry: number;
  /** An attempt that nobody answers ends after so long at the latest. */
  dialTimeout: number;
  /** A node that reboots is away so long. */
  reboot: number;
  /** Pauses of watchers and sweepers are this many times as long as they ask for. */
  sleepFactor: number;
}

export const SPEED: Speed = {
  proxyStart: 250,
  proxySync: 20,
  podStart: 120,
  podStop: 40,
  controllerLag: 30,
  crashBackoff: 250,
  canary: 3000,
  portRetry: 100,
  dialTimeout: 150,
  reboot: 400,
  sleepFactor: 0.2,
};

/** The shipped watcher and sweeper: arguments, the node, mounted files by path; resolves with the exit code. */
export type RunWatcher = (
  args: string[],
  io: NodeIo,
  files: Map<string, string>,
  signal: AbortSignal,
) => Promise<number>;

export interface SimOptions {
  /** All nodes, control plane included. */
  nodes?: number;
  /** Team namespaces. */
  namespaces?: number;
  /** All Services, `kubernetes` and the DNS included. */
  services?: number;
  mode?: Mode;
  /** Where kube-proxy listens; as kubeadm writes it for IPv4 when not given. */
  bindings?: Bindings;
  seed?: number;
  speed?: Partial<Speed>;
  runWatcher?: RunWatcher;
  /** 0 for any free one. */
  port?: number;
  /** Listens on no port: who gives its name hands requests to `answer`. */
  url?: string;
  controlPlane?: number;
  zones?: number;
}

/** What nodes and controllers work with. */
export interface World {
  readonly registry: Registry;
  readonly services: Services;
  readonly logs: LogBook;
  readonly timers: Timers;
  readonly random: Random;
  readonly speed: Speed;
  readonly faults: Faults;
  readonly nodes: ReadonlyMap<string, SimNode>;
  readonly network: Network;
  readonly traffic: Traffic;
  readonly runWatcher: RunWatcher | undefined;
  readonly clusterCIDR: string;
}

/** One run of a container. */
export interface ContainerRun {
  readonly node: SimNode;
  readonly pod: KubeObject;
  readonly name: string;
  /** Command and arguments with `$(NAME)` filled in. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  /** Contents of mounted ConfigMaps by path. */
  readonly files: Map<string, string>;
  readonly hostNetwork: boolean;
  readonly signal: AbortSignal;
  log(line: string): void;
}

/** What a container does; resolves with its exit code. */
export type Program = (run: ContainerRun, world: World) => Promise<number>;
