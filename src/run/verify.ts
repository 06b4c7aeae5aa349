// Looks at nodes as they are, a few at a time, and changes nothing of theirs.
import { type Finding, type Gate, type Judgement, type Look, verdictOf } from '../core/gate.ts';
import type { NodeFacts } from '../core/inventory.ts';
import { isMode, type Mode } from '../core/mode.ts';
import type { ProbeTally } from '../core/node-view.ts';
import { failingHereOnly } from '../core/probes-across.ts';
import type { ServiceTruth } from '../core/service-truth.ts';
import type { NodeVerification } from '../core/verification.ts';
import { type Judging, judgeUntilPassed, Red } from './engine.ts';
import type { NodeWatch } from './node-watch.ts';
import type { Watches } from './watches.ts';

/** Watchers of so many nodes stand at the same time. */
const AT_ONCE = 3;
/** Complete probe rounds of each vantage before anything is judged. */
const ROUNDS = 2;
/** On top of the time to settle, what cannot be seen may take so long to be seen, seconds; less where the playbook says so. */
const PATIENCE = 40;

export interface Verifying extends Judging {
  readonly watches: Watches;
  /** The nodes are looked at again: watchers stay where they are few. */
  readonly again: boolean;
  /** Gates that look at one node. */
  readonly gates: readonly Gate[];
  /** What gates look at besides the node, at the moment `verify`. */
  readonly look: () => Look & { readonly truth: ServiceTruth };
  /** Seconds that a red verdict may last before it counts. */
  readonly settle: number;
  /** Told of each node as soon as it is done. */
  readonly onNode: (node: VerifiedNode) => void;
}

export type VerifiedNode = Omit<NodeVerification, 'verdict'>;

/** Every node in its order; whoever made the watches closes them. Throws the signal's reason when it aborts. */
export async function verifyNodes(verifying: Verifying, nodes: readonly NodeFacts[]): Promise<VerifiedNode[]> {
  const results = new Map<string, Result>();
  const waiting = [...nodes];
  const work = async () => {
    for (let node = waiting.shift(); node; node = waiting.shift()) {
      const result = await verifyNode(verifying, node);
      results.set(node.name, result);
      verifying.onNode(result.node);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return compared(verifying, [...nodes.flatMap(node => results.get(node.name) ?? [])]);
}

interface Result {
  readonly node: VerifiedNode;
  /** What was dialled from its pod network; absent where nobody could look. The rest of what was seen is large, and goes. */
  readonly tally?: ProbeTally;
}

/** With what only shows beside other nodes. */
function compared(verifying: Verifying, results: readonly Result[]): VerifiedNode[] {
  const probed = results.flatMap(({ node, tally }) => (tally ? [{ name: node.name, tally }] : []));
  const findings = failingHereOnly(probed, verifying.look());
  return results.map(({ node }) => {
    const more = findings.get(node.name) ?? [];
    const gates = node.gates.map(gate => (gate.gate === 'service-probes' ? withFindings(gate, more) : gate));
    return { ...node, gates };
  });
}

/** Errors in place of what was said of the same Services. */
function withFindings(gate: Judgement, more: readonly Finding[]): Judgement {
  const subjects = new Set(more.map(f => f.subject));
  const findings = [...more, ...gate.findings.filter(f => !subjects.has(f.subject) || f.level === 'error')];
  return { ...gate, findings, verdict: verdictOf(findings) };
}

async function verifyNode(verifying: Verifying, node: NodeFacts): Promise<Result> {
  const { watches, again } = verifying;
  const { name } = node;
  const unseen = (message: string, level: Finding['level'] = 'inconclusive'): Result => ({
    node: { name, mode: node.mode, gates: [notSeen(node, message, level)] },
  });
  let stays = false;
  try {
    if (!node.ready) return unseen('is not Ready, so that nothing can be started there to look');
    if (!node.proxyPod) return unseen('has no kube-proxy pod');
    const watch = await watched(watches, name);
    const result = await look(verifying, watch, node, unseen);
    // Silent watchers may be gone with their node's last boot.
    stays = again && !watch.isSilent();
    return result;
  } catch (error) {
    if (verifying.run.signal.aborted) throw error;
    return unseen(`could not be looked at: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    if (stays) watches.leave(name);
    else watches.stop(name);
  }
}

/** The watchers, with enough known of the time before. */
async function watched(watches: Watches, node: string): Promise<NodeWatch> {
  const stood = watches.has(node);
  const watch = await watches.of(node);
  if (stood) await watch.again(ROUNDS);
  else {
    await watch.settled(ROUNDS);
    watch.mark();
  }
  return watch;
}

async function look(
  verifying: Verifying,
  watch: NodeWatch,
  node: NodeFacts,
  unseen: (message: string, level?: Finding['level']) => Result,
): Promise<Result> {
  const { name, proxyPod } = node;
  const mode = modeOf(node, watch);
  if (mode === undefined) {
    const silent = 'neither its kube-proxy nor the log of it tells its mode';
    if (!proxyPod || proxyPod.ready) return unseen(silent);
    return unseen(`kube-proxy pod ${proxyPod.name} is not ready, and ${silent}`, 'error');
  }
  const gates = await judge(verifying, watch, node, mode);
  const { pod: tally } = watch.view.rounds;
  return { node: { name, mode, gates }, ...(tally ? { tally } : {}) };
}

/** The running kube-proxy tells its mode itself; its log told it when the inventory was taken. */
function modeOf({ mode }: NodeFacts, { view }: NodeWatch): Mode | undefined {
  const told = view.proxy.main?.mode ?? mode;
  return isMode(told) ? told : undefined;
}

/** `expected`: a node that bears a label is to be in that mode, any other in the one it is in. */
async function judge(
  verifying: Verifying,
  watch: NodeWatch,
  { name, label }: NodeFacts,
  mode: Mode,
): Promise<Judgement[]> {
  const expected = label !== undefined && isMode(label) ? label : mode;
  const { gates, settle } = verifying;
  const { convergence } = verifying.look().playbook.gates;
  const flip = { from: mode, to: expected, expected, slot: 'main' as const };
  const look = (): Look => ({ ...verifying.look(), to: expected, node: watch.inFlip(flip, undefined) });
  try {
    return await judgeUntilPassed(verifying, {
      moment: 'verify',
      gates,
      look,
      settle,
      patience: settle + Math.min(PATIENCE, convergence),
      node: name,
    });
  } catch (error) {
    if (error instanceof Red) return [...error.judgements];
    throw error;
  }
}

function notSeen({ name }: NodeFacts, message: string, level: Finding['level']): Judgement {
  const findings = [{ level, subject: `node ${name}`, message }];
  return {
    gate: 'watchers',
    title: 'The node can be looked at',
    hint: "'kubectl -n proxyctl get pods' and the kubelet's log on the node tell why",
    verdict: verdictOf(findings),
    findings,
    summary: '',
  };
}
