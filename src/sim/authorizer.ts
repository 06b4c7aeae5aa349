// Who may do what, as the API server's RBAC authorizer decides it: Role, ClusterRole and their bindings.
import type { KubeObject } from '../core/cluster.ts';

export interface Who {
  readonly user: string;
  readonly groups: readonly string[];
}

/** A request for objects, as it is authorized. */
export interface Asked {
  readonly verb: string;
  readonly group: string;
  /** Plural with subresource: `pods`, `pods/log`. */
  readonly resource: string;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

interface PolicyRule {
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  verbs: string[];
}

interface Subject {
  kind: string;
  name: string;
  namespace?: string;
}

/** The cluster's administrator, who may do everything; and whom others are impersonated by. */
export const USER = 'simulated-admin';

/** Who asks, by the headers of impersonation. */
export function whoAsks(headers: Readonly<Record<string, readonly string[] | undefined>>): Who {
  const user = headers['impersonate-user']?.[0];
  if (user === undefined) return { user: USER, groups: ['system:masters', 'system:authenticated'] };
  return { user, groups: [...(headers['impersonate-group'] ?? []), 'system:authenticated'] };
}

const KINDS = new Set(['Role', 'ClusterRole', 'RoleBinding', 'ClusterRoleBinding']);

export class Authorizer {
  private objects: KubeObject[] = [];

  /** Takes RBAC objects; gives back those that are of another kind. */
  grant(objects: readonly KubeObject[]): KubeObject[] {
    this.objects.push(...objects.filter(object => KINDS.has(object.kind)));
    return objects.filter(object => !KINDS.has(object.kind));
  }

  /** A namespace went, and what was in it. */
  forget(namespace: string): void {
    this.objects = this.objects.filter(object => object.metadata.namespace !== namespace);
  }

  allows(who: Who, asked: Asked): boolean {
    if (who.groups.includes('system:masters')) return true;
    return this.objects.some(
      binding =>
        bindsIn(binding, asked.namespace) &&
        binding.subjects.some((subject: Subject) => isMeant(subject, who)) &&
        this.rulesOf(binding).some(rule => covers(rule, asked)),
    );
  }

  private rulesOf({ roleRef, metadata }: KubeObject): PolicyRule[] {
    const namespace = roleRef.kind === 'Role' ? metadata.namespace : undefined;
    const role = this.objects.find(
      ({ kind, metadata: m }) => kind === roleRef.kind && m.name === roleRef.name && m.namespace === namespace,
    );
    return role?.rules ?? [];
  }
}

function bindsIn(binding: KubeObject, namespace: string | undefined): boolean {
  if (binding.kind === 'ClusterRoleBinding') return true;
  return binding.kind === 'RoleBinding' && namespace !== undefined && binding.metadata.namespace === namespace;
}

function isMeant({ kind, name, namespace }: Subject, who: Who): boolean {
  if (kind === 'Group') return who.groups.includes(name);
  return who.user === (kind === 'ServiceAccount' ? `system:serviceaccount:${namespace}:${name}` : name);
}

function covers({ apiGroups = [], resources = [], resourceNames = [], verbs }: PolicyRule, asked: Asked): boolean {
  const [, subresource] = asked.resource.split('/');
  const isIn = (list: readonly string[], word: string) => list.includes('*') || list.includes(word);
  return (
    isIn(verbs, asked.verb) &&
    isIn(apiGroups, asked.group) &&
    (isIn(resources, asked.resource) || (subresource !== undefined && resources.includes(`*/${subresource}`))) &&
    (resourceNames.length === 0 || (asked.name !== undefined && resourceNames.includes(asked.name)))
  );
}
