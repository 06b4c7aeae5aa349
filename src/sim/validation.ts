// What the API server refuses, as far as somebody may run into it.
import type { Kind, KubeObject } from '../core/cluster.ts';
import { equalJson } from './json-patch.ts';
import { matchesSelector } from './selectors.ts';
import { invalid } from './status.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

/** @throws StatusError 422. */
export function validateObject(object: KubeObject): void {
  const kind = object.kind as Kind;
  const { name, labels } = object.metadata;
  if (name.length > 253 || !NAME.test(name)) {
    throw invalid(
      kind,
      name,
      'metadata.name',
      `Invalid value: "${name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`,
    );
  }
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (value.length > 63 || !LABEL_VALUE.test(value)) {
      throw invalid(
        kind,
        name,
        'metadata.labels',
        `Invalid value: "${value}": label ${key}: must be no more than 63 characters, alphanumeric, '-', '_' or '.'`,
      );
    }
  }
  if (kind === 'DaemonSet') {
    const templateLabels = object.spec.template?.metadata?.labels ?? {};
    if (!matchesSelector(object.spec.selector, templateLabels)) {
      const shown = JSON.stringify(templateLabels);
      throw invalid(
        kind,
        name,
        'spec.template.metadata.labels',
        `Invalid value: ${shown}: \`selector\` does not match template \`labels\``,
      );
    }
  }
  if (kind === 'Pod' && object.spec.containers.length === 0)
    throw invalid(kind, name, 'spec.containers', 'Required value');
  if (kind === 'ConfigMap' && sizeOf(object) > 1_048_576) {
    throw invalid(kind, name, '', 'Too long: may not be more than 1048576 bytes');
  }
}

/** Bytes of a ConfigMap's values; keys do not count. */
function sizeOf({ data = {}, binaryData = {} }: KubeObject): number {
  const bytes = (values: Record<string, string>, encoding: 'utf8' | 'base64') =>
    Object.values(values).reduce((sum, value) => sum + Buffer.byteLength(value, encoding), 0);
  return bytes(data, 'utf8') + bytes(binaryData, 'base64');
}

/** @throws StatusError 422 for a change of what must stay. */
export function validateUpdate(before: KubeObject, after: KubeObject): void {
  const kind = before.kind as Kind;
  const { name } = before.metadata;
  if (kind === 'ConfigMap' && before.immutable) {
    const forbidden = 'Forbidden: field is immutable when `immutable` is set';
    if (!after.immutable) throw invalid(kind, name, 'immutable', forbidden);
    for (const field of ['data', 'binaryData']) {
      if (!equalJson(before[field] ?? {}, after[field] ?? {})) throw invalid(kind, name, field, forbidden);
    }
  }
  if (kind === 'DaemonSet' && !equalJson(before.spec.selector, after.spec.selector)) {
    throw invalid(
      kind,
      name,
      'spec.selector',
      `Invalid value: ${JSON.stringify(after.spec.selector)}: field is immutable`,
    );
  }
  if (kind === 'ControllerRevision' && !equalJson(before.data, after.data)) {
    throw invalid(kind, name, 'data', 'Forbidden: field is immutable');
  }
  if (kind === 'Pod' && !equalJson(fixed(before), fixed(after))) {
    throw invalid(
      kind,
      name,
      'spec',
      'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    );
  }
}

/** The part of a pod's spec that must stay. */
function fixed(pod: KubeObject): unknown {
  const { tolerations: _t, activeDeadlineSeconds: _a, containers, ...rest } = pod.spec;
  const withoutImage = containers.map(({ image: _i, ...container }: Record<string, unknown>) => container);
  return { ...rest, containers: withoutImage };
}
