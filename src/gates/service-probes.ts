import { inconclusive, nodeInFlip, silence } from '../core/evidence.ts';
import { defineGate, type Finding, type Look, type NodeInFlip } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import type { ProbeTally } from '../core/node-view.ts';
import type { Outcome, Vantage } from '../core/observation.ts';
import { serviceOfTarget } from '../core/probe-targets.ts';
import { outdatedTargets } from '../core/service-now.ts';
import { count } from '../core/words.ts';

const VANTAGES: readonly Vantage[] = ['host', 'pod'];
/** Complete rounds without which a view says nothing. */
const MIN_ROUNDS = 2;
/** Share of the usual targets: a dial that could not be made, for want of ports or files, says nothing about its target. */
const MIN_DIALLED = 0.9;

/** Each Service is compared with itself before the flip, so one that was down before does not stop the run. */
export const serviceProbes = defineGate({
  id: 'service-probes',
  title: 'Services answer from the node as they did before',
  hint: "'proxyctl rollback' puts the node back; then compare the Service's endpoints with the kernel's rules",
  moments: ['before-node', 'prove', 'after-node'],
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
    const attempts = VANTAGES.reduce((sum, v) => sum + (node.view.rounds[v]?.attempts ?? 0), 0);
    return { findings, summary: `0 of ${count(attempts, 'connection')} failed` };
  },
});

function wasBad(tally: ProbeTally | undefined, id: string): boolean {
  return (tally?.bad.get(id)?.total ?? 0) > 0;
}

function fromVantage(look: Look, node: NodeInFlip, vantage: Vantage, outdated: ReadonlySet<string>): Finding[] {
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
    return [
      inconclusive(
        node.name,
        `the ${vantage} watcher has completed ${tally?.rounds ?? 0} of ${MIN_ROUNDS} probe rounds`,
      ),
    ];
  }
  const dialled = tally.attempts / tally.rounds;
  const usual = before && before.rounds > 0 ? before.attempts / before.rounds : dialled;
  const none = dialled === 0 && look.inventory.services.some(s => s.proxied);
  if (none || dialled < usual * MIN_DIALLED) {
    const message = `the ${vantage} watcher dialled ${Math.round(dialled)} of ${Math.round(usual)} targets a round`;
    return [inconclusive(node.name, message)];
  }
  return [...tally.bad].flatMap(([id, now]): Finding[] => {
    if (now.total === 0) return [];
    const earlier = first ? now : before?.bad.get(id);
    const where = `${id} from the ${vantage} network of ${node.name}`;
    const seen = { id, where, now, earlier: earlier && earlier.total > 0 ? earlier.outcome : undefined };
    const judged = seen.earlier === undefined ? broken(look, seen, outdated) : stillBroken(look, seen, seen.earlier);
    return judged ? [{ ...judged, subject: `service ${serviceOfTarget(id)}` }] : [];
  });
}

interface Failing {
  readonly id: string;
  readonly where: string;
  readonly now: { readonly total: number; readonly inARow: number; readonly outcome: Outcome };
}
type Said = Pick<Finding, 'level' | 'message'>;

/** A target that answered before. */
function broken(look: Look, { id, where, now }: Failing, outdated: ReadonlySet<string>): Said {
  const text = `${where}: ${now.outcome}`;
  if (outdated.has(id)) {
    return { level: 'warning', message: `${text}, but the Service was deleted or changed meanwhile` };
  }
  const inARow = `${text}, ${count(now.inARow, 'time')} in a row`;
  if (now.inARow >= look.playbook.gates.probes.failures) {
    return { level: 'error', message: `${inARow}, and it answered before` };
  }
  if (now.inARow > 0) return { level: 'inconclusive', message: `${inARow}; the next round tells` };
  return {
    level: 'warning',
    message: `${where}: ${count(now.total, 'failed attempt')} that did not repeat, the last one ${now.outcome}`,
  };
}

/**
 * A target that was bad before. Without endpoints a refusal is due, which the kernel sends only so often
 * (net.ipv4.icmp_ratelimit): that one does not come says nothing.
 */
function stillBroken(look: Look, { id, where, now }: Failing, earlier: Outcome): Said | undefined {
  if (hasNoEndpoints(look, id)) return undefined;
  return { level: 'warning', message: `${where}: ${now.outcome}; it was already failing before (${earlier})` };
}

function hasNoEndpoints(look: Look, id: string): boolean {
  const service = look.inventory.services.find(s => serviceKey(s) === serviceOfTarget(id));
  return service !== undefined && Object.values(service.readyByNode).every(n => n === 0);
}
