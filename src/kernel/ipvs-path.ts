import type { Client, ServicePath } from '../core/service-path.ts';
import { type Frontend, hostPort, readKey, servicePort } from '../core/service-port.ts';
import { setName } from './ipset.ts';
import type { Tables } from './iptables.ts';
import { IptablesWalk } from './iptables-walk.ts';
import { type VirtualServer, virtualServerKey } from './ipvs.ts';
import type { IpvsParts } from './ipvs-rules.ts';
import { affinityText, noPath } from './path-draft.ts';

/** The way in ipvs mode: chains mark and filter, ip_vs leads on. */
export function ipvsPath(parts: IpvsParts, key: string, client: Client): ServicePath {
  const frontend = readKey(key);
  if (!frontend || parts.addresses === undefined) return noPath(key, client);
  const all = parts.iptables.filter(({ family }) => family === frontend.family);
  // The backend that kube-proxy writes to; the other has no such chain.
  const backend = all.find(({ tables }) => tables.get('nat')?.has('KUBE-SERVICES')) ?? all[0];
  return new Way(parts, frontend, client, backend?.tables ?? new Map()).path(key);
}

class Way {
  private readonly parts: IpvsParts;
  private readonly frontend: Frontend;
  private readonly client: Client;
  private readonly walk: IptablesWalk;

  constructor(parts: IpvsParts, frontend: Frontend, client: Client, tables: Tables) {
    this.parts = parts;
    this.frontend = frontend;
    this.client = client;
    this.walk = new IptablesWalk(tables, frontend, client, parts.sets);
  }

  path(key: string): ServicePath {
    const { walk, client } = this;
    const { draft } = walk;
    const servers = this.servers();
    const { address } = this.frontend;
    const onDevice = address !== undefined && this.parts.addresses?.has(address) === true;
    walk.isBound = onDevice;
    walk.from('nat', client === 'node' ? 'OUTPUT' : 'PREROUTING');
    this.nameSets();
    if (onDevice) draft.add({ kind: 'device', name: 'kube-ipvs0', does: `has ${address}, so it is for this node` });
    if (client !== 'node') {
      walk.from('filter', 'INPUT');
      if (draft.verdict) return draft.path(key, client, 'none');
    }
    for (const server of servers) this.takeServer(server);
    if (draft.ends.size === 0) return draft.path(key, client, 'none');
    if (walk.masquerade()) return draft.path(key, client, 'all');
    return draft.path(key, client, client === 'pod' && this.reachesItself() ? 'self' : 'none');
  }

  /** Of its address, or of every address of the node. */
  private servers(): VirtualServer[] {
    const { address, port, protocol, family } = this.frontend;
    if (address !== undefined) {
      const key = servicePort(address, port, protocol);
      return this.parts.servers.filter(server => virtualServerKey(server) === key);
    }
    return this.parts.servers.filter(
      server =>
        String(server.port) === port &&
        server.protocol.toLowerCase() === protocol &&
        server.address.includes(':') === (family === 'ip6') &&
        !this.parts.addresses?.has(server.address),
    );
  }

  /** The sets by which the chains know the address. */
  private nameSets(): void {
    const { address, port, protocol, family } = this.frontend;
    const entry = `${address},${protocol}:${port}`;
    const names =
      address === undefined
        ? [`NODE-PORT-${protocol.toUpperCase()}`, `NODE-PORT-LOCAL-${protocol.toUpperCase()}`]
        : ['CLUSTER-IP', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL', 'LOAD-BALANCER', 'LOAD-BALANCER-LOCAL'];
    for (const name of names.map(n => setName(family, n))) {
      const entries = this.parts.sets.get(name);
      const has = address === undefined ? entries?.has(port) : entries?.has(entry);
      if (has) this.walk.draft.add({ kind: 'set', name, does: `holds ${address === undefined ? port : entry}` });
    }
  }

  private takeServer(server: VirtualServer): void {
    const { draft } = this.walk;
    const { persistentTicks: ticks, scheduler, destinations } = server;
    draft.add({ kind: 'server', name: virtualServerKey(server) });
    if (destinations.length === 0) {
      draft.refuse('reject');
      return;
    }
    for (const address of destinations) draft.end({ address });
    const { ticksPerSecond } = this.parts;
    const seconds = ticks === undefined || ticksPerSecond === undefined ? undefined : ticks / ticksPerSecond;
    draft.spread(`by ${scheduler}${affinityText(seconds)}`);
  }

  private reachesItself(): boolean {
    const { family, protocol } = this.frontend;
    const entries = this.parts.sets.get(setName(family, 'LOOP-BACK')) ?? new Set<string>();
    const ends = new Set(this.walk.draft.ends.keys());
    return [...entries].some(entry => {
      const [address = '', port = '', source] = entry.split(',');
      return address === source && ends.has(hostPort(address, port.replace(`${protocol}:`, '')));
    });
  }
}
