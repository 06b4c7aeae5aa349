import { defineGate } from '../core/gate.ts';

/** Whoever applies the objects anew turns a half-done migration into an unplanned flip of every node. */
export const ownership = defineGate({
  id: 'ownership',
  title: 'Nobody else puts the kube-proxy objects back',
  hint: 'pause the owner for the run and write the new mode into its source before finalize',
  moments: ['preflight'],
  observe: look => look.inventory.proxy,
  judge({ owners, daemonSet }) {
    const subject = daemonSet ? `daemonset ${daemonSet.namespace}/${daemonSet.name}` : 'cluster';
    const findings = owners.map(owner => {
      const message = `somebody else owns it and will revert the change: ${owner}`;
      return { level: 'error' as const, subject, message };
    });
    return { findings, summary: 'no owner was found' };
  },
});
