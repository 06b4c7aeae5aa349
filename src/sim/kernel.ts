// A node's kernel as far as Services go: the rule sets of the modes beside each other, and what becomes of a connection.
import { MODES, type Mode } from '../core/mode.ts';
import { Conntrack } from './conntrack.ts';
import { Iptables } from './iptables.ts';
import { filterVerdict, type Hook, hasServices, masqueradesHairpin, translate } from './iptables-lookup.ts';
import { Ipvs } from './ipvs.ts';
import { type NftTable, nftTranslation, withoutService } from './nft.ts';
import type { Random } from './random.ts';
import { outsideIPs, type ServicePort } from './services.ts';

export interface Connection {
  readonly protocol: 'tcp' | 'udp';
  readonly ip: string;
  readonly port: number;
  readonly from: 'pod' | 'host';
  /** Address of who asks; without it nobody is remembered. */
  readonly client?: string;
}

/** Traffic that something else on the node drops, or treats as it likes, whatever kube-proxy's rules say. */
export type Disturbance = 'udp' | 'node-port' | 'hairpin' | 'affinity';

/** Endpoints (`ip:port`), who chooses among them, and whether clients stay with their choice. */
interface Choice {
  readonly backends: readonly string[];
  readonly chain: string;
  readonly remembers: boolean;
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
  /** What is disturbed, in the modes that serve it. */
  readonly disturbed = new Map<Disturbance, readonly Mode[]>();
  /** The node's own: the primary one first. */
  readonly addresses: readonly string[];
  private readonly random: Random;
  /** Endpoint by mode, chooser and client. */
  private readonly remembered = new Map<string, string>();
  /** When the nat hooks were registered: the youngest acts first. */
  private hooks = { iptables: 0, nftables: 0, last: 0 };

  constructor(addresses: readonly string[], random: Random) {
    this.addresses = addresses;
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
    if (family === 'ip') this.forget('nftables');
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
    this.remembered.clear();
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
      if (fate) return this.disturb(fate, connection);
    }
    return this.disturb(this.untranslated(connection), connection);
  }

  private isLocal(ip: string): boolean {
    return this.addresses.includes(ip) || ip.startsWith('127.');
  }

  private disturb(fate: Fate, { protocol, ip, from, client }: Connection): Fate {
    if (fate.kind !== 'backend') return fate;
    const { via, backend } = fate;
    // From the node to itself a packet never leaves it.
    const hairpin = from === 'pod' && client !== undefined && backend.startsWith(`${client}:`);
    const dropped =
      (protocol === 'udp' && this.isDisturbed('udp', via)) ||
      (this.isLocal(ip) && this.isDisturbed('node-port', via)) ||
      (hairpin && (this.isDisturbed('hairpin', via) || !this.bringsBack(via, backend)));
    return dropped ? { kind: 'timeout' } : fate;
  }

  private isDisturbed(what: Disturbance, mode: Mode): boolean {
    return this.disturbed.get(what)?.includes(mode) ?? false;
  }

  /** A pod that reaches itself gets its own answer only when the mode masquerades. */
  private bringsBack(mode: Mode, backend: string): boolean {
    if (mode === 'iptables') return masqueradesHairpin(this.iptables.IPv4, backend);
    if (mode === 'nftables')
      return this.nft.ip?.hairpins.some(({ endpoint: { ip, port } }) => `${ip}:${port}` === backend) ?? false;
    return (this.iptables.IPv4.chain('nat', 'KUBE-POSTROUTING') ?? []).some(rule => rule.includes('KUBE-LOOP-BACK'));
  }

  /** One of the endpoints; the one that the client had before, where the mode remembers it. */
  private choose(mode: Mode, { backends, chain, remembers }: Choice, client: string | undefined): string {
    if (!remembers || client === undefined || this.isDisturbed('affinity', mode)) return this.random.pick(backends);
    const key = `${mode} ${chain} ${client}`;
    const before = this.remembered.get(key);
    if (before !== undefined && backends.includes(before)) return before;
    const backend = this.random.pick(backends);
    this.remembered.set(key, backend);
    return backend;
  }

  private forget(mode: Mode): void {
    for (const key of this.remembered.keys()) if (key.startsWith(`${mode} `)) this.remembered.delete(key);
  }

  private byNft({ protocol, ip, port, client }: Connection): Fate | undefined {
    const table = this.nft.ip;
    if (!table) return undefined;
    const onNode = this.acceptsNodePorts(table, ip);
    const chain =
      table.services.get(`${ip}/${protocol}/${port}`) ??
      (onNode ? table.nodePorts.get(`${protocol}/${port}`) : undefined);
    const found = chain === undefined ? undefined : nftTranslation(table, chain);
    if (!found || found.backends.length === 0) return undefined;
    return { kind: 'backend', backend: this.choose('nftables', found, client), via: 'nftables' };
  }

  private acceptsNodePorts({ nodePortIPs }: NftTable, ip: string): boolean {
    return this.isLocal(ip) && (nodePortIPs ? nodePortIPs.includes(ip) : !ip.startsWith('127.'));
  }

  private byIptables({ protocol, ip, port, client }: Connection): Fate | undefined {
    const found = translate(this.iptables.IPv4, protocol, ip, port, this.isLocal(ip));
    return found && { kind: 'backend', backend: this.choose('iptables', found, client), via: 'iptables' };
  }

  /** The packet keeps its destination: it is filtered, and ip_vs may take it where the address is the node's own. */
  private untranslated(connection: Connection): Fate {
    const { protocol, ip, port, from, client } = connection;
    const local = this.isLocal(ip) || (this.ipvs.device?.has(ip) ?? false);
    const hook: Hook = from === 'host' ? 'output' : local ? 'input' : 'forward';
    const verdict =
      filterVerdict(this.iptables.IPv4, hook, { protocol, ip, port, local: this.isLocal(ip) }) ??
      this.nftVerdict(connection);
    if (verdict) return { kind: verdict === 'reject' ? 'refused' : 'timeout' };
    const key = `${protocol}/${ip}/${port}`;
    const server = local ? this.ipvs.servers.get(key) : undefined;
    if (!server) return this.ipvs.device?.has(ip) ? { kind: 'refused' } : { kind: 'untouched' };
    if (server.real.length === 0) return { kind: 'refused' };
    // The client is the address itself, so the answer does not find its way back.
    if (server.foreign && from === 'host') return { kind: 'timeout' };
    const backends = server.real.map(real => `${real.ip}:${real.port}`);
    const choice = { backends, chain: key, remembers: server.seconds !== undefined };
    return { kind: 'backend', backend: this.choose('ipvs', choice, client), via: 'ipvs', server: key };
  }

  private nftVerdict({ protocol, ip, port }: Connection): 'reject' | 'drop' | undefined {
    const table = this.nft.ip;
    if (!table) return undefined;
    const byAddress = table.noEndpointServices.get(`${ip}/${protocol}/${port}`);
    if (byAddress) return byAddress.drop ? 'drop' : 'reject';
    const byPort = this.acceptsNodePorts(table, ip) ? table.noEndpointNodePorts.get(`${protocol}/${port}`) : undefined;
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
    if (nodePort) for (const ip of this.addresses) this.ipvs.servers.delete(`${protocol}/${ip}/${nodePort}`);
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
