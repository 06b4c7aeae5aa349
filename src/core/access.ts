import type { Access } from './cluster.ts';
import { NAMESPACE } from './names.ts';

function rows(
  group: string,
  resource: string,
  verbs: readonly Access['verb'][],
  where: Omit<Access, 'verb' | 'group' | 'resource'> = {},
): Access[] {
  return verbs.map(verb => ({ verb, group, resource, ...where }));
}

/** All that a run asks of the API, `proxyNamespace` being where kube-proxy's objects are. Source: what the executor and the driver call. */
export function migrateAccess(proxyNamespace = 'kube-system'): Access[] {
  const proxy = { namespace: proxyNamespace };
  const own = { namespace: NAMESPACE };
  return [
    ...rows('', 'nodes', ['get', 'list', 'patch']),
    ...rows('', 'namespaces', ['list']),
    ...rows('', 'pods', ['list']),
    ...rows('', 'services', ['get', 'list']),
    ...rows('discovery.k8s.io', 'endpointslices', ['list']),
    ...rows('', 'pods', ['get', 'list', 'create', 'delete'], proxy),
    ...rows('', 'pods/log', ['get'], proxy),
    ...rows('', 'configmaps', ['get', 'list', 'create', 'patch', 'delete'], proxy),
    ...rows('apps', 'daemonsets', ['get', 'list', 'create', 'patch', 'delete'], proxy),
    ...rows('apps', 'controllerrevisions', ['list', 'delete'], proxy),
    ...rows('', 'namespaces', ['get', 'create', 'delete'], { name: NAMESPACE }),
    ...rows('', 'serviceaccounts', ['create'], own),
    ...rows('', 'pods', ['get', 'list', 'create', 'delete'], own),
    ...rows('', 'pods/log', ['get'], own),
    ...rows('', 'configmaps', ['get', 'list', 'create', 'patch'], own),
    ...rows('coordination.k8s.io', 'leases', ['get', 'create', 'patch'], own),
  ];
}

/** What a run needs where kube-proxy is in kube-system. */
export const MIGRATE_ACCESS: readonly Access[] = migrateAccess();
