import { nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { atLeast, MODE_NEEDS, majorMinor } from '../core/mode.ts';
import { count } from '../core/words.ts';

/** kube-proxy checks the kernel itself, but only after it has removed the old rules. */
export const kernelVersion = defineGate({
  id: 'kernel-version',
  title: 'Every kernel is new enough for the mode',
  hint: 'update or replace these nodes first, or list them in order.exclude of the playbook',
  moments: ['preflight'],
  observe: look => nodesInScope(look),
  judge(nodes, look) {
    const floor = MODE_NEEDS[look.to].kernel;
    const findings = nodes.flatMap((node): Finding[] => {
      const subject = `node ${node.name}`;
      const version = majorMinor(node.kernel);
      if (!version)
        return [{ level: 'inconclusive', subject, message: `kernel version '${node.kernel}' could not be read` }];
      if (atLeast(version, floor)) return [];
      return [
        {
          level: 'error',
          subject,
          message: `kernel ${version.join('.')} is older than ${floor.join('.')}, which ${look.to} needs`,
        },
      ];
    });
    return { findings, summary: `${count(nodes.length, 'node')}, kernel ${floor.join('.')} or newer` };
  },
});
