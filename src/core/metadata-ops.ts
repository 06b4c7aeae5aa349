import { type KubeObject, type PatchOp, pointer } from './cluster.ts';

/** Labels and annotations of an object as patch operations; a value of null removes. Absent parents are made. */
export function metadataOps(
  object: KubeObject,
  change: { labels?: Record<string, string | null>; annotations?: Record<string, string | null> },
): PatchOp[] {
  const ops: PatchOp[] = [];
  for (const part of ['labels', 'annotations'] as const) {
    const current = object.metadata[part];
    const wanted = Object.entries(change[part] ?? {}).filter(([key, value]) => (current?.[key] ?? null) !== value);
    if (wanted.length > 0 && !current) ops.push({ op: 'add', path: `/metadata/${part}`, value: {} });
    for (const [key, value] of wanted) {
      const path = pointer('metadata', part, key);
      ops.push(value === null ? { op: 'remove', path } : { op: 'add', path, value });
    }
  }
  return ops;
}
