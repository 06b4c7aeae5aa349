import type { Cluster } from '../core/cluster.ts';
import { EXIT } from '../core/errors.ts';
import { controlOf, doingOf } from '../core/steering.ts';
import { escapeText } from '../report/escape.ts';
import { leaseOf } from '../run/ask-runner.ts';
import { describeHolder } from '../run/lease.ts';
import type { CommandIo } from './io.ts';
import { goOn } from './migrate.ts';
import type { OneWayOptions } from './one-way.ts';
import { inventoryOf, openCluster, refuseBlindTakeover, type TakeOver } from './session.ts';
import { standingRun, unpause } from './steer.ts';
import { undoStanding } from './undo.ts';

export interface ResumeOptions extends TakeOver, OneWayOptions {
  watcherImage?: string;
}

/** Lets a paused run go on where it runs; goes on here with a run that nobody runs, from what the cluster holds. */
export async function resumeCommand(io: CommandIo, options: ResumeOptions): Promise<number> {
  refuseBlindTakeover(options);
  const cluster = await openCluster(io);
  try {
    const record = await standingRun(cluster, options.run);
    const lease = await leaseOf(cluster);
    const runner = lease ? describeHolder(lease) : '';
    if (runner !== '' && !options.takeover && controlOf(lease).pause && (await wentOn(io, cluster, runner)))
      return EXIT.done;
    const doing = doingOf(lease);
    if (doing && !doing.finished && doing.action !== 'migrate') {
      const only = doing.only === undefined ? {} : { node: doing.only };
      io.err(`going on with the ${doing.action} of run ${record.run}`);
      return await undoStanding({ io, options: { ...options, ...only }, action: doing.action }, cluster, record);
    }
    return await goOn(io, { cluster, inventory: await inventoryOf(cluster), record }, options);
  } finally {
    cluster.close();
  }
}

async function wentOn(io: CommandIo, cluster: Cluster, runner: string): Promise<boolean> {
  const doing = await unpause(io, cluster);
  if (!doing) {
    io.err(`${escapeText(runner)}, does not answer`);
    return false;
  }
  io.err(`it goes on with ${escapeText(runner)}`);
  return true;
}
