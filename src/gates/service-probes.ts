import { inconclusive, nodeInFlip, silence } from '../core/evidence.ts';
import { defineGate, type Finding, type Look, type Moment, type NodeInFlip } from '../core/gate.ts';
import { byDesign, isReopened, isUnserved } from '../core/mode-differences.ts';
import type { ProbeTally } from '../core/node-view.ts';
import type { Outcome, Vantage } from '../core/observation.ts';
import {
  KIND_LABELS,
  kindOfTarget,
  OWN_KINDS,
  PROBE_KINDS,
  type ProbeKind,
  serviceOfTarget,
} from '../core/probe-kind.ts';
import { flipTally, tallyText, wasBad } from '../core/probe-tally.ts';
import { outdatedTargets } from '../core/service-now.ts';
import { count, few } from '../core/words.ts';

const VANTAGES: readonly Vantage[] = ['host', 'pod'];
/** Complete rounds without which a view says nothing. */
const MIN_ROUNDS = 2;
/** Share of the usual targets: a dial that could not be made, for want of ports or files, says nothing about its target. */
const MIN_DIALLED = 0.9;
/** Refusals seen before the flip, and of those that stay away now: so many are a pattern. */
const MIN_REFUSALS = 2;
const SILENT_REFUSALS = 4;

/** Each Service is compared with itself before the flip, so one that was down before does not stop the run. */
export const serviceProbes = defineGate({
  id: 'service-probes',
  title: 'Services answer from the node as they did before',
  hint: "'proxyctl rollback' puts the node back; then compare the Service's endpoints with the kernel's rules",
  moments: ['before-node', 'prove', 'after-node', 'verify'],
  observe(look) {
    const { view, baseline } = nodeInFlip(look);
    const newly = VANTAGES.flatMap(v =>
      [...(view.rounds[v]?.bad.keys() ?? [])].filter(id => !wasBad(baseline.rounds[v], id)),
    );
    return { outdated: outdatedTargets(look, newly) };
  },
  judge({ outdated }, look) {
    const node = nodeInFlip(look);
    const findings = VANTAGES.flatMap(vantage => fromVantage(look, node, vantage, outdated));
    if (look.moment === 'after-node' || look.moment === 'verify') findings.push(...notLookedAt(node, look.moment));
    const tally = flipTally(look, node);
    return { findings, summary: tallyText(tally, tally.kinds) };
  },
});

function fromVantage(look: Look, node: NodeInFlip, vantage: Vantage, outdated: ReadonlyMap<string, string>): Finding[] {
  const silent = silence(node, vantage);
  if (silent) return [silent];
  const tally = node.view.rounds[vantage];
  const before = node.baseline.rounds[vantage];
  // The gates before a flip may be asked before anybody has set a mark: what is bad now was bad before.
  const first = look.moment === 'before-node' && !before;
  if (!first && (before?.rounds ?? 0) === 0) {
    return [inconclusive(node.name, `nothing is known from the ${vantage} watcher of the time before the flip`)];
  }
  if (!tally || tally.rounds < MIN_ROUNDS) {
    const rounds = `${tally?.rounds ?? 0} of ${MIN_ROUNDS} probe rounds`;
    return [inconclusive(node.name, `the ${vantage} watcher has completed ${rounds}`)];
  }
  const share = tooFew(look, tally, before);
  if (share !== undefined) return [inconclusive(node.name, `the ${vantage} watcher dialled ${share} a round`)];
  const judged = [...tally.bad].flatMap(([id, now]): Finding[] => {
    if (now.total === 0) return [];
    const earlier = first ? now : before?.bad.get(id);
    const where = `${id} from the ${vantage} network of ${node.name}`;
    const failing = { look, node, vantage, id, where, now };
    if (look.moment === 'verify' && isOwn(id)) return [ownBroken(failing, earlier?.total ?? 0)];
    const said =
      earlier && earlier.total > 0 ? stillBroken(failing, earlier.outcome) : broken(failing, outdated.get(id));
    return said ? [{ ...said, subject: `service ${serviceOfTarget(id)}` }] : [];
  });
  return [...withoutRepeats(judged), ...refusals(node, vantage, tally, before)];
}

/** What was dialled of what, where it is too little to say anything; each kind counts by itself. */
function tooFew(look: Look, tally: ProbeTally, baseline: ProbeTally | undefined): string | undefined {
  const usual = baseline && baseline.rounds > 0 ? baseline : tally;
  const isNone = tally.attempts === 0 && look.inventory.services.some(s => s.proxied);
  const shares = [
    { name: '', now: tally.attempts, before: usual.attempts },
    ...PROBE_KINDS.map(kind => ({
      name: ` ${KIND_LABELS[kind]}`,
      now: tally.kinds[kind] ?? 0,
      before: usual.kinds[kind] ?? 0,
    })),
  ];
  for (const { name, now, before } of shares) {
    const dialled = now / tally.rounds;
    const due = before / usual.rounds;
    if (isNone || dialled < due * MIN_DIALLED) return `${Math.round(dialled)} of ${Math.round(due)}${name} targets`;
  }
  return undefined;
}

interface Failing {
  readonly look: Look;
  readonly node: NodeInFlip;
  readonly vantage: Vantage;
  readonly id: string;
  readonly where: string;
  readonly now: { readonly total: number; readonly inARow: number; readonly outcome: Outcome };
}
type Said = Pick<Finding, 'level' | 'message'>;

/** A target that answered before. */
function broken({ look, node, vantage, id, where, now }: Failing, excuse: string | undefined): Said {
  const text = `${where}: ${now.outcome}`;
  if (excuse !== undefined) return { level: 'warning', message: `${text}, but ${excuse}` };
  const reason = byDesign(look, node, vantage, id);
  if (reason !== undefined) return { level: 'warning', message: `by design: ${reason}` };
  if (isReopened(id, now)) {
    const rounds = `${where} did not answer in ${count(now.total, 'round')}`;
    return { level: 'warning', message: `by design: ${rounds}: kube-proxy opens it with its first sync` };
  }
  const inARow = `${text}, ${count(now.inARow, 'time')} in a row`;
  if (now.inARow >= look.playbook.gates.probes.failures) {
    return { level: 'error', message: `${inARow}, and it answered before` };
  }
  if (now.inARow > 0) return { level: 'inconclusive', message: `${inARow}; the next round tells` };
  if (kindOfTarget(id) === 'affinity' && now.outcome === 'moved') {
    return {
      level: 'warning',
      message: 'by design: the modes do not share what they know of session affinity, so clients move once',
    };
  }
  return {
    level: 'warning',
    message: `${where}: ${count(now.total, 'failed attempt')} that did not repeat, the last one ${now.outcome}`,
  };
}

/** A target that was bad before. */
function stillBroken({ look, node, id, where, now }: Failing, earlier: Outcome): Said | undefined {
  if (isUnserved(look, node, id)) return undefined;
  // Outside runs there was no time before.
  const ever = look.moment === 'verify' ? '' : `; it was already failing before (${earlier})`;
  return { level: 'warning', message: `${where}: ${now.outcome}${ever}` };
}

/** Outside runs no time before is needed to judge our own Service: nobody else answers for it. */
function ownBroken({ look, node, vantage, id, now }: Failing, before: number): Finding {
  const { failures } = look.playbook.gates.probes;
  const moved = now.outcome === 'moved';
  // Of four connections all may reach the same endpoint by chance, so `in a row` says too little.
  const times = moved ? now.total + before : now.inARow;
  const what = moved
    ? 'session affinity does not hold: a client reached both endpoints'
    : `a client does not reach the endpoints: ${now.outcome}`;
  const text = `${KIND_LABELS[kindOfTarget(id)]} of the probe Service, ${vantage} network: ${what}`;
  const subject = `node ${node.name}`;
  const said = `${text}, ${count(times, 'time')}`;
  if (times >= failures) return { level: 'error', subject, message: said };
  if (now.inARow > 0) return { level: 'inconclusive', subject, message: `${said}; the next round tells` };
  return { level: 'warning', subject, message: `${text}, ${count(now.total, 'time')}, and not again` };
}

function isOwn(id: string): boolean {
  return OWN_KINDS.includes(kindOfTarget(id));
}

/** A Service has many addresses; what is said of it once is enough. */
function withoutRepeats(findings: readonly Finding[]): Finding[] {
  const said = new Map(findings.map(f => [`${f.level} ${f.subject} ${f.message}`, f]));
  return [...said.values()];
}

/**
 * A Service without endpoints refuses, in every mode. The kernel sends refusals (ICMP) only so often (net.ipv4.icmp_ratelimit),
 * so a single one that stays away says nothing: it takes that all came before and none comes any more.
 */
function refusals(
  { name }: NodeInFlip,
  vantage: Vantage,
  { refusals: now }: ProbeTally,
  before: ProbeTally | undefined,
): Finding[] {
  const earlier = before?.refusals;
  if (!earlier || earlier.asked < MIN_REFUSALS || earlier.silent > 0 || now.silentInARow < 2) return [];
  const what = `Services without endpoints were refused from the ${vantage} network of ${name}, and now time out`;
  const message = `${what} (${count(now.silentInARow, 'time')} in a row)`;
  const level = now.silentInARow >= SILENT_REFUSALS ? 'error' : 'inconclusive';
  return [{ level, subject: `node ${name}`, message }];
}

/** Said once it matters, for it must not look as if it had been seen. Only after a flip it takes to have been seen before. */
function notLookedAt({ name, baseline, view }: NodeInFlip, moment: Moment): Finding[] {
  const [views, when] = moment === 'verify' ? [[baseline, view], ''] : [[baseline], ' before the flip'];
  const seen = (kind: ProbeKind) => VANTAGES.some(v => views.some(({ rounds }) => (rounds[v]?.kinds[kind] ?? 0) > 0));
  const missing = OWN_KINDS.filter(kind => !seen(kind)).map(kind => KIND_LABELS[kind]);
  if (missing.length === 0) return [];
  const message = `not looked at: ${few(missing)}; the probe Service of the watcher did not answer${when}`;
  return [{ level: 'warning', subject: `node ${name}`, message }];
}
