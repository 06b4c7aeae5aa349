// Our rule in the original DaemonSet's template: nodes that bear our label are not its own. Whatever else stands there is not ours.
import { canonicalJson } from '../../core/canonical.ts';
import type { KubeObject, PatchOp } from '../../core/cluster.ts';
import { LABEL_MODE } from '../../core/names.ts';
import { type PodSpec, type Template, type Term, templateOf } from './objects.ts';

/** The DaemonSet's template, kept off the nodes that bear our label. */
export function excludedTemplate(daemonSet: KubeObject): Template {
  const template = templateOf(daemonSet);
  const rule = { key: LABEL_MODE, operator: 'DoesNotExist' };
  const { affinity } = template.spec;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms ?? [{}];
  // Terms are alternatives: the rule must stand in each.
  const nodeSelectorTerms = terms.map(term => {
    const expressions = term.matchExpressions ?? [];
    return isKeptOff(term) ? term : { ...term, matchExpressions: [...expressions, rule] };
  });
  const nodeAffinity = {
    ...affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms },
  };
  template.spec.affinity = { ...affinity, nodeAffinity };
  return template;
}

/** The template without our rule: its affinity as it was in the original, or what somebody else has made of it. */
export function includedTemplate(daemonSet: KubeObject, original: KubeObject): Template {
  const template = templateOf(daemonSet);
  const was = templateOf(original).spec.affinity;
  const affinity = same(template.spec.affinity, excludedTemplate(original).spec.affinity)
    ? was
    : withoutRule(template.spec.affinity);
  delete template.spec.affinity;
  if (affinity !== undefined) template.spec.affinity = affinity;
  return template;
}

/** What holds nothing any more goes with the rule. */
function withoutRule(given: PodSpec['affinity']): PodSpec['affinity'] {
  const affinity = structuredClone(given);
  const nodes = affinity?.nodeAffinity;
  const required = nodes?.requiredDuringSchedulingIgnoredDuringExecution;
  if (!required?.nodeSelectorTerms.some(isKeptOff)) return given;
  for (const term of required.nodeSelectorTerms) {
    const others = term.matchExpressions?.filter(e => e.key !== LABEL_MODE) ?? [];
    if (others.length > 0) term.matchExpressions = others;
    else delete term.matchExpressions;
  }
  required.nodeSelectorTerms = required.nodeSelectorTerms.filter(term => Object.keys(term).length > 0);
  if (required.nodeSelectorTerms.length === 0) delete nodes?.requiredDuringSchedulingIgnoredDuringExecution;
  if (nodes && Object.keys(nodes).length === 0) delete affinity?.nodeAffinity;
  return affinity && Object.keys(affinity).length > 0 ? affinity : undefined;
}

function isKeptOff({ matchExpressions = [] }: Term): boolean {
  return matchExpressions.some(e => e.key === LABEL_MODE);
}

/** Equal as data; key order and absent-against-undefined do not count. */
export function same(a: unknown, b: unknown): boolean {
  return canonicalJson(a ?? null) === canonicalJson(b ?? null);
}

/** Pods restart when they are deleted, and not before. */
const ON_DELETE: PatchOp = { op: 'replace', path: '/spec/updateStrategy', value: { type: 'OnDelete' } };

/** Of the template its affinity alone is ours: whatever else somebody writes to it meanwhile stays. */
export function templateOps(object: KubeObject, { spec: { affinity } }: Template): PatchOp[] {
  const path = '/spec/template/spec/affinity';
  const now: unknown = object.spec.template.spec.affinity;
  const ops: PatchOp[] = affinity === undefined ? [{ op: 'remove', path }] : [{ op: 'add', path, value: affinity }];
  return [
    // Somebody else may have set it back: then the controller would restart what nobody looks at.
    ...(object.spec.updateStrategy.type === 'OnDelete' ? [] : [ON_DELETE]),
    ...(same(now, affinity) ? [] : ops),
  ];
}
