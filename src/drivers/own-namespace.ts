import type { Kind, KubeObject, Ref } from '../core/cluster.ts';
import type { Runner } from '../core/driver.ts';
import { LABEL_PART, LEASE, NAMESPACE, PARTS } from '../core/names.ts';
import { isMade } from '../core/own-namespace.ts';
import { deleteFenced } from './fenced.ts';

const SECONDS = 180;
const ref: Ref = { kind: 'Namespace', name: NAMESPACE };

/** The end of a run: our namespace goes where we made it; one that was given to us, with the rights in it, is only emptied. */
export async function leaveNamespace(run: Runner): Promise<void> {
  const namespace = await run.cluster.get(ref);
  if (!namespace) return;
  if (!isMade(namespace)) return empty(run);
  await deleteFenced(run, ref, namespace.metadata.uid);
  await run.waitFor(`namespace ${NAMESPACE} to go`, SECONDS, async () =>
    (await run.cluster.get(ref)) ? undefined : true,
  );
}

async function empty(run: Runner): Promise<void> {
  await removeAll(run, 'Pod', LABEL_PART);
  await run.waitFor(`the pods in namespace ${NAMESPACE} to go`, SECONDS, async () => {
    for await (const pod of ours(run, 'Pod', LABEL_PART)) if (pod) return undefined;
    return true;
  });
  for (const kind of ['Service', 'EndpointSlice'] as const) await removeAll(run, kind, `${LABEL_PART}=${PARTS.probe}`);
  // The record is what a run that dies here is found by.
  await removeAll(run, 'ConfigMap', `${LABEL_PART},${LABEL_PART}!=${PARTS.record}`);
  await removeAll(run, 'ConfigMap', `${LABEL_PART}=${PARTS.record}`);
  const lease: Ref = { kind: 'Lease', namespace: NAMESPACE, name: LEASE };
  await deleteFenced(run, lease, (await run.cluster.get(lease))?.metadata.uid);
}

async function removeAll(run: Runner, kind: Kind, labelSelector: string): Promise<void> {
  for await (const { metadata } of ours(run, kind, labelSelector)) {
    const uid = metadata.uid === undefined ? {} : { uid: metadata.uid };
    await run.cluster.delete({ kind, namespace: NAMESPACE, name: metadata.name }, uid);
  }
}

function ours(run: Runner, kind: Kind, labelSelector: string): AsyncIterable<KubeObject> {
  return run.cluster.list(kind, { namespace: NAMESPACE, labelSelector });
}
