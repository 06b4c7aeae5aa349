import { inconclusive, nodeInFlip, silence } from '../core/evidence.ts';
import { defineGate, type ForcedChange, type Look } from '../core/gate.ts';
import type { Mode } from '../core/mode.ts';
import type { RulesView } from '../core/rules-view.ts';
import { lagMs, readAt } from './kernel-rules.ts';

interface Seen {
  readonly mode: Mode;
  readonly rules: RulesView | undefined;
  readonly change: ForcedChange | undefined;
  /** How long rules may be behind the API, ms. */
  readonly lag: number;
}

/** A kube-proxy that wrote its rules once and then no more passes everything that looks at one moment. */
export const followsChanges = defineGate<Seen>({
  id: 'follows-changes',
  title: "The node's rules follow a change of endpoints",
  hint: 'kube-proxy wrote its rules once and does not follow: see its log, and whether it has access to the API server',
  moments: ['soak'],
  observe(look) {
    const node = nodeInFlip(look);
    if (!look.truth) throw new Error('nobody follows what the API says of Services');
    const mode = node.expected;
    return { mode, rules: node.view.rules[mode], change: look.change, lag: lagMs(node, look.truth, look) };
  },
  judge({ mode, rules, change, lag }, look: Look) {
    const node = nodeInFlip(look);
    const summary = `${mode} rules followed a change of endpoints`;
    const not = (message: string) => ({ findings: [inconclusive(node.name, message)], summary });
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary };
    if (!change) return not('no endpoint was changed to see whether it follows');
    if (!rules) return not(`the ${mode} rules in the kernel have not been read`);
    const read = readAt(rules, node);
    if (read < change.at) return not('the kernel has not been read since the change of endpoints');
    const endpoints = rules.rules.get(change.key)?.endpoints ?? [];
    if (endpoints.length === 1 && endpoints[0] === change.endpoint) return { findings: [], summary };
    if (read < change.at + lag) return not('its rules do not follow the change of endpoints yet');
    const seconds = Math.round((read - change.at) / 1000);
    const instead = endpoints.length === 0 ? 'nowhere' : `to ${endpoints.join(', ')}`;
    const message = `${seconds} s after a change of endpoints its ${mode} rules for ${change.key} still lead ${instead}, not to ${change.endpoint}`;
    return { findings: [{ level: 'error', subject: `node ${node.name}`, message }], summary };
  },
});
