import { inconclusive, nodeInFlip, START_SLACK, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding, type NodeInFlip } from '../core/gate.ts';
import type { ProxySample } from '../core/observation.ts';

/** Changes that wait no longer than this for their sync are ordinary work, seconds. */
const LAG_FLOOR = 2;

/** Pod Ready, /healthz and rollout status are green on a node without a single rule; these figures are not. */
export const convergence = defineGate({
  id: 'convergence',
  title: 'kube-proxy has written all rules of every address family',
  hint: "look for 'Failed to execute' or 'sync failed' in the kube-proxy pod's log on the node",
  moments: ['prove', 'after-node', 'verify'],
  observe(look) {
    const node = nodeInFlip(look);
    return { sample: node.view.proxy[node.slot], before: node.baseline.proxy.main };
  },
  judge({ sample, before }, look) {
    const node = nodeInFlip(look);
    const summary = `${Object.keys(sample?.families ?? {}).join(' and ')} in sync, no failures`;
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary };
    if (!sample) return notYet(node, summary, `nothing is known of the ${node.slot} kube-proxy yet`);
    if (tooOld(sample, node))
      return notYet(node, summary, `the ${node.slot} kube-proxy was not asked since it was started`);
    if (!sample.up) return notYet(node, summary, `the ${node.slot} kube-proxy does not answer`);
    if (sample.processStart === null || sample.failures === null) {
      return notYet(node, summary, `the metrics of the ${node.slot} kube-proxy could not be read`);
    }
    if (node.askedAt !== undefined && sample.processStart < node.askedAt - START_SLACK) {
      return notYet(node, summary, 'the old kube-proxy still answers');
    }
    const findings: Finding[] = openFamilies(sample, sample.processStart, before).map(text =>
      inconclusive(node.name, text),
    );
    if (sample.failures > 0) {
      const message = `the ${node.slot} kube-proxy failed to write its rules ${sample.failures} times since it started`;
      const level = look.moment === 'verify' && isLongAgo(sample, before) ? 'warning' : 'error';
      findings.push({ level, subject: `node ${node.name}`, message });
    }
    // Necessary, never sufficient. Nothing at all answers where the configuration turns it off.
    const { healthz } = sample;
    if (healthz === null ? before?.healthz != null : healthz !== 200) {
      findings.push(
        inconclusive(node.name, `/healthz of the ${node.slot} kube-proxy says ${healthz ?? 'nothing'}, not 200`),
      );
    }
    return { findings, summary };
  },
});

/** Outside runs a kube-proxy may have run for months: what failed once and does not any more stops nobody. */
function isLongAgo(sample: ProxySample, before: ProxySample | undefined): boolean {
  return before?.processStart === sample.processStart && before.failures === sample.failures;
}

/** What each address family still waits for. A family that the node had before must come back. */
function openFamilies(sample: ProxySample, processStart: number, before: ProxySample | undefined): string[] {
  const names = new Set(Object.keys(sample.families));
  const synced = Object.entries(before?.families ?? {}).filter(([, f]) => f.lastSync !== null);
  // `any` stands for all families together, in versions whose metrics do not tell them apart.
  if (!names.has('any')) for (const [name] of synced) if (name !== 'any') names.add(name);
  if (names.size === 0) return ['no address family has been synced yet'];
  const lag = Math.max(2 * (sample.syncSeconds ?? 0), LAG_FLOOR);
  return [...names].flatMap(name => {
    const { lastSync, lastQueued } = sample.families[name] ?? { lastSync: null, lastQueued: null };
    if (lastSync === null || lastSync < processStart) return [`${name} has not been synced since kube-proxy started`];
    const behind = (lastQueued ?? 0) - lastSync;
    return behind > lag ? [`${name} is ${behind.toFixed(1)} s behind the changes it was told`] : [];
  });
}

function notYet(node: NodeInFlip, summary: string, message: string): { findings: Finding[]; summary: string } {
  return { findings: [inconclusive(node.name, message)], summary };
}
