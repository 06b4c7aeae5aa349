// How one proxyctl asks something of another that runs the run, wherever that is: through the Lease.
import type { Clock } from '../core/clock.ts';
import type { Cluster, KubeObject, Ref } from '../core/cluster.ts';
import { ApiError } from '../core/errors.ts';
import { metadataOps } from '../core/metadata-ops.ts';
import { ANNOTATION_CONTROL, LEASE, NAMESPACE } from '../core/names.ts';
import { type Control, controlOf, type Doing, doingOf } from '../core/steering.ts';
import { unraced } from '../core/unraced.ts';

const ref: Ref = { kind: 'Lease', namespace: NAMESPACE, name: LEASE };
const LOOK_MS = 300;
/** A runner that is alive looks every second and renews every five; by now its Lease is stale. */
const ANSWER_MS = 20_000;

/** Changes what is wanted of the run; gives the number of the change. Throws a 404 when there is no Lease. */
export async function ask(cluster: Cluster, clock: Clock, change: (control: Control) => Control): Promise<number> {
  // The runner may renew in between.
  return unraced({ clock }, async () => {
    const lease = await cluster.get(ref);
    if (!lease) throw new ApiError(`there is no Lease ${NAMESPACE}/${LEASE}: the run has ended`, 404, 'NotFound');
    const before = controlOf(lease);
    const control = { ...change(before), change: Math.max(before.change, 0) + 1 };
    await cluster.patch(ref, [
      { op: 'test', path: '/metadata/resourceVersion', value: lease.metadata.resourceVersion },
      ...metadataOps(lease, { annotations: { [ANNOTATION_CONTROL]: JSON.stringify(control) } }),
    ]);
    return control.change;
  });
}

/** What the runner says once it has heard the change; undefined when it does not answer, or has ended. */
export async function answer(cluster: Cluster, clock: Clock, change: number): Promise<Doing | undefined> {
  const end = clock.monotonic() + ANSWER_MS;
  while (clock.monotonic() < end) {
    const doing = doingOf(await cluster.get(ref));
    if (doing && doing.heard >= change) return doing;
    await clock.sleep(LOOK_MS);
  }
  return undefined;
}

/**
 * Waits until who holds the Lease has given it up, or renews it no more. `told` hears what it does meanwhile, whenever that
 * changes.
 */
export async function ended(cluster: Cluster, clock: Clock, told: (doing: Doing) => void): Promise<'ended' | 'silent'> {
  let before = await cluster.get(ref);
  let heardAt = clock.monotonic();
  for (;;) {
    await clock.sleep(LOOK_MS);
    const now = await cluster.get(ref);
    // Whoever has taken it since was not asked to end.
    if (!now || now.spec.holderIdentity !== before?.spec.holderIdentity) return 'ended';
    const doing = doingOf(now);
    if (doing && doing.text !== doingOf(before)?.text) told(doing);
    if (now.spec.renewTime !== before?.spec.renewTime) heardAt = clock.monotonic();
    if (clock.monotonic() - heardAt > ANSWER_MS) return 'silent';
    before = now;
  }
}

export function leaseOf(cluster: Cluster): Promise<KubeObject | undefined> {
  return cluster.get(ref);
}
