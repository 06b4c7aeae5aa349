import { inconclusive, nodeInFlip, START_SLACK, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding, type Moment, type NodeInFlip } from '../core/gate.ts';
import type { ProxySample } from '../core/observation.ts';
import { count } from '../core/words.ts';

/** Changes that wait no longer than this for their sync are ordinary work, seconds. */
const LAG_FLOOR = 2;
/** A change that could not be written, as when another program writes at the same time, is made good at once; more are a fault. */
const MOST_PARTIAL = 1;

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
    // kube-proxy lets a change wait so long for those that may follow.
    const waits = look.truth?.options.minSyncSeconds ?? 0;
    const findings: Finding[] = openFamilies(sample, sample.processStart, { before, waits }).map(text =>
      inconclusive(node.name, text),
    );
    for (const said of failed(sample, before, look.moment)) {
      findings.push({ ...said, subject: `node ${node.name}`, message: `the ${node.slot} kube-proxy ${said.message}` });
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
function failed(
  { processStart, failures, partialFailures }: ProxySample,
  before: ProxySample | undefined,
  moment: Moment,
): Pick<Finding, 'level' | 'message'>[] {
  const known = moment === 'verify' && before?.processStart === processStart ? before : undefined;
  const said = (times: number | null, then: number | null | undefined, most: number, text: (n: string) => string) => {
    if (!times) return [];
    const level = times - (then ?? 0) > most ? ('error' as const) : ('warning' as const);
    return [{ level, message: text(count(times, 'time')) }];
  };
  return [
    ...said(failures, known?.failures, 0, n => `failed to write its rules ${n} since it started`),
    ...said(
      partialFailures,
      known?.partialFailures,
      MOST_PARTIAL,
      n => `failed ${n} to write a change since it started, upon which it writes all rules anew`,
    ),
  ];
}

/** What each address family still waits for. A family that the node had before must come back. */
function openFamilies(
  sample: ProxySample,
  processStart: number,
  { before, waits }: { before: ProxySample | undefined; waits: number },
): string[] {
  const names = new Set(Object.keys(sample.families));
  const synced = Object.entries(before?.families ?? {}).filter(([, f]) => f.lastSync !== null);
  // `any` stands for all families together, in versions whose metrics do not tell them apart.
  if (!names.has('any')) for (const [name] of synced) if (name !== 'any') names.add(name);
  if (names.size === 0) return ['no address family has been synced yet'];
  const sync = sample.syncSeconds ?? 0;
  const lag = Math.max(2 * sync, waits + sync, LAG_FLOOR);
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
