// Nodes that cannot be brought back are flipped only when somebody names them; --yes is not enough.
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { PlannedNode } from '../core/plan.ts';
import { count, few } from '../core/words.ts';
import { oneWayLines } from '../report/plan-text.ts';
import { type CommandIo, typed } from './io.ts';
import { namesIn } from './node-names.ts';

const WORD = 'one-way';
/** Names in a message. */
const MOST_NAMES = 20;

export interface OneWayOptions {
  /** Node names, separated by commas. */
  oneWay?: string;
  yes?: boolean;
}

/** @throws ProxyctlError 64 when nodes without a way back are in it and not all of them were named or confirmed. */
export async function confirmOneWay(
  io: CommandIo,
  nodes: readonly PlannedNode[],
  { oneWay, yes }: OneWayOptions,
): Promise<void> {
  const doors = nodes.filter(node => node.oneWay !== undefined);
  const named = new Set(namesIn(oneWay));
  const open = doors.filter(node => !named.has(node.name));
  if (open.length === 0) return;
  const names = open.map(node => node.name);
  const what = `${count(names.length, 'node')} without a way back`;
  if (!yes && io.interactive) {
    io.err(oneWayLines(open, io.width).join('\n'));
    await typed(`Type ${WORD} to flip ${what}: `, WORD);
    return;
  }
  const [first] = open;
  const why =
    names.length === 1 ? `${first?.name}: ${first?.oneWay}` : `${few(names)}; ${first?.name}: ${first?.oneWay}`;
  const all = names.length > MOST_NAMES ? 'NODE,NODE with all of them, as the plan names them' : names.join(',');
  const how = `confirm with --one-way ${all}, or name them in order.exclude of the playbook`;
  throw new ProxyctlError(`the plan flips ${what} (${why}); ${how}`, EXIT.usage);
}

/** `--one-way` must name nodes of the plan that have no way back: a typing error must not pass for consent. @throws ProxyctlError 64 */
export function refuseOddNames(nodes: readonly PlannedNode[], { oneWay }: OneWayOptions): void {
  const doors = new Set(nodes.filter(node => node.oneWay !== undefined).map(node => node.name));
  const odd = namesIn(oneWay).filter(name => !doors.has(name));
  if (odd.length === 0) return;
  const known = doors.size === 0 ? 'no node of the plan is one' : `these are: ${few([...doors])}`;
  throw new ProxyctlError(
    `--one-way names ${few(odd)}, which is no node of the plan without a way back; ${known}`,
    EXIT.usage,
  );
}
