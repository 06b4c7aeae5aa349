import type { Reach } from './exposure.ts';
import type { Scope } from './gate.ts';

/** Services by `namespace/name`, and the namespaces that they are in. */
export function scopeOf(services: Iterable<string>): Scope {
  const names = new Set(services);
  return { services: names, namespaces: new Set([...names].map(name => name.slice(0, name.indexOf('/')))) };
}

/** What a node reaches, `kubernetes` and the DNS with it. */
export function scopeOfNode(reach: Reach, node: string): Scope {
  const groups = reach.byNode.get(node) ?? [];
  return scopeOf([...reach.everywhere, ...groups.flatMap(group => reach.groups[group]?.services ?? [])]);
}
