// What a proxyctl leaves that was killed before its run was recorded, or while it looked at nodes: our namespace, and what is in it.
import type { Cluster } from '../core/cluster.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { NAMESPACE } from '../core/names.ts';
import { isMade } from '../core/own-namespace.ts';
import { leaveNamespace } from '../drivers/own-namespace.ts';
import { leaseOf } from '../run/ask-runner.ts';
import { realClock } from '../run/clock.ts';
import { waiter } from '../run/engine.ts';
import { fencedCluster } from '../run/fence.ts';
import { takeLease } from '../run/lease.ts';
import { findRecord } from '../run/record.ts';
import { type CommandIo, confirm } from './io.ts';
import { holder } from './session.ts';

const ADVICE = `see what is in namespace ${NAMESPACE}`;

/** Whether there is something to take away, where no record stands. A namespace that was given to us stays, without a Lease. */
export async function isLeftBehind(cluster: Cluster): Promise<boolean> {
  const namespace = await cluster.get({ kind: 'Namespace', name: NAMESPACE });
  if (!namespace || namespace.metadata.deletionTimestamp) return false;
  return isMade(namespace) || (await leaseOf(cluster)) !== undefined;
}

/** Takes it away. @throws ProxyctlError 25 while somebody is at work there. */
export async function removeLeftBehind(io: CommandIo, cluster: Cluster, yes: boolean): Promise<number> {
  io.err(`no run of proxyctl stands in this cluster; one that was killed before its first step left ${NAMESPACE}`);
  await confirm(io, cluster.identity, yes, 'take that away');
  try {
    await remove(cluster);
  } catch (error) {
    // Who had just finished there has done it.
    if (!(error instanceof ApiError) || (await isLeftBehind(cluster))) throw error;
  }
  io.err('nothing of proxyctl is left');
  return EXIT.done;
}

async function remove(cluster: Cluster): Promise<void> {
  const held = await takeLease(cluster, realClock, { holder: holder('none') });
  try {
    const record = await findRecord(cluster);
    if (record)
      throw new ProxyctlError(`run ${record.run} was begun elsewhere in the meantime; call again`, EXIT.runUnderWay);
    const signal = held.lost;
    const waitFor = waiter({ append: () => undefined }, realClock, signal, ADVICE);
    const own = fencedCluster(cluster, held);
    await leaveNamespace({ id: 'none', epoch: held.epoch, cluster: own, clock: realClock, signal, waitFor });
  } finally {
    await held.release();
  }
}
