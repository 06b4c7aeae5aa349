// kube-proxy's own objects. Others may write to them in the middle of a run; what they did is found before a node depends on it.
import { changedFields } from '../../core/changed-fields.ts';
import type { KubeObject, PatchOp, Ref } from '../../core/cluster.ts';
import { configuredMode } from '../../core/configured-mode.ts';
import type { RunContext } from '../../core/driver.ts';
import { ApiError, EXIT, ProxyctlError } from '../../core/errors.ts';
import type { Mode } from '../../core/mode.ts';
import { ANNOTATION_EPOCH } from '../../core/names.ts';
import { fenceOf } from '../../core/run-state.ts';
import { few } from '../../core/words.ts';
import { type ConfigEdit, editConfig, mappingIn } from '../config-text.ts';
import { patchFenced } from '../fenced.ts';
import { excludedTemplate, includedTemplate, same } from './exclusion.ts';
import { proxyContainer, templateOf } from './objects.ts';
import { namespaceOf, POD_SECONDS } from './pods.ts';

export function originalRef(run: RunContext): Ref {
  return { kind: 'DaemonSet', namespace: namespaceOf(run), name: run.originals.daemonSet.metadata.name };
}

export function configMapRef(run: RunContext): Ref {
  return { kind: 'ConfigMap', namespace: namespaceOf(run), name: run.originals.configMap.metadata.name };
}

/** The original DaemonSet as it is now. @throws ProxyctlError 21 when somebody has deleted it. */
export async function original(run: RunContext): Promise<KubeObject> {
  const object = await run.cluster.get(originalRef(run));
  if (!object || object.metadata.deletionTimestamp) throw deleted(run);
  return object;
}

/** Patches the original DaemonSet as `patchFenced` does. @throws ProxyctlError 21 when somebody has deleted it. */
export async function patchOriginal(run: RunContext, change: (object: KubeObject) => PatchOp[]): Promise<void> {
  try {
    await patchFenced(run, originalRef(run), change);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) throw deleted(run, error);
    throw error;
  }
}

/** Whether somebody has deleted the original DaemonSet and not made it anew. */
export async function isDeleted(run: RunContext): Promise<boolean> {
  const object = await run.cluster.get(originalRef(run));
  return !object || object.metadata.deletionTimestamp !== undefined;
}

/** The original DaemonSet as the record has it, kept off flipped nodes, unless somebody else has made it meanwhile. */
export async function remakeOriginal(run: RunContext): Promise<void> {
  const { name, namespace, labels } = run.originals.daemonSet.metadata;
  await run.waitFor(`the deleted DaemonSet ${namespace}/${name} to go`, POD_SECONDS, async () =>
    (await run.cluster.get(originalRef(run)))?.metadata.deletionTimestamp ? undefined : true,
  );
  const { daemonSet } = run.originals;
  const metadata = { name, ...(namespace ? { namespace } : {}), ...(labels ? { labels } : {}) };
  try {
    await run.cluster.create({
      ...daemonSet,
      metadata: { ...metadata, annotations: { [ANNOTATION_EPOCH]: fenceOf(run) } },
      spec: { ...daemonSet.spec, template: excludedTemplate(daemonSet), updateStrategy: { type: 'OnDelete' } },
    });
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
  }
}

/** What somebody else has changed in the original DaemonSet's template since the run began; our rule in it is no such thing. */
export async function foreignFields(run: RunContext): Promise<string[]> {
  const { daemonSet } = run.originals;
  return changedFields(daemonSet.spec.template, includedTemplate(await original(run), daemonSet), 'spec.template');
}

/** Throws when the original DaemonSet is not what it was: nodes would go back to what the run knows nothing of. */
export async function refuseForeign(run: RunContext): Promise<void> {
  const fields = await foreignFields(run);
  if (fields.length === 0) return;
  throw changed(originalRef(run), `${few(fields)}; put that back to go on; 'proxyctl rollback' leaves it as it is now`);
}

/**
 * Throws when somebody took our rule out of the original DaemonSet, as GitOps and add-on managers do: it would start its
 * kube-proxy beside the one of the new mode, on every node that was flipped.
 */
export async function refuseReverted(run: RunContext): Promise<void> {
  const object = await original(run);
  if (same(object.spec.template, excludedTemplate(object))) return;
  const { uid, annotations } = object.metadata;
  // One that bears our fence has had our rule.
  const ours = annotations?.[ANNOTATION_EPOCH]?.startsWith(`${run.id}/`) === true;
  const how = ours || uid === run.originals.daemonSet.metadata.uid ? 'put back' : 'deleted and made anew';
  const what = `${nameOf(originalRef(run))} was ${how} by somebody else since the run began`;
  const second = 'on nodes that were flipped it starts a second kube-proxy';
  throw new ProxyctlError(
    `${what}: ${second}; stop what does that (GitOps, an add-on manager), then go on`,
    EXIT.halted,
  );
}

/** Throws unless the original DaemonSet is as it was, but for our rule, and bears that. */
export async function refuseChanged(run: RunContext): Promise<void> {
  await refuseForeign(run);
  await refuseReverted(run);
}

/** Throws when the shared configuration is not what it was: nodes would be flipped with what nobody wants any more. */
export async function refuseEdited(run: RunContext): Promise<void> {
  const object = await run.cluster.get(configMapRef(run));
  if (textIn(run, object) !== textIn(run, run.originals.configMap)) throw edited(run, object);
}

/** Throws when a kube-proxy of the original DaemonSet would start in another mode: that would be a stock switch, with its gap. */
export async function refuseOtherMode(run: RunContext, node: string, mode: Mode): Promise<void> {
  const ref = configMapRef(run);
  const object = await run.cluster.get(ref);
  const text = textIn(run, object);
  const config = mappingIn(text ?? '{}');
  if (!config) throw edited(run, object);
  const { spec } = templateOf((await run.cluster.get(originalRef(run))) ?? run.originals.daemonSet);
  const { image } = proxyContainer(spec, run.originals);
  const says = text === undefined ? undefined : configuredMode(config, image);
  if (says === mode) return;
  const what = `ConfigMap ${ref.namespace}/${ref.name} says mode ${says ?? 'of no name'}, and so ${node} would start in it`;
  throw new ProxyctlError(`${what} instead of ${mode}; undo what changed it, then go on`, EXIT.halted);
}

/** The text with the edits; one that somebody else has changed is theirs. @throws ProxyctlError 21 then. */
export function committing(run: RunContext, object: KubeObject, edits: readonly ConfigEdit[]): string {
  const text = committedText(run, edits);
  const now = textIn(run, object);
  if (now !== text && now !== textIn(run, run.originals.configMap)) throw edited(run, object);
  return text;
}

/** The shared configuration with the edits, apart from that as it was. */
export function committedText({ originals }: RunContext, edits: readonly ConfigEdit[]): string {
  return editConfig(String(originals.configMap.data[originals.configKey]), edits);
}

function textIn({ originals }: RunContext, object: KubeObject | undefined): string | undefined {
  const text: unknown = object?.data?.[originals.configKey];
  return typeof text === 'string' ? text : undefined;
}

function edited(run: RunContext, object: KubeObject | undefined): ProxyctlError {
  const [was, now] = [run.originals.configMap, object].map(each => mappingIn(textIn(run, each) ?? '{}'));
  const keys = now
    ? Object.keys({ ...was, ...now }).filter(key => !same(was?.[key], now[key]))
    : ['no YAML mapping now'];
  const where = keys.length > 0 ? ` (${few(keys)})` : '';
  return changed(configMapRef(run), `put back what it said${where}, then go on`);
}

function changed(ref: Ref, advice: string): ProxyctlError {
  return new ProxyctlError(`${nameOf(ref)} was changed by somebody else since the run began; ${advice}`, EXIT.halted);
}

function deleted(run: RunContext, cause?: unknown): ProxyctlError {
  const what = `${nameOf(originalRef(run))} was deleted by somebody else since the run began`;
  const advice =
    "put it back as it was to go on; a rollback, or a finalize that has begun, makes it from the run's record";
  return new ProxyctlError(`${what}; ${advice}`, EXIT.halted, cause === undefined ? {} : { cause });
}

function nameOf({ kind, namespace, name }: Ref): string {
  return `${kind} ${namespace}/${name}`;
}
