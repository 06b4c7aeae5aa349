import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import type { PlannedNode } from '../core/plan.ts';
import { modeLabel, type RunRecord } from '../core/run-state.ts';
import { count, few } from '../core/words.ts';
import { parseConfig } from '../drivers/config-text.ts';
import { oneWayLines } from '../report/plan-text.ts';
import { realClock } from '../run/clock.ts';
import type { Engine } from '../run/engine.ts';
import { finalize, refuseOtherModes } from '../run/finalize.ts';
import { rollback } from '../run/give-back.ts';
import { holding } from '../run/hold.ts';
import { isBetween } from '../run/open-nodes.ts';
import type { Ending } from '../run/phase.ts';
import { findRecord } from '../run/record.ts';
import { type CommandIo, confirm } from './io.ts';
import { isLeftBehind, removeLeftBehind } from './left-behind.ts';
import { namesIn } from './node-names.ts';
import { refuseOrphans } from './orphans.ts';
import { runAction } from './run-action.ts';
import {
  holder,
  imageOf,
  inventoryOf,
  openCluster,
  type RunOptions,
  refuseBlindTakeover,
  sayImage,
  type TakeOver,
} from './session.ts';
import { signals } from './signals.ts';

export interface UndoOptions extends TakeOver {
  node?: string;
  /** Names, separated by commas. */
  skip?: string;
  yes?: boolean;
  watcherImage?: string;
}

export async function rollbackCommand(io: CommandIo, options: UndoOptions): Promise<number> {
  return onRecord({ io, options, action: 'rollback' });
}

export async function finalizeCommand(io: CommandIo, options: UndoOptions): Promise<number> {
  return onRecord({ io, options, action: 'finalize' });
}

type Perform = (engine: Engine) => Promise<Ending>;

/** One of the two actions that end a run. */
interface Undo {
  readonly io: CommandIo;
  readonly options: UndoOptions;
  readonly action: 'rollback' | 'finalize';
}

/** What the action does. Throws when it must not begin. */
async function performOf(undo: Undo, cluster: Cluster, record: RunRecord, inventory: Inventory): Promise<Perform> {
  const { action, options } = undo;
  if (action === 'rollback') {
    const planned = nodesOf(record).map(n => n.name);
    if (options.node !== undefined && !planned.includes(options.node)) {
      throw new ProxyctlError(
        `node ${options.node} is not in run ${record.run}; its nodes are ${planned.join(', ')}`,
        EXIT.usage,
      );
    }
    refuseOddSkips(undo, inventory);
    return engine => rollback(engine, options.node);
  }
  // A finalize that was left goes on, whatever its nodes serve in by now; under the Lease it looks again.
  const { configMap } = inventory.proxy;
  // Without its DaemonSet, which somebody deleted, the configuration was not found either.
  const shared = configMap && parseConfig(configMap.text).mode;
  if (shared !== record.plan.to) await refuseOtherModes(cluster, record, inventory);
  return finalize;
}

/** A typing error must not bring back a node that was to be left alone. */
function refuseOddSkips({ options }: Undo, { nodes }: Inventory): void {
  const skipped = namesIn(options.skip);
  const known = nodes.map(node => node.name);
  const odd = skipped.filter(name => !known.includes(name));
  if (odd.length > 0)
    throw new ProxyctlError(
      `--skip names ${few(odd)}, which is no node of this cluster; there are ${few(known)}`,
      EXIT.usage,
    );
  if (options.node !== undefined && skipped.includes(options.node))
    throw new ProxyctlError(`--node and --skip both name ${options.node}; nothing would go back`, EXIT.usage);
}

function nodesOf({ plan }: RunRecord): PlannedNode[] {
  return plan.batches.flatMap(batch => batch.nodes);
}

/** What will happen, in one line. */
async function meaningOf({ action, options }: Undo, cluster: Cluster, record: RunRecord): Promise<string> {
  const { to } = record.plan;
  const nodes = nodesOf(record);
  const all = count(nodes.length, 'node');
  if (action === 'finalize')
    return `mode ${to} becomes kube-proxy's own on ${all}, by a plain restart each; after this, undo is a new migration`;
  const from = [...new Set(nodes.map(node => node.from))].join(', ');
  const names = new Set(nodes.map(node => node.name));
  const skipped = namesIn(options.skip);
  const but = skipped.length === 0 ? '' : `, but for ${few(skipped)}, left as it is`;
  let labelled = 0;
  const between: string[] = [];
  for await (const node of cluster.list('Node')) {
    const { name } = node.metadata;
    if (!names.has(name)) continue;
    if (modeLabel(node) !== undefined) labelled++;
    if (isBetween(node, to) && name !== options.node && !skipped.includes(name)) between.push(name);
  }
  if (options.node === undefined) return `${labelled} of the run's ${all} bear its label and go back to ${from}${but}`;
  const wanted = `1 of the run's ${all} goes back to ${nodes.find(n => n.name === options.node)?.from}`;
  const first = between.length === 0 ? '' : `, after what was left in the middle of a flip: ${few(between)}`;
  return `${wanted}${first}${but}`;
}

async function onRecord(undo: Undo): Promise<number> {
  const { io, options } = undo;
  refuseBlindTakeover(options);
  const cluster = await openCluster(io);
  try {
    const record = await findRecord(cluster);
    if (!record) {
      if (options.run !== undefined)
        throw new ProxyctlError(`run ${options.run} does not stand in this cluster`, EXIT.usage);
      await refuseOrphans(cluster);
      if (undo.action === 'rollback' && (await isLeftBehind(cluster)))
        return await removeLeftBehind(io, cluster, options.yes === true);
      io.err(`nothing to do: no run of proxyctl stands in this cluster`);
      return EXIT.done;
    }
    if (options.run !== undefined && options.run !== record.run) {
      throw new ProxyctlError(`the run in this cluster is ${record.run}, not ${options.run}`, EXIT.usage);
    }
    return await undoStanding(undo, cluster, record);
  } finally {
    cluster.close();
  }
}

export async function undoStanding(undo: Undo, cluster: Cluster, record: RunRecord): Promise<number> {
  const { io, options, action } = undo;
  const inventory = await inventoryOf(cluster);
  const perform = await performOf(undo, cluster, record, inventory);
  const what =
    action === 'rollback' ? `roll back ${options.node ?? `run ${record.run}`}` : `finalize run ${record.run}`;
  if (action === 'rollback') for (const line of oneWayLines(nodesOf(record), io.width)) io.err(line);
  sayImage(io, record, options);
  io.err(await meaningOf(undo, cluster, record));
  await confirm(io, cluster.identity, options.yes === true, what);
  const only = options.node === undefined ? {} : { only: options.node };
  const force = options.takeover === true;
  const { run } = record;
  return holding({ cluster, clock: realClock, record, run, holder: holder(run), force }, async held => {
    const { stop, kill, off } = signals(text => io.err(text));
    const wanted = { ...only, skipped: new Set(namesIn(options.skip)), ...imageOf(options) };
    const asked: RunOptions = { cluster, inventory, record, held, stop, kill, action, ...wanted };
    try {
      const { code } = await runAction(io, asked, perform);
      // A rollback that was asked for is done when everything is back.
      return action === 'rollback' && code === EXIT.rolledBack ? EXIT.done : code;
    } finally {
      off();
    }
  });
}
