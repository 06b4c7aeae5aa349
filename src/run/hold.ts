import type { Clock } from '../core/clock.ts';
import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { fenceOf, type RunRecord } from '../core/run-state.ts';
import { type Held, takeLease, type Wanted } from './lease.ts';
import { findRecord, keepNamespace, newestEpoch } from './record.ts';

export interface Hold extends Wanted {
  readonly cluster: Cluster;
  readonly clock: Clock;
  /** The run as it was read before: nothing may have happened to it since. Undefined when there was none. */
  readonly record: RunRecord | undefined;
  /** The run that is gone on with, or begins. */
  readonly run: string;
}

/** Holds the Lease while `perform` runs, and gives it up whatever happens. @throws ProxyctlError 25 when another has it. */
export async function holding<T>(hold: Hold, perform: (held: Held) => Promise<T>): Promise<T> {
  const { cluster, clock, record } = hold;
  const written = record ? await newestEpoch(cluster, record) : 0;
  const held = await takeLease(cluster, clock, { ...hold, written });
  try {
    await keepNamespace(cluster, clock, fenceOf({ id: hold.run, epoch: held.epoch }));
    const now = await findRecord(cluster);
    if (now?.run !== record?.run || now?.revision !== record?.revision) {
      const what = now ? `run ${now.run} was changed or started` : `run ${record?.run} ended`;
      throw new ProxyctlError(
        `${what} elsewhere in the meantime; see 'proxyctl status', then call again`,
        EXIT.runUnderWay,
      );
    }
    return await perform(held);
  } finally {
    await held.release();
  }
}
