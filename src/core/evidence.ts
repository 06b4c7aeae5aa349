// What gates share when they weigh what watchers say: is it there, is it fresh, is it about the right kube-proxy.
import type { KubeObject } from './cluster.ts';
import type { Finding, Look, NodeInFlip, Scope } from './gate.ts';
import type { NodeFacts } from './inventory.ts';
import { type EffectiveMode, MODES, type Mode } from './mode.ts';
import { LABEL_PART, NAMESPACE } from './names.ts';
import type { Vantage } from './observation.ts';

/** A watcher that has said nothing for so long is taken for dead, ms. It speaks every few seconds. */
export const SILENCE_MS = 15_000;
/** A kube-proxy that started so much before it was asked for is the old one, seconds: clocks and rounding. */
export const START_SLACK = 2;
/** Where kube-proxy is when nobody has found it. */
const DEFAULT_HOME = { namespace: 'kube-system', name: 'kube-proxy' };

/** The node in flip. Throws at moments that have none, so that the gate is inconclusive there. */
export function nodeInFlip(look: Look): NodeInFlip {
  if (!look.node) throw new Error(`no node is looked at at the moment ${look.moment}`);
  return look.node;
}

/** The mode that the kube-proxy in question has: the warm one the target's, before the flip the old one. */
export function judgedMode(look: Look): Mode {
  const node = nodeInFlip(look);
  if (look.moment === 'prove') return node.to;
  return look.moment === 'before-node' ? node.from : node.expected;
}

export function inconclusive(node: string, message: string): Finding {
  return { level: 'inconclusive', subject: `node ${node}`, message };
}

/** A finding when the watcher at `vantage` has not been heard, or not lately. */
export function silence(node: NodeInFlip, vantage: Vantage): Finding | undefined {
  const seen = node.view.seenAt[vantage];
  const because = lastTrouble(node);
  if (seen === undefined) return inconclusive(node.name, `the ${vantage} watcher has not said anything yet${because}`);
  const silent = node.now - seen;
  if (silent <= SILENCE_MS) return undefined;
  return inconclusive(node.name, `the ${vantage} watcher has been silent for ${Math.round(silent / 1000)} s${because}`);
}

/** What the watchers could not do of late, to stand behind what is missing because of it; empty where nothing is known. */
export function lastTrouble({ view }: NodeInFlip): string {
  const trouble = view.troubles.at(-1);
  return trouble === undefined ? '' : `; last trouble: ${trouble}`;
}

/** Whether a sample was taken before the kube-proxy in question was asked for. Both are times of the node's clock. */
export function tooOld(sample: { t: string }, node: NodeInFlip): boolean {
  return node.askedAt !== undefined && Date.parse(sample.t) / 1000 < node.askedAt;
}

/** Nodes that a migration would touch: not Windows, not excluded by the playbook. */
export function nodesInScope(look: Look): NodeFacts[] {
  const excluded = new Set(look.playbook.order.exclude);
  return look.inventory.nodes.filter(n => n.os !== 'windows' && !excluded.has(n.name));
}

/** Whether any node in scope leaves `mode`; `unknown` when the modes of some are not known and no known one does. */
export function leaves(look: Look, mode: Mode): 'yes' | 'no' | 'unknown' {
  if (look.to === mode) return 'no';
  const modes = new Set<EffectiveMode>(nodesInScope(look).map(n => n.mode));
  if (modes.has(mode)) return 'yes';
  return modes.has('unknown') ? 'unknown' : 'no';
}

/** A finding for differences that depend on the mode left, when nobody knows it. */
export function unknownMode(look: Look): Finding {
  const unknown = nodesInScope(look).filter(n => n.mode === 'unknown').length;
  const message = `the mode of ${unknown} of the nodes is not known, so neither is what changes`;
  return { level: 'inconclusive', subject: 'cluster', message };
}

/** What the look is about. Throws at preflight, so that the gate is inconclusive there. */
export function scopeOfLook(look: Look): Scope {
  if (!look.scope) throw new Error(`nothing is exposed at the moment ${look.moment}`);
  return look.scope;
}

/** A finding for a comparison with a time of which nothing is known. */
export function nothingBefore(look: Look): Finding {
  const [subject, what] = look.node ? [`node ${look.node.name}`, 'the flip'] : ['cluster', 'the batch'];
  return { level: 'inconclusive', subject, message: `nothing is known of the time before ${what}` };
}

/** kube-proxy's own objects and ours: they come and go because of the flip itself. */
export function isPartOfFlip(object: KubeObject, look: Look): boolean {
  const { labels = {}, namespace, ownerReferences } = object.metadata;
  if (namespace === NAMESPACE || LABEL_PART in labels) return true;
  const { namespace: home, name: original } = look.inventory.proxy.daemonSet ?? DEFAULT_HOME;
  if (namespace !== home) return false;
  const names = [original, ...MODES.map(mode => `${original}-${mode}`)];
  const owner = ownerReferences?.find(o => o.kind === 'DaemonSet')?.name;
  return names.includes(object.kind === 'DaemonSet' ? object.metadata.name : (owner ?? ''));
}
