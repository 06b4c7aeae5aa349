import { gunzipSync, gzipSync } from 'node:zlib';
import type { Clock } from '../core/clock.ts';
import type { Cluster, KubeObject } from '../core/cluster.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { metadataOps } from '../core/metadata-ops.ts';
import { ANNOTATION_EPOCH, LABEL_PART, LABEL_RUN, NAMESPACE, PARTS } from '../core/names.ts';
import { isMade, nodeAccount, ownNamespace } from '../core/own-namespace.ts';
import { epochOn, RunRecord } from '../core/run-state.ts';
import { unraced } from '../core/unraced.ts';
import { withhold } from '../core/withheld.ts';
import type { Engine } from './engine.ts';

/** gzip of the record as JSON. */
const KEY = 'record.json.gz';
/** A ConfigMap's values together, as the API server counts them. */
const MOST_BYTES = 1_048_576;
/** Of these, kept for what a run writes into its own record later on. */
const ROOM_BYTES = 65_536;
/** Bytes of a record as JSON; one that fits has some 4 MB. More is not unpacked, whoever wrote it. */
const MOST_TEXT_BYTES = 32 << 20;

/** The record of the run that the cluster bears, its latest revision; undefined without a run. Throws on one of another version. */
export async function findRecord(cluster: Cluster): Promise<RunRecord | undefined> {
  const namespace = await cluster.get({ kind: 'Namespace', name: NAMESPACE });
  // Our namespace is the last thing that a run takes away: when it goes, all else is as it was.
  if (!namespace || namespace.metadata.deletionTimestamp) return undefined;
  const selector = `${LABEL_PART}=${PARTS.record}`;
  let latest: RunRecord | undefined;
  for await (const map of cluster.list('ConfigMap', { namespace: NAMESPACE, labelSelector: selector })) {
    const record = recordIn(map);
    if (!latest || record.revision > latest.revision) latest = record;
  }
  return latest;
}

/** The highest epoch that runners of the run have written: onto nodes, and onto kube-proxy's DaemonSet before them. 0 before the first. */
export async function newestEpoch(cluster: Cluster, { run, originals }: RunRecord): Promise<number> {
  const { name, namespace = '' } = originals.daemonSet.metadata;
  const daemonSet = await cluster.get({ kind: 'DaemonSet', namespace, name });
  let newest = daemonSet ? epochOn(daemonSet, run) : 0;
  for await (const node of cluster.list('Node')) newest = Math.max(newest, epochOn(node, run));
  return newest;
}

/** What the ConfigMap holds. @throws ProxyctlError 24 for what this version did not write. */
export function recordIn({ metadata, binaryData }: KubeObject): RunRecord {
  try {
    const text = gunzipSync(Buffer.from(String(binaryData?.[KEY] ?? ''), 'base64'), {
      maxOutputLength: MOST_TEXT_BYTES,
    });
    return RunRecord.parse(JSON.parse(text.toString('utf8')));
  } catch (cause) {
    const message = `ConfigMap ${NAMESPACE}/${metadata.name} is no run record of this version of proxyctl; use the version that wrote it`;
    throw new ProxyctlError(message, EXIT.stalePlan, { cause });
  }
}

function packed(record: RunRecord): Buffer {
  return gzipSync(JSON.stringify(RunRecord.parse({ ...record, originals: withhold(record.originals) })));
}

/** Why the record cannot be written into the cluster, with room for what the run adds to it; undefined when it can. */
export function tooLarge(record: RunRecord): string | undefined {
  const { length } = packed(record);
  if (length <= MOST_BYTES - ROOM_BYTES) return undefined;
  const size = `${(length / MOST_BYTES).toFixed(1)} MiB`;
  return `the run's record would take ${size}, compressed, and a ConfigMap holds 1 MiB; plan fewer nodes at once (order.exclude in the playbook)`;
}

/** @throws ProxyctlError 20 for a record that cannot be written. */
export function refuseTooLarge(record: RunRecord): void {
  const large = tooLarge(record);
  if (large) throw new ProxyctlError(`${large}; nothing was changed`, EXIT.findings);
}

/** Our namespace and account, made if they are not there. */
export async function ensureNamespace(cluster: Cluster, clock: Clock): Promise<void> {
  for (let tries = 0; ; tries++) {
    const existing = await cluster.get({ kind: 'Namespace', name: NAMESPACE });
    if (existing && !existing.metadata.deletionTimestamp) break;
    if (!existing) await createQuietly(cluster, ownNamespace('made'));
    else if (tries > 120)
      throw new ProxyctlError(
        `namespace ${NAMESPACE} has been terminating for a minute; see what holds it`,
        EXIT.unreachable,
      );
    else await clock.sleep(500);
  }
  const account = nodeAccount();
  // Whoever was given the namespace may not make accounts in it.
  const there = await cluster.get({ kind: 'ServiceAccount', namespace: NAMESPACE, name: account.metadata.name });
  if (!there) await createQuietly(cluster, account);
}

/**
 * Puts our fence onto the namespace that a run or a look has made: who slept when it was about to take it away again has read
 * another version, and the server refuses that. One that was given to us nobody takes away.
 * @throws ProxyctlError 25 when it goes already.
 */
export function keepNamespace(cluster: Cluster, clock: Clock, fence: string): Promise<void> {
  const ref = { kind: 'Namespace', name: NAMESPACE } as const;
  const put = async (): Promise<void> => {
    const namespace = await cluster.get(ref);
    if (!namespace || namespace.metadata.deletionTimestamp) {
      const message = `namespace ${NAMESPACE} is taken away at this moment by who made it; nothing was changed; call again`;
      throw new ProxyctlError(message, EXIT.runUnderWay);
    }
    const ops = isMade(namespace) ? metadataOps(namespace, { annotations: { [ANNOTATION_EPOCH]: fence } }) : [];
    if (ops.length === 0) return;
    const { resourceVersion } = namespace.metadata;
    try {
      await cluster.patch(ref, [{ op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }, ...ops]);
      return;
    } catch (error) {
      // It has gone since it was read.
      if (error instanceof ApiError && error.status === 404) return put();
      // Who was not given the right to write to it goes on without.
      if (!(error instanceof ApiError) || error.status !== 403) throw error;
    }
  };
  return unraced({ clock }, put);
}

async function createQuietly(cluster: Cluster, object: KubeObject): Promise<void> {
  try {
    await cluster.create(object);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
  }
}

export async function writeRecord(cluster: Cluster, record: RunRecord): Promise<void> {
  const name = recordName(record);
  const text = packed(record).toString('base64');
  const labels = { [LABEL_PART]: PARTS.record, [LABEL_RUN]: record.run };
  try {
    await cluster.create({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: NAMESPACE, labels },
      immutable: true,
      binaryData: { [KEY]: text },
    });
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
    // An answer that was lost on its way, and the request sent again.
    const there = await cluster.get({ kind: 'ConfigMap', namespace: NAMESPACE, name });
    if (there?.binaryData?.[KEY] !== text) throw error;
  }
}

/** Writes the next revision before it removes the last one, so that there is a record at any moment. */
export async function replaceRecord(cluster: Cluster, last: RunRecord, next: RunRecord): Promise<void> {
  await writeRecord(cluster, next);
  await cluster.delete({ kind: 'ConfigMap', namespace: NAMESPACE, name: recordName(last) });
}

/** Writes the run's record with these changes as its next revision. */
export async function revise(
  { run, standing }: Pick<Engine, 'run' | 'standing'>,
  change: Partial<RunRecord>,
): Promise<void> {
  const { record } = standing;
  const next: RunRecord = { ...record, ...change, revision: record.revision + 1 };
  await replaceRecord(run.cluster, record, next);
  standing.record = next;
}

function recordName({ run, revision }: RunRecord): string {
  return revision === 1 ? `run-${run}` : `run-${run}-${revision}`;
}
