import type { Runner } from '../core/driver.ts';
import type { Inventory } from '../core/inventory.ts';
import type { Journal } from '../core/journal.ts';
import { proxyAddresses } from '../core/proxy-address.ts';
import { NodeWatch } from './node-watch.ts';

/** Nodes whose watchers may stay for a second visit; beyond that they would be a load of their own. */
const KEPT = 10;

export interface Watching {
  readonly run: Runner;
  readonly inventory: Inventory;
  /** The shared KubeProxyConfiguration, parsed. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  readonly watcherImage: string;
  readonly journal: Pick<Journal, 'append'>;
}

/** The watchers of the nodes in hand. The next node's start while this one flips, so that nobody waits for them. */
export class Watches {
  private readonly started = new Map<string, Promise<NodeWatch>>();
  private readonly stopping: Promise<void>[] = [];
  private readonly engine: Watching;

  constructor(engine: Watching) {
    this.engine = engine;
  }

  /** Begins to start the watchers of a node, when there is one. */
  prefetch(node: string | undefined): void {
    // A failure is told to the one who asks for the watch.
    if (node !== undefined) this.of(node).catch(() => undefined);
  }

  /** Whether the node has watchers, or they are being started. */
  has(node: string): boolean {
    return this.started.has(node);
  }

  of(node: string): Promise<NodeWatch> {
    const known = this.started.get(node);
    if (known) return known;
    const { run, inventory, proxyConfig, watcherImage: image } = this.engine;
    const facts = inventory.nodes.find(n => n.name === node);
    const addresses = [...(facts?.internalIPs ?? []), ...(facts?.externalIPs ?? [])];
    const main = proxyAddresses(proxyConfig);
    const watch = new NodeWatch(run, { run: run.id, image, node, addresses, main });
    const starting = watch.start().then(() => watch);
    this.started.set(node, starting);
    return starting;
  }

  /** Asks the watchers of a node to go; `closed` waits for it. */
  stop(node: string): void {
    const starting = this.started.get(node);
    this.started.delete(node);
    if (!starting) return;
    const stopping = starting.then(watch => watch.stop());
    // A failure is told when all are closed; until then nobody else may be told.
    stopping.catch(() => undefined);
    this.stopping.push(stopping);
  }

  /** The node may be visited once more: its watchers stay while there are few. */
  leave(node: string): void {
    if (this.started.size > KEPT) this.stop(node);
  }

  /** All watchers away. Failures are noted, not thrown: whatever removes our namespace removes them too. */
  async closed(): Promise<void> {
    for (const node of [...this.started.keys()]) this.stop(node);
    for (const result of await Promise.allSettled(this.stopping)) {
      if (result.status === 'rejected')
        this.engine.journal.append({ event: 'note', text: `a watcher was not removed: ${String(result.reason)}` });
    }
  }
}
