// What a plan relied on, part by part, so that a stale plan is refused by naming what changed.
import { canonicalJson } from './canonical.ts';
import { reachOf } from './exposure.ts';
import type { Inventory, NodeFacts } from './inventory.ts';
import type { Fingerprint, Plan } from './plan.ts';
import { few } from './words.ts';

/**
 * Parts: `cluster`, `kubernetes`, `configmap ...`, `daemonset ... image | template | update strategy`, and `node/<name>` as
 * `uid role zone`. Modes are not in it (a run changes them), nor Services (they come and go: see capStillHolds).
 */
export function fingerprintOf(inventory: Inventory): Fingerprint {
  const { daemonSet, configMap } = inventory.proxy;
  const parts: [string, string][] = [
    ['cluster', inventory.cluster.uid],
    ['kubernetes', inventory.cluster.kubernetes],
  ];
  if (configMap) parts.push([`configmap ${configMap.namespace}/${configMap.name}`, configMap.hash]);
  if (daemonSet) {
    const name = `daemonset ${daemonSet.namespace}/${daemonSet.name}`;
    parts.push([`${name} image`, daemonSet.image]);
    parts.push([`${name} template`, daemonSet.templateHash]);
    parts.push([`${name} update strategy`, daemonSet.updateStrategy]);
  }
  for (const node of inventory.nodes) parts.push([`node/${node.name}`, nodePart(node)]);
  return Object.fromEntries(parts);
}

/** One line for people per difference; nodes are gathered in one line. Names are untrusted text. */
export function compareFingerprints(planned: Fingerprint, now: Fingerprint): string[] {
  const lines: string[] = [];
  const nodes = new NodeChanges();
  for (const key of new Set([...Object.keys(planned), ...Object.keys(now)])) {
    const [before, after] = [planned[key], now[key]];
    if (before === after) continue;
    if (key.startsWith('node/')) nodes.add(key.slice('node/'.length), before, after);
    else if (before === undefined) lines.push(`${key}: was not there when the plan was made`);
    else if (after === undefined) lines.push(`${key}: is gone`);
    else if (isHash(before) && isHash(after)) lines.push(`${key}: changed`);
    else lines.push(`${key}: was ${before}, is ${after}`);
  }
  return [...lines, ...nodes.lines()];
}

/**
 * Replays the plan's batches on the inventory: a line for each batch that would now expose more Services at first than the cap
 * allows (or, where a single node was accepted over the cap, more than was accepted).
 */
export function capStillHolds(plan: Plan, inventory: Inventory): string[] {
  const reach = reachOf(inventory, plan.playbook);
  const exposed = new Set<number>();
  const messages: string[] = [];
  for (const [position, batch] of plan.batches.entries()) {
    let fresh = position === 0 ? reach.everywhere.length : 0;
    for (const node of batch.nodes) {
      for (const group of reach.byNode.get(node.name) ?? []) {
        if (exposed.has(group)) continue;
        exposed.add(group);
        fresh += reach.groups[group]?.services.length ?? 0;
      }
    }
    const cap = plan.playbook.batch.services;
    const accepted = batch.overCap ? Math.max(cap, batch.services.length) : cap;
    if (fresh <= accepted) continue;
    const limit = batch.overCap ? `${accepted} were accepted` : `the cap is ${cap}`;
    messages.push(
      `${batch.id}: would expose ${fresh} Services first (${batch.services.length} when planned), ${limit}`,
    );
  }
  return messages;
}

/** The id that belongs to the plan's content. `hash` is sha256 in hex. */
export function planIdOf(plan: Omit<Plan, 'id'>, hash: (text: string) => string): string {
  return hash(canonicalJson({ ...plan, id: undefined }));
}

/** Why the plan must not be executed on what the inventory shows, in lines for people; empty when it may. */
export function verifyPlan(plan: Plan, inventory: Inventory, hash: (text: string) => string): string[] {
  if (planIdOf(plan, hash) !== plan.id) return ['plan: was edited after it was made (its content and its id differ)'];
  if (plan.cluster.uid !== inventory.cluster.uid) {
    return [`cluster: the plan is for ${plan.cluster.context} (${plan.cluster.server}), another cluster than this one`];
  }
  return [...compareFingerprints(plan.fingerprint, fingerprintOf(inventory)), ...capStillHolds(plan, inventory)];
}

function nodePart(node: NodeFacts): string {
  return [node.uid, node.role, node.zone ?? ''].join(' ');
}

function isHash(text: string): boolean {
  return /^[0-9a-f]{32,}$/.test(text);
}

class NodeChanges {
  private readonly added: string[] = [];
  private readonly removed: string[] = [];
  private readonly recreated: string[] = [];
  private readonly roles: string[] = [];
  private readonly zones: string[] = [];

  add(name: string, before: string | undefined, after: string | undefined): void {
    if (before === undefined) this.added.push(name);
    else if (after === undefined) this.removed.push(name);
    else {
      const [uid, role, ...zone] = before.split(' ');
      const [uidNow, roleNow, ...zoneNow] = after.split(' ');
      if (uid !== uidNow) this.recreated.push(name);
      if (role !== roleNow) this.roles.push(`${name} (${role} to ${roleNow})`);
      if (zone.join(' ') !== zoneNow.join(' '))
        this.zones.push(`${name} (${zone.join(' ') || 'none'} to ${zoneNow.join(' ') || 'none'})`);
    }
  }

  lines(): string[] {
    const parts = [
      named('added', this.added),
      named('removed', this.removed),
      named('recreated', this.recreated),
      named('role changed of', this.roles),
      named('zone changed of', this.zones),
    ].filter(part => part !== '');
    return parts.length > 0 ? [`nodes: ${parts.join('; ')}`] : [];
  }
}

function named(what: string, names: readonly string[]): string {
  return names.length === 0 ? '' : `${what} ${few(names)}`;
}
