import type { Client, ServicePath } from '../core/service-path.ts';
import { type Frontend, readKey } from '../core/service-port.ts';
import type { Tables } from './iptables.ts';
import { IptablesWalk } from './iptables-walk.ts';
import { noPath } from './path-draft.ts';

export interface Backend {
  readonly family: 'ip' | 'ip6';
  readonly legacy: boolean;
  readonly tables: Tables;
}

/** The way in iptables mode, in the first backend that knows it. */
export function iptablesPath(backends: readonly Backend[], key: string, client: Client): ServicePath {
  const frontend = readKey(key);
  if (!frontend) return noPath(key, client);
  const paths = backends
    .filter(({ family }) => family === frontend.family)
    .map(({ tables, legacy }) => ({
      ...pathIn(tables, frontend, key, client),
      ...(legacy ? { legacy: true as const } : {}),
    }));
  return paths.find(path => path.outcome !== 'nothing') ?? paths[0] ?? noPath(key, client);
}

function pathIn(tables: Tables, frontend: Frontend, key: string, client: Client): ServicePath {
  const walk = new IptablesWalk(tables, frontend, client);
  const { draft } = walk;
  walk.from('nat', client === 'node' ? 'OUTPUT' : 'PREROUTING');
  if (draft.ends.size === 0) {
    const hooks = client === 'node' ? ['OUTPUT'] : [frontend.address === undefined ? 'INPUT' : 'FORWARD'];
    // NodePorts of the node itself go out and come in again.
    if (client === 'node' && frontend.address === undefined) hooks.push('INPUT');
    hooks.some(hook => walk.from('filter', hook));
  }
  if (draft.ends.size === 0) return draft.path(key, client, 'none');
  if (walk.masquerade()) return draft.path(key, client, 'all');
  const nat = walk.chains('nat');
  const toItself = [...draft.ends.values()].some(({ chain = '' }) =>
    nat.get(chain)?.rules.some(rule => rule.target === 'KUBE-MARK-MASQ'),
  );
  return draft.path(key, client, client === 'pod' && toItself ? 'self' : 'none');
}
