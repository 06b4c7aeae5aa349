// Label and field selectors, and which nodes a pod template asks for.
import type { KubeObject } from '../core/cluster.ts';
import { badRequest } from './status.ts';

export type Labels = Readonly<Record<string, string>>;
type Match = (labels: Labels) => boolean;

/** Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`. @throws StatusError 400. */
export function labelSelector(text: string): Match {
  const terms = splitTerms(text).map(parseTerm);
  return labels => terms.every(term => term(labels));
}

/** Commas inside parentheses do not separate. */
function splitTerms(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map(term => term.trim())
    .filter(term => term !== '');
}

function parseTerm(term: string): Match {
  const set = /^([^\s=!()]+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(term);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map(v => v.trim());
    return operator === 'in'
      ? labels => values.includes(labels[key] ?? '\0')
      : labels => !values.includes(labels[key] ?? '\0');
  }
  const pair = /^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$/.exec(term);
  if (pair) {
    const [, key = '', operator, value] = pair;
    return operator === '!=' ? labels => labels[key] !== value : labels => labels[key] === value;
  }
  const exists = /^(!?)([^\s=!()]+)$/.exec(term);
  if (!exists) throw badRequest(`unable to parse requirement: ${term}`);
  const [, not, key = ''] = exists;
  return not ? labels => !Object.hasOwn(labels, key) : labels => Object.hasOwn(labels, key);
}

const FIELDS: Record<string, (object: KubeObject) => string> = {
  'metadata.name': object => object.metadata.name,
  'metadata.namespace': object => object.metadata.namespace ?? '',
  'spec.nodeName': object => object.spec?.nodeName ?? '',
  'status.phase': object => object.status?.phase ?? '',
};

/** @throws StatusError 400 for a field that cannot be selected by. */
export function fieldSelector(text: string): (object: KubeObject) => boolean {
  const terms = text.split(',').filter(term => term !== '');
  const checks = terms.map(term => {
    const [, field = '', operator, value = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(term) ?? [];
    const read = FIELDS[field];
    if (!read)
      throw badRequest(`Unable to find "fields" that match selector: field label not supported: ${field || term}`);
    return (object: KubeObject) => (read(object) === value) === (operator !== '!=');
  });
  return object => checks.every(check => check(object));
}

interface Requirement {
  key: string;
  operator: string;
  values?: string[];
}

/** A LabelSelector object as DaemonSets bear one. */
export function matchesSelector(
  selector: { matchLabels?: Labels; matchExpressions?: Requirement[] } | undefined,
  labels: Labels,
): boolean {
  if (!selector) return false;
  const pairs = Object.entries(selector.matchLabels ?? {});
  return pairs.every(([key, value]) => labels[key] === value) && meets(selector.matchExpressions, labels);
}

function meets(requirements: readonly Requirement[] | undefined, labels: Labels): boolean {
  return (requirements ?? []).every(({ key, operator, values }) => {
    const value = labels[key];
    switch (operator) {
      case 'In':
        return value !== undefined && (values ?? []).includes(value);
      case 'NotIn':
        return value === undefined || !(values ?? []).includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      case 'Gt':
        return Number(value) > Number(values?.[0]);
      case 'Lt':
        return Number(value) < Number(values?.[0]);
      default:
        return false;
    }
  });
}

interface Term {
  matchExpressions?: Requirement[];
  matchFields?: Requirement[];
}

/** Node selector and required node affinity; taints are taken as tolerated. */
export function wantsNode(podSpec: KubeObject['spec'], node: KubeObject): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(podSpec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const required = podSpec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms: Term[] | undefined = required?.nodeSelectorTerms;
  if (!terms) return true;
  const fields = { 'metadata.name': node.metadata.name };
  // An empty term matches nothing.
  return terms.some(
    term =>
      (term.matchExpressions?.length || term.matchFields?.length) &&
      meets(term.matchExpressions, labels) &&
      meets(term.matchFields, fields),
  );
}
