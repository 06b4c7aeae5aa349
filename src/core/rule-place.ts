import type { Family } from './api-services.ts';
import type { RulePlace } from './expected-rules.ts';
import type { Look, NodeInFlip } from './gate.ts';
import { imageVersion } from './image-version.ts';
import { type NodeFacts, nodeIn } from './inventory.ts';
import type { Mode } from './mode.ts';
import type { RuleOptions } from './rule-options.ts';
import { hintUse } from './topology-hints.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];

/** Where a node stands, as far as rules depend on it. */
export interface Whereabouts extends Pick<RulePlace, 'zone' | 'addresses'> {
  /** Major and minor of its kube-proxy, as the image says. */
  readonly version?: readonly [number, number];
}

/** Of the inventory, or of the API for a node that joined since. Throws when neither knows it. */
export async function whereaboutsOf({ inventory, cluster }: Look, name: string): Promise<Whereabouts> {
  const facts = nodeIn(inventory, name);
  if (facts) return whereaboutsIn(facts);
  const node = await cluster?.get({ kind: 'Node', name });
  if (!node) throw new Error(`node ${name} is not known`);
  const addresses: { type: string; address: string }[] = node.status?.addresses ?? [];
  return {
    ...versionIn(inventory.proxy.daemonSet?.image),
    zone: node.metadata.labels?.['topology.kubernetes.io/zone'] ?? '',
    addresses: addresses.filter(a => a.type.endsWith('IP')).map(a => a.address),
  };
}

export function whereaboutsIn({ zone = '', internalIPs, externalIPs, proxyPod }: NodeFacts): Whereabouts {
  return { zone, addresses: [...internalIPs, ...externalIPs], ...versionIn(proxyPod?.image) };
}

function versionIn(image: string | undefined): Pick<Whereabouts, 'version'> {
  const version = image === undefined ? undefined : imageVersion(image);
  return version ? { version } : {};
}

/** What decides the rules that a node's kube-proxy writes. */
export function rulePlace(
  { name, slot, view }: Pick<NodeInFlip, 'name' | 'slot' | 'view'>,
  mode: Mode,
  { version, ...whereabouts }: Whereabouts,
  options: RuleOptions,
): RulePlace {
  const named = Object.keys(view.proxy[slot]?.families ?? {});
  // Before 1.33 the metrics do not tell families apart; then kube-proxy serves both, as it does wherever the node can.
  const families = FAMILIES.filter(family => named.includes(family));
  const hints = hintUse(version, options.featureGates);
  return { node: name, ...whereabouts, hints, mode, options, families: families.length > 0 ? families : FAMILIES };
}
