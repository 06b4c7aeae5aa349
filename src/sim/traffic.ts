// Clients in pods on every node: new connections to Services, and one that each of them keeps.
import { NAMESPACE } from '../core/names.ts';
import type { Network } from './network.ts';
import type { SimNode } from './node.ts';
import type { IpvsConnection } from './node-files.ts';
import type { Random } from './random.ts';
import type { ServicePort, Services } from './services.ts';
import type { Timers } from './timers.ts';

export interface TrafficOptions {
  /** On each node. */
  clients?: number;
  /** New connections a second on each node. */
  rate?: number;
  /** A kept connection ends by itself after about so long, ms. */
  keepMs?: number;
}

export interface Tally {
  attempted: number;
  failed: number;
}

export interface TrafficTotals extends Tally {
  readonly tcp: Tally;
  readonly udp: Tally;
  readonly byNode: ReadonlyMap<string, Tally>;
  readonly byService: ReadonlyMap<string, Tally>;
  /** Failed ones by `namespace/name`; Services without any are left out. */
  readonly failedByService: ReadonlyMap<string, number>;
  readonly keptBroken: number;
  /** Kept connections: open now, and broken so far. */
  readonly kept: { open: number; broken: number };
}

interface Client {
  readonly node: SimNode;
  readonly ip: string;
  kept?: { service: string; backend: string; server?: string; port: number; until: number } | undefined;
}

const none = (): Tally => ({ attempted: 0, failed: 0 });
const TICK_MS = 20;
/** Never more in one tick, so that the event loop stays free. */
const MOST_PER_TICK = 2000;

interface TrafficParts {
  readonly network: Network;
  readonly services: Services;
  readonly timers: Timers;
  readonly random: Random;
  readonly nodes: ReadonlyMap<string, SimNode>;
}

export class Traffic {
  private readonly parts: TrafficParts;
  private clients: Client[] = [];
  private tcp: Tally = none();
  private udp: Tally = none();
  private byNode = new Map<string, Tally>();
  private byService = new Map<string, Tally>();
  private broken = 0;
  private owed = 0;
  private end: (() => void) | undefined;
  private turn = 0;

  constructor(parts: TrafficParts) {
    this.parts = parts;
  }

  start({ clients = 2, rate = 20, keepMs = 3000 }: TrafficOptions = {}): void {
    this.stop();
    for (const node of this.parts.nodes.values()) {
      for (let i = 0; i < clients; i++) this.clients.push({ node, ip: node.nextPodIP() });
    }
    let last = performance.now();
    this.end = this.parts.timers.every(TICK_MS, () => {
      const now = performance.now();
      this.owed = Math.min(MOST_PER_TICK, this.owed + ((now - last) / 1000) * rate * this.parts.nodes.size);
      last = now;
      this.tick(keepMs);
    });
  }

  /** No new connections; those that are kept end. */
  stop(): void {
    this.end?.();
    this.end = undefined;
    this.clients = [];
    this.owed = 0;
    for (const node of this.parts.nodes.values()) node.kernel.conntrack.kept = 0;
  }

  /** Counting begins anew. */
  reset(): void {
    this.tcp = none();
    this.udp = none();
    this.byNode = new Map();
    this.byService = new Map();
    this.broken = 0;
  }

  totals(): TrafficTotals {
    const open = this.clients.filter(client => client.kept).length;
    const copy = (map: Map<string, Tally>) => new Map([...map].map(([key, tally]) => [key, { ...tally }]));
    const { tcp, udp, broken } = this;
    return {
      attempted: tcp.attempted + udp.attempted,
      failed: tcp.failed + udp.failed,
      tcp: { ...tcp },
      udp: { ...udp },
      byNode: copy(this.byNode),
      byService: copy(this.byService),
      failedByService: new Map([...this.byService].flatMap(([key, { failed }]) => (failed > 0 ? [[key, failed]] : []))),
      keptBroken: broken,
      kept: { open, broken },
    };
  }

  /** What ip_vs of a node keeps. */
  ipvsConnections(node: string): IpvsConnection[] {
    return this.clients.flatMap(({ node: own, ip, kept }) =>
      kept?.server !== undefined && own.name === node && own.kernel.ipvs.servers.has(kept.server)
        ? [{ client: ip, clientPort: kept.port, server: kept.server, backend: kept.backend }]
        : [],
    );
  }

  /** The node's connections are gone with its kernel; that is nobody's fault here. */
  forget(node: string): void {
    for (const client of this.clients) if (client.node.name === node) client.kept = undefined;
  }

  private tick(keepMs: number): void {
    const targets = this.targets();
    if (targets.length === 0 || this.clients.length === 0) return;
    for (; this.owed >= 1; this.owed--) {
      const client = this.clients[this.turn++ % this.clients.length];
      if (client && !client.node.down) this.dial(client, this.parts.random.pick(targets));
    }
    for (const client of this.clients) this.keep(client, targets, keepMs);
    const kept = Map.groupBy(
      this.clients.filter(c => c.kept),
      c => c.node,
    );
    for (const node of this.parts.nodes.values()) node.kernel.conntrack.kept = kept.get(node)?.length ?? 0;
  }

  private targets(): ServicePort[] {
    return this.parts.services.current().ports.filter(
      // proxyctl's own Services come and go, and have no clients but itself.
      port => port.endpoints.length > 0 && port.protocol !== 'sctp' && !port.service.startsWith(`${NAMESPACE}/`),
    );
  }

  private dial(client: Client, target: ServicePort): void {
    const { protocol, clusterIP: ip, port, service } = target;
    if (protocol === 'sctp') return;
    const { outcome } = this.parts.network.connect(client.node, { protocol, ip, port, from: 'pod', client: client.ip });
    const failed = outcome === 'ok' ? 0 : 1;
    const count = (tally: Tally) => {
      tally.attempted++;
      tally.failed += failed;
    };
    count(this[protocol]);
    count(tallyOf(this.byNode, client.node.name));
    count(tallyOf(this.byService, service));
  }

  /** A kept connection breaks when ip_vs lost its virtual server; what conntrack translates goes on without rules. */
  private keep(client: Client, targets: readonly ServicePort[], keepMs: number): void {
    const { kept, node } = client;
    const { network, random } = this.parts;
    if (node.down || node.kernel.held) return;
    if (kept) {
      // Handed over: conntrack translates it from now on.
      if (node.kernel.adopted.delete(`${client.ip}:${kept.port}`)) delete kept.server;
      const lost = kept.server !== undefined && !node.kernel.ipvs.servers.has(kept.server);
      if (lost) this.broken++;
      const over = Date.now() > kept.until || !network.alive(kept.backend.slice(0, kept.backend.lastIndexOf(':')));
      if (!lost && !over) return;
      client.kept = undefined;
    }
    const tcp = targets.filter(target => target.protocol === 'tcp');
    if (tcp.length === 0) return;
    const { clusterIP: ip, port, service } = random.pick(tcp);
    const { outcome, fate } = network.connect(node, { protocol: 'tcp', ip, port, from: 'pod', client: client.ip });
    if (outcome !== 'ok' || fate.kind !== 'backend') return;
    const until = Date.now() + keepMs * (0.5 + random.next());
    const { backend, server } = fate;
    client.kept = {
      service,
      backend,
      port: 32_768 + random.int(28_000),
      until,
      ...(server === undefined ? {} : { server }),
    };
  }
}

function tallyOf(map: Map<string, Tally>, key: string): Tally {
  let tally = map.get(key);
  if (!tally) {
    tally = none();
    map.set(key, tally);
  }
  return tally;
}
