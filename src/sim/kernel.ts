// A node's kernel as far as Services go: the rule sets of the modes beside each other, and what becomes of a connection.
import { MODES, type Mode } from '../core/mode.ts';
import { Conntrack } from './conntrack.ts';
import { Iptables } from './iptables.ts';
import { filterVerdict, type Hook, hasServices, translate } from './iptables-lookup.ts';
import { Ipvs } from './ipvs.ts';
import { type NftTable, nftBackends, withoutService } from './nft.ts';
import type { Random } from './random.ts';
import { outsideIPs, type ServicePort } from './services.ts';

export interface Connection {
  readonly protocol: 'tcp' | 'udp';
  readonly ip: string;
  readonly port: number;
  readonly from: 'pod' | 'host';
}

export type Fate =
  /** `server` is the ipvs virtual server that holds the connection. */
  | { kind: 'backend'; backend: string; via: Mode; server?: string }
  | { kind: 'refused' | 'timeout' }
  /** No rule set knows the address. */
  | { kind: 'untouched' };

export class Kernel {
  /** Packets of kept connections are held back while ip_vs hands them over. */
  held = false;
  /** Connections that conntrack took over from ip_vs, `client:port`. */
  readonly adopted = new Set<string>();
  readonly iptables = { IPv4: new Iptables(), IPv6: new Iptables() };
  readonly nft: { ip?: NftTable; ip6?: NftTable } = {};
  readonly ipvs = new Ipvs();
  readonly conntrack: Conntrack;
  readonly release = '6.1.0-sim';
  /** Services whose rules somebody keeps deleting, and in which modes. */
  readonly silenced = new Map<string, readonly Mode[]>();
  private readonly ip: string;
  private readonly random: Random;
  /** When the nat hooks were registered: the youngest acts first. */
  private hooks = { iptables: 0, nftables: 0, last: 0 };

  constructor(ip: string, random: Random) {
    this.ip = ip;
    this.random = random;
    this.conntrack = new Conntrack(180 + random.int(60));
  }

  setNft(family: 'ip' | 'ip6', table: NftTable): void {
    if (family === 'ip' && !this.nft.ip) this.hooks.nftables = ++this.hooks.last;
    this.nft[family] = table;
  }

  deleteNft(family: 'ip' | 'ip6'): boolean {
    const there = this.nft[family] !== undefined;
    delete this.nft[family];
    return there;
  }

  /** iptables' nat hook stays registered from its first rule until the next boot. */
  useIptables(): void {
    this.hooks.iptables ||= ++this.hooks.last;
  }

  reboot(): void {
    this.iptables.IPv4.reset();
    this.iptables.IPv6.reset();
    delete this.nft.ip;
    delete this.nft.ip6;
    this.ipvs.reset();
    this.conntrack.reset();
    this.hooks = { iptables: 0, nftables: 0, last: 0 };
  }

  /** The modes whose Service rules are there. */
  modes(): Mode[] {
    const there: Record<Mode, boolean> = {
      iptables: hasServices(this.iptables.IPv4),
      ipvs: this.ipvs.servers.size > 0,
      nftables: this.nft.ip !== undefined,
    };
    return MODES.filter(mode => there[mode]);
  }

  connect(connection: Connection): Fate {
    return this.conntrack.open() ? this.fateOf(connection) : { kind: 'timeout' };
  }

  /** What the rules would do with a connection; leaves no trace. */
  fateOf(connection: Connection): Fate {
    const { nftables, iptables } = this.hooks;
    const order = nftables > iptables ? [this.byNft, this.byIptables] : [this.byIptables, this.byNft];
    for (const hook of order) {
      const fate = hook.call(this, connection);
      if (fate) return fate;
    }
    return this.untranslated(connection);
  }

  private byNft({ protocol, ip, port }: Connection): Fate | undefined {
    const table = this.nft.ip;
    if (!table) return undefined;
    const onNode = ip === this.ip && (table.nodePortIPs?.includes(ip) ?? true);
    const chain =
      table.services.get(`${ip}/${protocol}/${port}`) ??
      (onNode ? table.nodePorts.get(`${protocol}/${port}`) : undefined);
    const backends = chain === undefined ? [] : nftBackends(table, chain);
    return backends.length > 0 ? { kind: 'backend', backend: this.random.pick(backends), via: 'nftables' } : undefined;
  }

  private byIptables({ protocol, ip, port }: Connection): Fate | undefined {
    const found = translate(this.iptables.IPv4, protocol, ip, port, ip === this.ip);
    return found?.verdict === 'to'
      ? { kind: 'backend', backend: this.random.pick(found.backends), via: 'iptables' }
      : undefined;
  }

  /** The packet keeps its destination: it is filtered, and ip_vs may take it where the address is the node's own. */
  private untranslated(connection: Connection): Fate {
    const { protocol, ip, port, from } = connection;
    const local = ip === this.ip || (this.ipvs.device?.has(ip) ?? false);
    const hook: Hook = from === 'host' ? 'output' : local ? 'input' : 'forward';
    const verdict =
      filterVerdict(this.iptables.IPv4, hook, { protocol, ip, port, local: ip === this.ip }) ??
      this.nftVerdict(connection);
    if (verdict) return { kind: verdict === 'reject' ? 'refused' : 'timeout' };
    const key = `${protocol}/${ip}/${port}`;
    const server = local ? this.ipvs.servers.get(key) : undefined;
    if (!server) return this.ipvs.device?.has(ip) ? { kind: 'refused' } : { kind: 'untouched' };
    if (server.real.length === 0) return { kind: 'refused' };
    const real = this.random.pick(server.real);
    return { kind: 'backend', backend: `${real.ip}:${real.port}`, via: 'ipvs', server: key };
  }

  private nftVerdict({ protocol, ip, port }: Connection): 'reject' | 'drop' | undefined {
    const table = this.nft.ip;
    if (!table) return undefined;
    const byAddress = table.noEndpointServices.get(`${ip}/${protocol}/${port}`);
    if (byAddress) return byAddress.drop ? 'drop' : 'reject';
    const byPort = ip === this.ip ? table.noEndpointNodePorts.get(`${protocol}/${port}`) : undefined;
    if (byPort) return byPort.drop ? 'drop' : 'reject';
    // A port that the ClusterIP does not have.
    return table.clusterIPs.has(ip) ? 'reject' : undefined;
  }

  /** Deletes the rules of silenced Services, as often as they are written. */
  silence(ports: readonly ServicePort[]): void {
    for (const [service, modes] of this.silenced) {
      const own = ports.filter(port => port.service === service);
      if (modes.includes('nftables') && this.nft.ip) this.nft.ip = withoutService(this.nft.ip, service);
      if (modes.includes('ipvs')) for (const port of own) this.dropServers(port);
      if (modes.includes('iptables')) this.dropRules(service);
    }
  }

  private dropServers(servicePort: ServicePort): void {
    const { protocol, clusterIP, port, nodePort } = servicePort;
    for (const ip of [clusterIP, ...outsideIPs(servicePort)]) this.ipvs.servers.delete(`${protocol}/${ip}/${port}`);
    if (nodePort) this.ipvs.servers.delete(`${protocol}/${this.ip}/${nodePort}`);
  }

  private dropRules(service: string): void {
    const iptables = this.iptables.IPv4;
    const about = (rule: string) => new RegExp(`--comment "${service}(:\\S+)?[ "]`).test(rule);
    for (const [table, chain] of [
      ['nat', 'KUBE-SERVICES'],
      ['nat', 'KUBE-NODEPORTS'],
      ['filter', 'KUBE-SERVICES'],
      ['filter', 'KUBE-EXTERNAL-SERVICES'],
    ] as const) {
      const rules = iptables.chain(table, chain);
      if (rules?.some(about))
        iptables.setChain(
          table,
          chain,
          rules.filter(rule => !about(rule)),
        );
    }
  }
}
