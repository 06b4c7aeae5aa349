import type { KubeObject } from './cluster.ts';

/** Whether its kubelet has told lately that it is well. */
export function isReady(node: KubeObject): boolean {
  const conditions: { type?: string; status?: string }[] = node.status?.conditions ?? [];
  return conditions.some(c => c.type === 'Ready' && c.status === 'True');
}
