import { inconclusive, judgedMode, nodeInFlip, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding, type NodeInFlip } from '../core/gate.ts';
import type { KernelSample } from '../core/observation.ts';
import { serviceOfTarget } from '../core/probe-targets.ts';
import { outdatedTargets } from '../core/service-now.ts';

/** What the API says must stand in the kernel; a sync that reports success has been seen to leave nothing. */
export const kernelRules = defineGate({
  id: 'kernel-rules',
  title: 'The kernel has a rule for every Service port',
  hint: 'kube-proxy reports a sync that the kernel does not show: see its log, and whether another program flushes rules',
  moments: ['before-node', 'prove', 'after-node'],
  async observe(look) {
    const node = nodeInFlip(look);
    const mode = judgedMode(look);
    const rules = node.view.kernel?.modes[mode];
    return { mode, sample: node.view.kernel, rules, outdated: await outdatedTargets(look, rules?.missing ?? []) };
  },
  judge({ mode, sample, rules, outdated }, look) {
    const node = nodeInFlip(look);
    const subject = `node ${node.name}`;
    const summary = `${rules?.servicePorts ?? 0} Service ports in ${mode} rules`;
    const not = (message: string) => ({ findings: [inconclusive(node.name, message)], summary });
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary };
    if (!sample) return not('the kernel has not been read yet');
    if (tooOld(sample, node)) return not('the kernel was not read since kube-proxy was started');
    if (!rules) return not(`the rules of mode ${mode} could not be read`);
    const flawed = !rules.present || (rules.missing?.length ?? 0) > 0;
    if (flawed && readBeforeSync(sample, node))
      return not('the kernel was read before the first sync; it is read again');
    if (!rules.present) {
      return {
        findings: [{ level: 'error', subject, message: `no ${mode} rules of kube-proxy are in the kernel` }],
        summary,
      };
    }
    if (!rules.missing) return not(`the ${mode} rules were not compared with the Services`);
    const findings = rules.missing.map((id): Finding => {
      const about = `service ${serviceOfTarget(id)}`;
      return outdated.has(id)
        ? {
            level: 'warning',
            subject: about,
            message: `${id} is not probed any more: the Service was deleted or changed`,
          }
        : { level: 'error', subject: about, message: `no ${mode} rule on node ${node.name} for ${id}` };
    });
    return { findings, summary };
  },
});

/** What is missing in a table that was read before kube-proxy had first written it is no finding yet. */
function readBeforeSync(sample: KernelSample, node: NodeInFlip): boolean {
  const { synced, proxy } = node.view;
  const { [node.slot]: first } = synced;
  if (!first || first.start !== proxy[node.slot]?.processStart) return true;
  return Date.parse(sample.t) / 1000 <= first.at;
}
