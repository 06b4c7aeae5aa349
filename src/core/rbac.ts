// The rights of a purpose as Kubernetes objects.
import { type ProxyPlace, type Purpose, type Rule, rulesFor } from './access.ts';
import type { KubeObject } from './cluster.ts';
import { NAMESPACE } from './names.ts';
import { nodeAccount, ownNamespace } from './own-namespace.ts';

/** Who is to have the rights. */
export type Subject =
  | { readonly kind: 'User' | 'Group'; readonly name: string }
  | { readonly kind: 'ServiceAccount'; readonly name: string; readonly namespace: string };

const API_GROUP = 'rbac.authorization.k8s.io';
const API = `${API_GROUP}/v1`;

/** In the order in which they can be applied; without subjects there are no bindings. */
export function rbacObjects(purpose: Purpose, place: ProxyPlace, subjects: readonly Subject[]): KubeObject[] {
  const rules = rulesFor(purpose, place);
  const name = `proxyctl-${purpose}`;
  const namespaces = [...new Set(rules.map(rule => rule.namespace))];
  // Roles in our namespace need it to be there.
  const own = namespaces.includes(NAMESPACE) ? [ownNamespace('given'), nodeAccount()] : [];
  const roles = namespaces.map(namespace => role(name, namespace, rules));
  const bindings = subjects.length === 0 ? [] : namespaces.map(namespace => binding(name, namespace, subjects));
  return [...own, ...roles, ...bindings];
}

function role(name: string, namespace: string | undefined, all: readonly Rule[]): KubeObject {
  const rules = all
    .filter(rule => rule.namespace === namespace)
    .map(({ group, resource, names, verbs }) => ({
      apiGroups: [group],
      resources: [resource],
      ...(names === undefined ? {} : { resourceNames: [...names] }),
      verbs: [...verbs],
    }));
  return {
    apiVersion: API,
    kind: namespace === undefined ? 'ClusterRole' : 'Role',
    metadata: at(name, namespace),
    rules,
  };
}

function binding(name: string, namespace: string | undefined, subjects: readonly Subject[]): KubeObject {
  const [kind, role] = namespace === undefined ? ['ClusterRoleBinding', 'ClusterRole'] : ['RoleBinding', 'Role'];
  const members = subjects.map(subject =>
    subject.kind === 'ServiceAccount' ? { ...subject } : { ...subject, apiGroup: API_GROUP },
  );
  const roleRef = { apiGroup: API_GROUP, kind: role, name };
  return { apiVersion: API, kind, metadata: at(name, namespace), roleRef, subjects: members };
}

function at(name: string, namespace: string | undefined): KubeObject['metadata'] {
  return namespace === undefined ? { name } : { name, namespace };
}
