// ControllerRevisions of a DaemonSet: which template its pods shall have, under which hash.
import { canonicalJson } from '../core/canonical.ts';
import type { KubeObject } from '../core/cluster.ts';
import { safeHash } from './random.ts';
import type { Registry } from './registry.ts';

export const HASH_LABEL = 'controller-revision-hash';

export function ownerOf(daemonSet: KubeObject): NonNullable<KubeObject['metadata']['ownerReferences']>[number] {
  const { name, uid = '' } = daemonSet.metadata;
  const owner = { apiVersion: 'apps/v1', kind: 'DaemonSet', name, uid, controller: true };
  return { ...owner, ...{ blockOwnerDeletion: true } };
}

/**
 * The hash of the revision that holds the present template. A template that was there before gets its old revision back under the
 * highest number; a new one gets a new revision; old ones that no pod has go when there are too many.
 */
export function currentRevision(registry: Registry, daemonSet: KubeObject, inUse: ReadonlySet<string>): string {
  const { store } = registry;
  const { namespace, uid } = daemonSet.metadata;
  const own = store
    .list('ControllerRevision', namespace)
    .filter(r => r.metadata.ownerReferences?.some(o => o.uid === uid))
    .sort((a, b) => a.revision - b.revision);
  const highest = Number(own.at(-1)?.revision ?? 0);
  const template = { ...daemonSet.spec.template, $patch: 'replace' };
  const wanted = canonicalJson(template);
  const same = own.findLast(r => canonicalJson(r.data?.spec?.template) === wanted);
  if (same && same.revision < highest) {
    store.mutate('ControllerRevision', namespace, same.metadata.name, copy => {
      copy.revision = highest + 1;
    });
  }
  const hash = same?.metadata.labels?.[HASH_LABEL] ?? create(registry, daemonSet, template, highest + 1);
  const spare = own.filter(r => r !== same && !inUse.has(r.metadata.labels?.[HASH_LABEL] ?? ''));
  for (const revision of spare.slice(0, Math.max(0, spare.length - daemonSet.spec.revisionHistoryLimit)))
    store.remove(revision);
  return hash;
}

function create(registry: Registry, daemonSet: KubeObject, template: object, revision: number): string {
  const { name, namespace } = daemonSet.metadata;
  const hash = safeHash(canonicalJson(template));
  const labels = { ...daemonSet.spec.template.metadata?.labels, [HASH_LABEL]: hash };
  const metadata = {
    name: `${name}-${hash}`,
    namespace: namespace ?? '',
    labels,
    annotations: { 'deprecated.daemonset.template.generation': String(daemonSet.metadata.generation) },
    ownerReferences: [ownerOf(daemonSet)],
  };
  // The revision of a DaemonSet of the same name that was deleted goes first.
  const left = registry.store.get('ControllerRevision', namespace, metadata.name);
  if (left) registry.store.remove(left);
  const object = {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata,
    data: { spec: { template } },
    revision,
  };
  registry.create(object, 'ControllerRevision', namespace);
  return hash;
}
