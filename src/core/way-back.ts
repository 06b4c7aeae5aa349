// Which nodes cannot be brought back to what they are now, as far as an inventory tells. What only a node itself knows, such as
// a kernel module that would not load any more, is found by rehearsing.
import { configuredMode, ipvsGate, isRetired } from './configured-mode.ts';
import { imageVersion } from './image-version.ts';
import type { Inventory, NodeFacts } from './inventory.ts';
import type { Mode } from './mode.ts';
import type { KubeProxyConfiguration } from './proxy-config.ts';

const ENTERPRISE_10 = /(Red Hat Enterprise Linux|AlmaLinux|Rocky Linux|CentOS Stream|Oracle Linux)\D*10(\.\d+)?\b/;

/** Whether the operating system comes without the kernel modules that iptables and ipvs need. */
export function lacksIptables(osImage: string): boolean {
  return ENTERPRISE_10.test(osImage);
}

export interface WayBackFacts {
  readonly proxy: Pick<Inventory['proxy'], 'daemonSet'>;
  /** The shared KubeProxyConfiguration, parsed; absent where nobody read it. */
  readonly config?: KubeProxyConfiguration | undefined;
}

/** Why a node that leaves mode `from` cannot be as it was again; undefined where nothing says so. Names are untrusted text. */
export function noWayBack(node: NodeFacts, from: Mode, facts: WayBackFacts): string | undefined {
  const reasons = [
    systemLacks(node, from),
    doesNotStart(from, facts),
    startsInAnother(from, facts),
    drift(node, facts),
  ];
  const found = reasons.filter(reason => reason !== undefined);
  return found.length > 0 ? found.join('; ') : undefined;
}

function systemLacks({ osImage }: NodeFacts, from: Mode): string | undefined {
  if (from === 'nftables' || !lacksIptables(osImage)) return undefined;
  return `${osImage} has no iptables kernel modules, which ${from} needs`;
}

/** It runs, and another start of it in the same mode would fail. */
function doesNotStart(from: Mode, { proxy, config }: WayBackFacts): string | undefined {
  if (from === 'ipvs' && ipvsGate(config) === false)
    return 'the configuration switches mode ipvs off (feature gate KubeProxyIPVS)';
  const version = imageVersion(proxy.daemonSet?.image ?? '');
  if (!version || !isRetired(from, version, config)) return undefined;
  return `kube-proxy ${version.join('.')}, which the DaemonSet has, does not start in mode ${from} any more`;
}

/** A rollback gives the node back to the original DaemonSet, whose configuration is not ours to change. */
function startsInAnother(from: Mode, { proxy, config }: WayBackFacts): string | undefined {
  const next = config && configuredMode(config, proxy.daemonSet?.image);
  if (next === undefined || next === from) return undefined;
  return `kube-proxy's configuration says ${next}, so what is given back starts in ${next} and not in ${from}`;
}

/** Left by an update that did not restart every pod. */
function drift({ proxyPod }: NodeFacts, { proxy: { daemonSet } }: WayBackFacts): string | undefined {
  if (!proxyPod || !daemonSet || proxyPod.daemonSet !== daemonSet.name || proxyPod.image === daemonSet.image) {
    return undefined;
  }
  return `runs image ${proxyPod.image} and the DaemonSet has ${daemonSet.image}: whatever restarts takes that, there and back`;
}
