// Writes to objects that two runners may meet at. Each object bears the fence of its last writer, `run/epoch`; who takes a run
// over writes its own onto all of them first (`seal`), so that what the one before still had in hand is refused by the server.
//
// Kubernetes has no such test for a create. A runner that is stopped between the answer about its Lease and a create may
// therefore leave a pod behind when it wakes; its next write is refused. The pod bears the run's label, is adopted or removed by
// the runner that took over, and a sweeper among them acts only where the new mode serves.
import { type KubeObject, type PatchOp, pointer, type Ref } from '../core/cluster.ts';
import type { RunContext, Runner } from '../core/driver.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { ANNOTATION_EPOCH } from '../core/names.ts';
import { epochOn, fenceOf } from '../core/run-state.ts';
import { unraced } from '../core/unraced.ts';

/**
 * Patches an object behind the fence: reads it, asks `change` what to do, and writes only if nobody with a newer epoch has
 * written and nothing changed since it was read. Gives the object as the server then has it; no operations, no write.
 * Throws when another run has taken over, or when the object is gone.
 */
export async function patchFenced(
  run: RunContext,
  ref: Ref,
  change: (object: KubeObject) => PatchOp[],
): Promise<KubeObject> {
  return unraced(run, async () => {
    const object = await run.cluster.get(ref);
    if (!object) throw new ApiError(`${ref.kind} ${ref.name} is gone`, 404, 'NotFound');
    refuseNewer(run, object);
    const ops = change(object);
    return ops.length === 0 ? object : run.cluster.patch(ref, [fence(object, run), ...ops]);
  });
}

/** Deletes that very object, unless somebody wrote to it since it was read. Gone already is fine. */
export async function deleteFenced(run: Runner, ref: Ref, uid: string | undefined): Promise<void> {
  await unraced(run, async () => {
    const object = await run.cluster.get(ref);
    if (!object || object.metadata.uid !== uid) return;
    refuseNewer(run, object);
    const { resourceVersion } = object.metadata;
    await run.cluster.delete(ref, { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) });
  });
}

/** Our fence stands on the object, or nobody has written since we read it. */
export function fence(object: KubeObject, run: Pick<RunContext, 'id' | 'epoch'>): PatchOp {
  const written = object.metadata.annotations?.[ANNOTATION_EPOCH];
  return written === fenceOf(run)
    ? { op: 'test', path: pointer('metadata', 'annotations', ANNOTATION_EPOCH), value: written }
    : { op: 'test', path: '/metadata/resourceVersion', value: object.metadata.resourceVersion };
}

/** A fence of another run is a left-over: the Lease is asked at each write, and it is ours. */
function refuseNewer(run: Runner, object: KubeObject): void {
  const epoch = epochOn(object, run.id);
  if (epoch <= run.epoch) return;
  throw new ProxyctlError(
    `another proxyctl took over this run (epoch ${epoch}, ours is ${run.epoch}); nothing more was written from here`,
    EXIT.runUnderWay,
  );
}

/** Creates an object, or takes the one of the same name if it is this run's. */
export async function createOnce(run: RunContext, object: KubeObject, ref: Ref, runLabel: string): Promise<KubeObject> {
  try {
    return await run.cluster.create(object);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
    const existing = await run.cluster.get(ref);
    if (existing?.metadata.labels?.[runLabel] === run.id) return existing;
    throw new ProxyctlError(
      `${ref.kind} ${ref.namespace ? `${ref.namespace}/` : ''}${ref.name} exists and is not of run ${run.id}; remove it or roll back the run that made it`,
      EXIT.runUnderWay,
      { cause: error },
    );
  }
}
