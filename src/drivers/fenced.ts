import type { KubeObject, PatchOp, Ref } from '../core/cluster.ts';
import type { RunContext } from '../core/driver.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { ANNOTATION_EPOCH } from '../core/names.ts';
import { fence } from './daemonset/objects.ts';

const TRIES = 8;

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
  for (let tries = 1; ; tries++) {
    const object = await run.cluster.get(ref);
    if (!object) throw new ApiError(`${ref.kind} ${ref.name} is gone`, 404, 'NotFound');
    const epoch = Number(object.metadata.annotations?.[ANNOTATION_EPOCH] ?? 0);
    if (epoch > run.epoch) {
      throw new ProxyctlError(
        `another proxyctl took over this run (epoch ${epoch}, ours is ${run.epoch}); nothing more was written`,
        EXIT.runUnderWay,
      );
    }
    const ops = change(object);
    if (ops.length === 0) return object;
    try {
      return await run.cluster.patch(ref, [fence(object, run.epoch), ...ops]);
    } catch (error) {
      // The server answers 409 to an outdated version and 422 to a failed test: somebody wrote in between. Read again.
      const raced = error instanceof ApiError && (error.status === 409 || error.status === 422);
      if (!raced || tries >= TRIES) throw error;
      await run.clock.sleep(50 * tries, run.signal);
    }
  }
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
