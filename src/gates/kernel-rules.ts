import { compareRules, type RuleFlaw } from '../core/compare-rules.ts';
import { inconclusive, judgedMode, lastTrouble, nodeInFlip, silence, tooOld } from '../core/evidence.ts';
import { defineGate, type Finding, type Look, type NodeInFlip } from '../core/gate.ts';
import type { Mode } from '../core/mode.ts';
import { rulePlace, type Whereabouts, whereaboutsOf } from '../core/rule-place.ts';
import type { RulesView } from '../core/rules-view.ts';
import type { ServiceTruth } from '../core/service-truth.ts';
import { count, few } from '../core/words.ts';

/** A look at the kernel that began longer ago tells nothing of now, ms. */
const OLD_MS = 120_000;
/** The lag is never longer, however slow kube-proxy's syncs are, ms. */
const MAX_LAG_MS = 300_000;
/** In a run, where every repetition is written down, so many Services are named. */
const NAMED = 50;

interface Seen {
  readonly mode: Mode;
  readonly kernel: RulesView | undefined;
  readonly truth: ServiceTruth | undefined;
  readonly whereabouts: Whereabouts;
}

/** What the API says must stand in the kernel; a sync that reports success has been seen to leave nothing. */
export const kernelRules = defineGate({
  id: 'kernel-rules',
  title: 'The kernel does for every Service what the API says',
  hint: 'kube-proxy reports a sync that the kernel does not show: see its log, and whether another program changes rules',
  moments: ['before-node', 'prove', 'after-node', 'verify'],
  async observe(look): Promise<Seen> {
    const mode = judgedMode(look);
    const { name, view } = nodeInFlip(look);
    return { mode, kernel: view.rules[mode], truth: look.truth, whereabouts: await whereaboutsOf(look, name) };
  },
  judge({ mode, kernel, truth, whereabouts }, look) {
    const node = nodeInFlip(look);
    const summary = `${mode} rules as the API says`;
    const doubt = silence(node, 'host') ?? doubts(node, mode, kernel, truth);
    if (doubt || !kernel || !truth) return { findings: doubt ? [doubt] : [], summary };
    return compared({ node, mode, kernel, truth, whereabouts }, look);
  },
});

/** Why nothing can be said, whatever the rules are. */
function doubts(
  node: NodeInFlip,
  mode: Mode,
  kernel: RulesView | undefined,
  truth: ServiceTruth | undefined,
): Finding | undefined {
  const not = (message: string) => inconclusive(node.name, message);
  if (!kernel) return not(`the ${mode} rules in the kernel have not been read${lastTrouble(node)}`);
  if (tooOld(kernel, node)) return not('the kernel was not read since kube-proxy was started');
  if (node.aloneSince !== undefined && Date.parse(kernel.t) / 1000 < node.aloneSince)
    return not('the kernel was not read since the old kube-proxy ended');
  const age = node.now - readAt(kernel, node);
  if (age > OLD_MS) return not(`the kernel was last read ${Math.round(age / 1000)} s ago`);
  if (!truth) return not('nobody has read what the API says of Services');
  const trouble = truth.trouble(node.now);
  return trouble === undefined ? undefined : not(trouble);
}

interface Comparable {
  readonly node: NodeInFlip;
  readonly mode: Mode;
  readonly kernel: RulesView;
  readonly truth: ServiceTruth;
  readonly whereabouts: Whereabouts;
}

function compared(comparable: Comparable, look: Look): { findings: Finding[]; summary: string } {
  const { node, mode, kernel, truth, whereabouts } = comparable;
  const place = rulePlace(node, mode, whereabouts, truth.options);
  const since = readAt(kernel, node) - lagMs(node, truth, look);
  const { flaws, lagging, compared } = compareRules(truth.history, place, { rules: kernel.rules, since });
  const changing = lagging.size === 0 ? '' : `, ${count(lagging.size, 'Service')} just changing`;
  const summary = `${count(compared, 'Service port')} in ${mode} rules as the API says${changing}`;
  if (flaws.length === 0) return { findings: [], summary };
  const not = (message: string) => ({ findings: [inconclusive(node.name, message)], summary });
  // Outside runs nobody knows when a kube-proxy that does not answer will write again: what is wrong now counts.
  const mute = look.moment === 'verify' && node.view.proxy[node.slot]?.up === false;
  if (!mute && readBeforeSync(kernel, node)) return not('the kernel was read before the first sync; it is read again');
  if ((truth.history.since ?? Number.POSITIVE_INFINITY) > since) {
    return not('the API has not been watched for long enough to tell what is wrong from what is late');
  }
  if (kernel.rules.size === 0 && compared > 0) {
    const message = `no ${mode} rules of kube-proxy are in the kernel`;
    return { findings: [{ level: 'error', subject: `node ${node.name}`, message }], summary };
  }
  return { findings: findingsOf(flaws, `node ${node.name}`, mode, look), summary };
}

/** When the reading of the kernel began, by our own clock, ms. */
export function readAt({ t }: RulesView, { view }: NodeInFlip): number {
  return Date.parse(t) + (view.offset ?? 0);
}

/** How far the kernel may be behind: kube-proxy gathers changes for a while, and takes its time to write them. */
export function lagMs({ view, slot }: NodeInFlip, { options }: ServiceTruth, { playbook }: Look): number {
  const syncSeconds = view.proxy[slot]?.syncSeconds ?? 0;
  const seconds = playbook.gates.lag + options.minSyncSeconds + 2 * syncSeconds;
  return Math.min(seconds * 1000, MAX_LAG_MS);
}

/** What is wrong in a table that was read before kube-proxy had first written it is no finding yet. */
function readBeforeSync({ t }: RulesView, node: NodeInFlip): boolean {
  const { synced, proxy } = node.view;
  const { [node.slot]: first } = synced;
  if (!first || first.start !== proxy[node.slot]?.processStart) return true;
  return Date.parse(t) / 1000 <= first.at;
}

/** One for each Service; what belongs to none is the node's. */
function findingsOf(flaws: readonly RuleFlaw[], node: string, mode: Mode, { moment }: Look): Finding[] {
  const byService = [...Map.groupBy(flaws, flaw => flaw.service)];
  const limit = moment === 'verify' ? byService.length : NAMED;
  const findings = byService.slice(0, limit).map(([service, own]): Finding => {
    if (service !== undefined) {
      const says = own.map(({ at, detail }) => `${at} ${detail}`);
      return { level: 'error', subject: `service ${service}`, message: `on ${node}, ${mode}: ${few(says, 3)}` };
    }
    const message = `${mode} rules that belong to no Service: ${few(own.map(({ at }) => at))}`;
    return { level: 'error', subject: node, message };
  });
  const left = byService.length - findings.length;
  if (left === 0) return findings;
  return [
    ...findings,
    { level: 'error', subject: node, message: `${count(left, 'more Service')} wrong in ${mode} rules` },
  ];
}
