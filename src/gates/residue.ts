import { inconclusive, lastTrouble, nodeInFlip, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { MODES } from '../core/mode.ts';
import { few } from '../core/words.ts';

/** Frozen rules of a mode that is gone still act: they drop NodePort traffic once endpoints have moved on. */
export const residue = defineGate({
  id: 'residue',
  title: 'Nothing of another mode is left in the kernel',
  hint: "never run 'kube-proxy --cleanup' on a live node, the modes share chains; 'proxyctl rollback' or a reboot removes it",
  moments: ['after-node', 'verify'],
  observe(look) {
    return { sample: nodeInFlip(look).view.kernel };
  },
  judge({ sample }, look) {
    const node = nodeInFlip(look);
    const summary = `only ${node.expected} rules in the kernel`;
    const not = (message: string) => ({ findings: [inconclusive(node.name, message)], summary });
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary };
    if (!sample) return not('the kernel has not been read yet');
    if (tooOld(sample, node)) return not('the kernel was not read since kube-proxy was started');
    const left = node.expected === node.to ? node.from : node.to;
    const findings: Finding[] = MODES.filter(mode => mode !== node.expected).flatMap((mode): Finding[] => {
      const rules = sample.modes[mode];
      // A flip is between two modes, and no third one stops it; outside runs any may have left something.
      const isDue = mode === left || look.moment === 'verify';
      const unread = `the rules of mode ${mode} could not be read${lastTrouble(node)}`;
      if (!rules) return isDue ? [inconclusive(node.name, unread)] : [];
      if (rules.traces.length === 0) return [];
      const message = `${mode} is left behind: ${few(rules.traces, 8)}`;
      return [{ level: 'error', subject: `node ${node.name}`, message }];
    });
    return { findings, summary };
  },
});
