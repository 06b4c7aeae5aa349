// The pod network: who is there to answer, and what becomes of an attempt to connect.
import type { KubeObject } from '../core/cluster.ts';
import type { Outcome } from '../core/observation.ts';
import type { Connection, Fate } from './kernel.ts';
import { isHostNetwork, type PortHandler, type SimNode } from './node.ts';
import type { Store } from './store.ts';

export class Network {
  private readonly pods = new Map<string, KubeObject>();
  private readonly byIP = new Map<string, SimNode>();
  /** What somebody who listens at `ip:port` says to all who connect. */
  private readonly echoes = new Map<string, string>();

  constructor(store: Store) {
    store.subscribe(({ kind, type, object }) => {
      const ip: string | undefined = kind === 'Pod' ? object.status?.podIP : undefined;
      if (ip === undefined || isHostNetwork(object)) return;
      if (type !== 'DELETED') this.pods.set(ip, object);
      else if (this.pods.get(ip)?.metadata.uid === object.metadata.uid) this.pods.delete(ip);
    });
  }

  addNode(node: SimNode): void {
    for (const ip of node.addresses) this.byIP.set(ip, node);
  }

  removeNode(node: SimNode): void {
    for (const ip of node.addresses) this.byIP.delete(ip);
  }

  /** Somebody listens at an endpoint. */
  alive(ip: string): boolean {
    const node = this.byIP.get(ip);
    if (node) return !node.down;
    return this.pods.get(ip)?.status?.phase === 'Running';
  }

  /** A new connection from a node: through its own kernel, or through that of the node it is addressed to. */
  connect(node: SimNode, connection: Connection): { outcome: Outcome; fate: Fate } {
    const other = this.byIP.get(connection.ip);
    // To the address of another node: there it is a packet from outside.
    const through = other && other !== node ? other : node;
    if (node.down || through.down) return { outcome: 'timeout', fate: { kind: 'timeout' } };
    const fate = through.kernel.connect(other && other !== node ? { ...connection, from: 'pod' } : connection);
    return { outcome: this.outcomeOf(fate, connection, through), fate };
  }

  /** Says `text` to everybody who connects to `ip:port`, until the call that it returns. */
  echo(address: string, text: string): () => void {
    this.echoes.set(address, text);
    return () => {
      if (this.echoes.get(address) === text) this.echoes.delete(address);
    };
  }

  said(address: string): string | undefined {
    return this.echoes.get(address);
  }

  /** The process of a node that listens there, seen from `node`. */
  listener(node: SimNode, ip: string, port: number): PortHandler | 'mute' | undefined {
    const there = this.byIP.get(ip) ?? node;
    if ([...there.processes].some(proxier => proxier.isMuteAt(port))) return 'mute';
    return there.at({ address: ip, port });
  }

  private outcomeOf(fate: Fate, { ip, port, protocol }: Connection, through: SimNode): Outcome {
    const silent = protocol === 'udp' ? 'no answer' : 'timeout';
    // Nobody translates it: a process of the node itself listens there, or nobody.
    if (fate.kind === 'untouched' && (this.byIP.has(ip) || ip.startsWith('127.')))
      return through.at({ address: ip, port }) ? 'ok' : 'refused';
    if (fate.kind === 'refused') return 'refused';
    if (fate.kind === 'timeout') return silent;
    const address = fate.kind === 'backend' ? fate.backend.slice(0, fate.backend.lastIndexOf(':')) : ip;
    return this.alive(address) ? 'ok' : silent;
  }
}
