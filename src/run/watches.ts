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

interface Standing {
  readonly watch: NodeWatch;
  readonly starting: Promise<NodeWatch>;
  failed: boolean;
}

/** The watchers of the nodes in hand. The next node's start while this one flips, so that nobody waits for them. */
export class Watches {
  private readonly started = new Map<string, Standing>();
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
    return this.started.get(node)?.starting ?? this.start(node);
  }

  /** As `of`; others in the place of those that could not be started, or that fell silent since: their node may have rebooted. */
  async alive(node: string): Promise<NodeWatch> {
    const known = this.started.get(node);
    if (known && !known.failed && !known.watch.isSilent()) return known.starting;
    return this.start(node, this.stop(node));
  }

  /** `before`: what takes away those that were there, by the same names. Its failure is told when all are closed. */
  private start(node: string, before: Promise<unknown> = Promise.resolve()): Promise<NodeWatch> {
    const { run, inventory, proxyConfig, watcherImage: image } = this.engine;
    const facts = inventory.nodes.find(n => n.name === node);
    const addresses = [...(facts?.internalIPs ?? []), ...(facts?.externalIPs ?? [])];
    const main = proxyAddresses(proxyConfig);
    const watch = new NodeWatch(run, { run: run.id, image, node, addresses, main });
    const starting = before
      .catch(() => undefined)
      .then(async () => {
        await watch.start();
        return watch;
      });
    const standing: Standing = { watch, starting, failed: false };
    starting.catch(() => {
      standing.failed = true;
    });
    this.started.set(node, standing);
    return starting;
  }

  /** Asks the watchers of a node to go; `closed` waits for it. */
  stop(node: string): Promise<void> {
    const standing = this.started.get(node);
    this.started.delete(node);
    if (!standing) return Promise.resolve();
    const { watch, starting } = standing;
    // One of two pods may stand where the start failed, which is told to the one who asked for it.
    const stopping = starting.catch(() => undefined).then(() => watch.stop());
    // A failure is told when all are closed; until then nobody else may be told.
    stopping.catch(() => undefined);
    this.stopping.push(stopping);
    return stopping;
  }

  /** The node may be visited once more: its watchers stay while there are few. */
  leave(node: string): void {
    if (this.started.size > KEPT) void this.stop(node);
  }

  /** All watchers away. Failures are noted, not thrown: whatever removes our namespace removes them too. */
  async closed(): Promise<void> {
    for (const node of [...this.started.keys()]) void this.stop(node);
    for (const result of await Promise.allSettled(this.stopping)) {
      if (result.status === 'rejected')
        this.engine.journal.append({ event: 'note', text: `a watcher was not removed: ${String(result.reason)}` });
    }
  }
}
