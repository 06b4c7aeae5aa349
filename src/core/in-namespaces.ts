import type { Cluster, Kind, KubeObject } from './cluster.ts';

/** More namespaces than that are not asked one by one: one list of the whole cluster is cheaper. */
const MOST_LISTS = 20;

/** The objects of these namespaces, page by page. Throws what the API throws, and when there is no cluster to ask. */
export async function* inNamespaces(
  cluster: Cluster | undefined,
  kind: Kind,
  namespaces: ReadonlySet<string>,
): AsyncGenerator<KubeObject> {
  if (!cluster) throw new Error('no cluster to ask');
  if (namespaces.size <= MOST_LISTS) {
    for (const namespace of namespaces) yield* cluster.list(kind, { namespace });
    return;
  }
  for await (const object of cluster.list(kind)) if (namespaces.has(object.metadata.namespace ?? '')) yield object;
}
