import { inconclusive, judgedMode, nodeInFlip, START_SLACK, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';

/** The running kube-proxy says its mode itself; ConfigMap and label only say what was wished. */
export const effectiveMode = defineGate({
  id: 'effective-mode',
  title: 'The running kube-proxy is in the mode it should be in',
  hint: "see the kube-proxy pod's log on the node; it names the mode it chose and why it could not start",
  moments: ['before-node', 'prove', 'after-node', 'verify'],
  observe(look) {
    const node = nodeInFlip(look);
    return { wanted: judgedMode(look), sample: node.view.proxy[node.slot] };
  },
  judge({ wanted, sample }, look) {
    const node = nodeInFlip(look);
    const summary = `${node.slot} kube-proxy in mode ${wanted}`;
    const not = (message: string): { findings: Finding[]; summary: string } => ({
      findings: [inconclusive(node.name, message)],
      summary,
    });
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary };
    if (!sample) return not(`nothing is known of the ${node.slot} kube-proxy yet`);
    if (tooOld(sample, node)) return not(`the ${node.slot} kube-proxy was not asked since it was started`);
    if (!sample.up) return not(`the ${node.slot} kube-proxy does not answer`);
    const { processStart } = sample;
    if (node.askedAt !== undefined && processStart !== null && processStart < node.askedAt - START_SLACK) {
      return not('the old kube-proxy still answers');
    }
    if (sample.mode === null) return not(`the ${node.slot} kube-proxy does not tell its mode`);
    if (sample.mode === wanted) return { findings: [], summary };
    const message = `the ${node.slot} kube-proxy is in mode ${sample.mode}, not ${wanted}`;
    return { findings: [{ level: 'error', subject: `node ${node.name}`, message }], summary };
  },
});
