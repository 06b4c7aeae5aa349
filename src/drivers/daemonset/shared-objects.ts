// kube-proxy's own objects. Others may write to them in the middle of a run; what they did is found before a node depends on it.
import { changedFields } from '../../core/changed-fields.ts';
import type { KubeObject, Ref } from '../../core/cluster.ts';
import type { RunContext } from '../../core/driver.ts';
import { EXIT, ProxyctlError } from '../../core/errors.ts';
import { configuredMode, type Mode } from '../../core/mode.ts';
import { few } from '../../core/words.ts';
import { type ConfigEdit, editConfig, parseConfig } from '../config-text.ts';
import { excludedTemplate, includedTemplate, same } from './exclusion.ts';
import { namespaceOf } from './pods.ts';

export function originalRef(run: RunContext): Ref {
  return { kind: 'DaemonSet', namespace: namespaceOf(run), name: run.originals.daemonSet.metadata.name };
}

export function configMapRef(run: RunContext): Ref {
  return { kind: 'ConfigMap', namespace: namespaceOf(run), name: run.originals.configMap.metadata.name };
}

/** What somebody else has changed in the original DaemonSet's template since the run began; our rule in it is no such thing. */
export async function foreignFields(run: RunContext): Promise<string[]> {
  const { daemonSet } = run.originals;
  const object = await run.cluster.get(originalRef(run));
  if (!object) throw changed(originalRef(run), 'it is gone; put it back, then go on');
  return changedFields(daemonSet.spec.template, includedTemplate(object, daemonSet), 'spec.template');
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
  const ref = originalRef(run);
  const object = await run.cluster.get(ref);
  if (object && same(object.spec.template, excludedTemplate(object))) return;
  const what = `${ref.kind} ${ref.namespace}/${ref.name} was put back by somebody else since the run began`;
  throw new ProxyctlError(`${what}; stop what does that (GitOps, an add-on manager), then go on`, EXIT.halted);
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
  const text = textIn(run, await run.cluster.get(ref));
  const says = text === undefined ? undefined : configuredMode(parseConfig(text));
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
  const [was, now] = [run.originals.configMap, object].map(each => parseConfig(textIn(run, each) ?? '{}'));
  const keys = Object.keys({ ...was, ...now }).filter(key => !same(was?.[key], now?.[key]));
  const where = keys.length > 0 ? ` (${few(keys)})` : '';
  return changed(configMapRef(run), `put back what it said${where}, then go on`);
}

function changed(ref: Ref, advice: string): ProxyctlError {
  const what = `${ref.kind} ${ref.namespace}/${ref.name} was changed by somebody else since the run began`;
  return new ProxyctlError(`${what}; ${advice}`, EXIT.halted);
}
