import type { KubeObject } from './cluster.ts';
import { LABEL_PART, NAMESPACE, NODE_ACCOUNT, PARTS } from './names.ts';

/** Pods on the host network look at the kernel: the Pod Security Standards let that pass as `privileged` only. */
const PRIVILEGED = { 'pod-security.kubernetes.io/enforce': 'privileged' };

/** Our own namespace: `made` by a run, which removes it in the end, or given to us with rights in it. */
export function ownNamespace(from: 'made' | 'given'): KubeObject {
  const labels = { ...PRIVILEGED, ...(from === 'made' ? { [LABEL_PART]: PARTS.namespace } : {}) };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } };
}

/** Whether a run made this namespace. */
export function isMade(namespace: KubeObject): boolean {
  return namespace.metadata.labels?.[LABEL_PART] === PARTS.namespace;
}

/** The account of the pods that we put on nodes. */
export function nodeAccount(): KubeObject {
  const metadata = { name: NODE_ACCOUNT, namespace: NAMESPACE };
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false };
}
