import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import type { RunRecord } from '../core/run-state.ts';
import { parseConfig } from '../drivers/config-text.ts';
import { realClock } from '../run/clock.ts';
import type { Engine } from '../run/engine.ts';
import { finalize, rollback } from '../run/give-back.ts';
import { takeLease } from '../run/lease.ts';
import type { Ending } from '../run/phase.ts';
import { findRecord } from '../run/record.ts';
import { type CommandIo, confirm } from './io.ts';
import { runAction } from './run-action.ts';
import { holder, inventoryOf, openCluster } from './session.ts';
import { signals } from './signals.ts';

export interface UndoOptions {
  run?: string;
  node?: string;
  yes?: boolean;
  watcherImage?: string;
}

export async function rollbackCommand(io: CommandIo, options: UndoOptions): Promise<number> {
  const check: Undo['check'] = record => {
    const planned = record.plan.batches.flatMap(b => b.nodes.map(n => n.name));
    if (options.node !== undefined && !planned.includes(options.node)) {
      throw new ProxyctlError(
        `node ${options.node} is not in run ${record.run}; its nodes are ${planned.join(', ')}`,
        EXIT.usage,
      );
    }
    return engine => rollback(engine, options.node);
  };
  return onRecord({ io, options, action: 'rollback', check });
}

export async function finalizeCommand(io: CommandIo, options: UndoOptions): Promise<number> {
  const check: Undo['check'] = (record, inventory) => {
    const shared = parseConfig(inventory.proxy.configMap?.text ?? '').mode;
    // A finalize that was left goes on: the node it had in hand may have no kube-proxy that could tell its mode.
    const left = (mode: string) => shared === record.plan.to && mode === 'unknown';
    const open = inventory.nodes.filter(
      n => n.proxyPod && n.os === 'linux' && n.mode !== record.plan.to && !left(n.mode),
    );
    if (open.length > 0) {
      const names = open.map(n => `${n.name} (${n.mode})`).join(', ');
      const message = `not every node serves in mode ${record.plan.to}: ${names}; finalize would switch them with a gap; migrate them first`;
      throw new ProxyctlError(message, EXIT.findings);
    }
    return finalize;
  };
  return onRecord({ io, options, action: 'finalize', check });
}

type Perform = (engine: Engine) => Promise<Ending>;

/** One of the two actions that end a run. */
interface Undo {
  readonly io: CommandIo;
  readonly options: UndoOptions;
  readonly action: 'rollback' | 'finalize';
  /** Throws when the action must not begin; gives what it does. */
  readonly check: (record: RunRecord, inventory: Inventory) => Perform;
}

async function onRecord({ io, options, ...undo }: Undo): Promise<number> {
  const cluster = await openCluster(io);
  try {
    const record = await findRecord(cluster);
    if (!record) {
      if (options.run !== undefined)
        throw new ProxyctlError(`run ${options.run} does not stand in this cluster`, EXIT.usage);
      io.err(`nothing to do: no run of proxyctl stands in this cluster`);
      return EXIT.done;
    }
    if (options.run !== undefined && options.run !== record.run) {
      throw new ProxyctlError(`the run in this cluster is ${record.run}, not ${options.run}`, EXIT.usage);
    }
    return await perform({ io, options, ...undo }, cluster, record);
  } finally {
    cluster.close();
  }
}

async function perform({ io, options, action, check }: Undo, cluster: Cluster, record: RunRecord): Promise<number> {
  const inventory = await inventoryOf(cluster);
  const run = check(record, inventory);
  const what =
    action === 'rollback' ? `roll back ${options.node ?? `run ${record.run}`}` : `finalize run ${record.run}`;
  await confirm(io, cluster.identity, options.yes === true, what);
  const held = await takeLease(cluster, realClock, { holder: holder(record.run) });
  const { stop, kill, off } = signals(text => io.err(text));
  const image = options.watcherImage ? { watcherImage: options.watcherImage } : {};
  try {
    const { code } = await runAction(io, { cluster, inventory, record, held, stop, kill, action, ...image }, run);
    // A rollback that was asked for is done when everything is back.
    return action === 'rollback' && code === EXIT.rolledBack ? EXIT.done : code;
  } finally {
    off();
  }
}
