import type { Family } from './api-services.ts';
import type { RulePlace } from './expected-rules.ts';
import type { NodeInFlip } from './gate.ts';
import type { Inventory } from './inventory.ts';
import type { Mode } from './mode.ts';
import type { RuleOptions } from './rule-options.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];

/** What decides the rules of a node's kube-proxy. Throws for a node that the inventory does not know. */
export function placeOf(
  { nodes }: Inventory,
  { name, slot, view }: NodeInFlip,
  mode: Mode,
  options: RuleOptions,
): RulePlace {
  const facts = nodes.find(n => n.name === name);
  if (!facts) throw new Error(`node ${name} joined after the inventory was taken`);
  const named = Object.keys(view.proxy[slot]?.families ?? {});
  // Before 1.33 the metrics do not tell families apart; then kube-proxy serves both, as it does wherever the node can.
  const families = FAMILIES.filter(family => named.includes(family));
  return {
    node: name,
    zone: facts.zone ?? '',
    addresses: [...facts.internalIPs, ...facts.externalIPs],
    mode,
    options,
    families: families.length > 0 ? families : FAMILIES,
  };
}
