import type { Cluster } from '../core/cluster.ts';
import type { Held } from './lease.ts';

/**
 * The cluster as a run may change it: each write first asks the server whether the Lease is still ours. A runner that slept,
 * was stopped or lost its network therefore writes nothing once another has taken over.
 *
 * Between that answer and the write is a moment. Writes to objects that two runners share close it with a test in the write
 * itself (drivers/fenced.ts); creates cannot, see `patchFenced` there.
 */
export function fencedCluster(cluster: Cluster, held: Held): Cluster {
  return {
    ...cluster,
    async create(object) {
      await held.confirm();
      return cluster.create(object);
    },
    async patch(ref, ops) {
      await held.confirm();
      return cluster.patch(ref, ops);
    },
    async delete(ref, options) {
      await held.confirm();
      return cluster.delete(ref, options);
    },
  };
}
