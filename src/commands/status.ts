import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import type { NodeView } from '../core/node-view.ts';
import type { RunRecord } from '../core/run-state.ts';
import { statusOf } from '../core/status.ts';
import { statusText } from '../report/status-text.ts';
import { realClock } from '../run/clock.ts';
import { lookAtNodes } from '../run/look.ts';
import { findRecord } from '../run/record.ts';
import type { CommandIo } from './io.ts';
import { configOf } from './make-plan.ts';
import { inventoryOf, openCluster, watcherImageOf } from './session.ts';
import { type Signals, whileLooking } from './signals.ts';
import { statusFacts } from './status-facts.ts';

export interface StatusOptions {
  run?: string;
  /** Puts short-lived watchers on the nodes. */
  look?: boolean;
  watcherImage?: string;
}

export async function statusCommand(io: CommandIo, options: StatusOptions): Promise<number> {
  const cluster = await openCluster(io);
  try {
    const inventory = await inventoryOf(cluster);
    const record = await findRecord(cluster);
    if (options.run !== undefined && options.run !== record?.run) {
      throw new ProxyctlError(
        `run ${options.run} does not stand in this cluster${record ? `; ${record.run} does` : ''}`,
        EXIT.usage,
      );
    }
    const asked = { cluster, inventory, record };
    const views = options.look ? await whileLooking(io, signals => look({ ...asked, ...signals }, options)) : undefined;
    const status = statusOf({ ...(await statusFacts(cluster, inventory, record)), views });
    if (io.options.format === 'json') io.out(JSON.stringify(status));
    else io.out(statusText(status, { painter: io.paintOut, width: io.width, now: new Date() }));
    return status.unfit.length > 0 ? EXIT.findings : EXIT.done;
  } finally {
    cluster.close();
  }
}

interface Asked extends Pick<Signals, 'stop' | 'kill'> {
  readonly cluster: Cluster;
  readonly inventory: Inventory;
  readonly record: RunRecord | undefined;
}

/** What the nodes' kernels hold. A node whose kubelet nobody hears from is not waited for. */
async function look(
  { cluster, inventory, record, stop, kill }: Asked,
  options: StatusOptions,
): Promise<Map<string, NodeView | string>> {
  const linux = inventory.nodes.filter(node => node.os === 'linux');
  const nodes = linux.filter(node => node.ready).map(node => node.name);
  const image = watcherImageOf(options.watcherImage);
  const holder = 'proxyctl status --look';
  const asked = { image, nodes, proxyConfig: configOf(inventory) ?? {}, run: record?.run, holder, stop, kill };
  const views = await lookAtNodes({ cluster, clock: realClock, ...asked });
  for (const node of linux) if (!node.ready) views.set(node.name, 'it is not Ready');
  return views;
}
