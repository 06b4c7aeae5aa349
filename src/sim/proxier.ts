// The part of kube-proxy that follows Services and writes rules, and what it says about itself.

import type { HostPort } from '../core/proxy-address.ts';
import { HealthPorts } from './health-ports.ts';
import type { Kernel } from './kernel.ts';
import { klog } from './klog.ts';
import { programNft } from './nft.ts';
import type { PortHandler, SimNode } from './node.ts';
import { CANARY, programIptables } from './program-iptables.ts';
import { programIpvs } from './program-ipvs.ts';
import { inCIDR, type ProxyConfig } from './proxy-config.ts';
import { FAMILIES, type Family, renderMetrics, type SyncStats } from './proxy-metrics.ts';
import type { ServiceView } from './services.ts';
import type { ContainerRun, World } from './world.ts';

export interface ProxierParts {
  readonly run: ContainerRun;
  readonly world: World;
  readonly config: ProxyConfig;
  readonly kernel: Kernel;
}

export class Proxier {
  readonly startedAt = Date.now() / 1000;
  /** A DaemonSet made its pod. */
  readonly managed: boolean;
  readonly podName: string;
  private readonly parts: ProxierParts;
  private readonly node: SimNode;
  private readonly stats: Record<Family, SyncStats>;
  private readonly endings: (() => void)[] = [];
  private readonly health: HealthPorts;
  private queued = false;
  private closed = false;
  /** SIGSTOP: it writes nothing and answers nobody, its ports stay open. */
  stopped = false;
  private started = false;
  private lastVersion = -1;

  constructor(parts: ProxierParts) {
    this.parts = parts;
    this.node = parts.run.node;
    const { metadata } = parts.run.pod;
    this.managed = metadata.ownerReferences?.some(owner => owner.controller) ?? false;
    this.podName = metadata.name;
    const fresh = (): SyncStats => ({ lastSync: undefined, lastQueued: undefined, failures: 0, syncs: 0, seconds: 0 });
    this.stats = { IPv4: fresh(), IPv6: fresh() };
    this.health = new HealthPorts(this.node);
    if (parts.run.hostNetwork) this.node.processes.add(this);
  }

  get mode(): ProxyConfig['mode'] {
    return this.parts.config.mode;
  }

  /** Whether somebody who asks at this port waits for nothing. */
  isMuteAt(port: number): boolean {
    const { metrics, healthz } = this.parts.config;
    return this.stopped && (port === metrics.port || port === healthz.port || this.health.has(port));
  }

  /** All families have had their first full sync. */
  get synced(): boolean {
    return FAMILIES.every(family => this.stats[family].lastSync !== undefined);
  }

  /** Opens the ports; one that is taken is tried again until it is free. */
  listen(): void {
    if (!this.parts.run.hostNetwork) return;
    const { metrics, healthz } = this.parts.config;
    this.bind(metrics, path => this.answerMetrics(path));
    this.bind(healthz, path => this.answerHealthz(path));
  }

  private bind(at: HostPort, handler: PortHandler): void {
    const { timers, speed } = this.parts.world;
    if (this.closed) return;
    const end = this.node.listen(at, handler);
    this.endings.push(end ?? timers.after(speed.portRetry, () => this.bind(at, handler)));
  }

  /** Informers have synced: first full sync, then every change. */
  start(): void {
    const { world, run } = this.parts;
    this.started = true;
    for (const family of FAMILIES) this.stats[family].lastQueued = Date.now() / 1000;
    this.sync();
    this.endings.push(world.services.onChange(() => this.queue()));
    this.endings.push(world.timers.every(world.speed.canary, () => this.monitor()));
    if (this.mode === 'nftables' && !this.synced)
      run.log(klog('E', 'proxier.go:1210', '"Sync failed" retryingTime="30s"'));
  }

  /** Syncs soon; what else changes until then is one sync. */
  queue(): void {
    const { world } = this.parts;
    if (this.closed || this.queued || !this.started || this.stopped) return;
    this.queued = true;
    for (const family of FAMILIES) this.stats[family].lastQueued = Date.now() / 1000;
    this.endings.push(
      world.timers.after(world.speed.proxySync, () => {
        this.queued = false;
        if (!this.closed) this.sync();
      }),
    );
  }

  /** iptables: rules that somebody removed come back. ipvs: everything is written again. nftables watches nothing. */
  private monitor(): void {
    const { kernel, world } = this.parts;
    if (this.closed || this.stopped || world.faults.isFrozen(this.node.name)) return;
    if (this.mode === 'ipvs') this.sync();
    if (this.mode !== 'iptables' || kernel.iptables.IPv4.chain('mangle', CANARY)) return;
    this.parts.run.log(
      klog('I', 'iptables.go:674', '"IPTables canary deleted" table="mangle" chain="KUBE-PROXY-CANARY"'),
    );
    this.sync();
  }

  private sync(): void {
    const { world, kernel } = this.parts;
    if (this.stopped || world.faults.isFrozen(this.node.name)) return;
    const begin = performance.now();
    if (world.faults.failsSync(this.node.name)) {
      for (const family of FAMILIES) this.stats[family].failures++;
      return;
    }
    const view = world.services.current();
    this.lastVersion = view.version;
    for (const family of FAMILIES) {
      // Services have IPv4 addresses only; the IPv6 rules are there without any.
      this.program(family, family === 'IPv4' ? view : { version: view.version, ports: [] });
      const stats = this.stats[family];
      stats.lastSync = Date.now() / 1000;
      stats.syncs++;
      stats.seconds += (performance.now() - begin) / 1000;
    }
    if (this.parts.run.hostNetwork) this.health.serve(view, this.nodePortIPs('IPv4')?.[0]);
    if (kernel.silenced.size > 0) kernel.silence(view.ports);
    if (kernel === this.node.kernel) for (const damage of world.faults.damagesOf(this.node.name)) damage(kernel);
  }

  private program(family: Family, view: ServiceView): void {
    const { kernel, config, world } = this.parts;
    const { name, ip } = this.node;
    const clusterCIDR = config.clusterCIDR || world.clusterCIDR;
    const nodePortIPs = this.nodePortIPs(family);
    if (this.mode === 'nftables') {
      const short = family === 'IPv4' ? 'ip' : 'ip6';
      kernel.setNft(short, programNft(short, view, { name, ip, clusterCIDR, nodePortIPs }));
      return;
    }
    const iptables = kernel.iptables[family];
    kernel.useIptables();
    if (this.mode === 'iptables') {
      programIptables(iptables, view, { name, ip, clusterCIDR, nodePortIPs });
      return;
    }
    const excluded = (address: string) => config.excludeCIDRs.some(cidr => inCIDR(address, cidr));
    const { scheduler } = config;
    // A virtual server has one address, so every one of the node is named.
    const addresses = nodePortIPs ?? this.node.addresses;
    const own = { ip, name, clusterCIDR, scheduler, excluded, nodePortIPs: addresses };
    programIpvs(kernel.ipvs, iptables, family, view, own);
  }

  /** Addresses that accept NodePorts; undefined for every local one. */
  private nodePortIPs(family: Family): readonly string[] | undefined {
    const { nodePortAddresses, bound } = this.parts.config;
    const given = nodePortAddresses.length > 0 || this.mode !== 'nftables' ? nodePortAddresses : ['primary'];
    if (given.length === 0 || given.includes(family === 'IPv4' ? '0.0.0.0/0' : '::/0')) return undefined;
    if (family === 'IPv6') return [];
    const { ip, addresses } = this.node;
    const primary = bound === '' || bound.includes(':') ? ip : bound;
    return given.includes('primary') ? [primary] : addresses.filter(own => given.some(cidr => inCIDR(own, cidr)));
  }

  private answerMetrics(path: string): { status: number; body: string } {
    switch (path.split('?')[0]) {
      case '/proxyMode':
        return { status: 200, body: this.mode };
      case '/healthz':
        return { status: 200, body: 'ok' };
      case '/configz':
        return {
          status: 200,
          body: JSON.stringify({ 'kubeproxy.config.k8s.io': { ...this.parts.config.document, mode: this.mode } }),
        };
      case '/metrics':
        return { status: 200, body: renderMetrics(this.mode, this.startedAt, this.stats, this.pending()) };
      default:
        return { status: 404, body: '404 page not found\n' };
    }
  }

  /** Changes that were not written yet. */
  private pending(): number {
    return this.started && this.parts.world.services.current().version !== this.lastVersion ? 1 : 0;
  }

  /** Healthy whatever happens, as the real one before its first sync and after a failed one. */
  private answerHealthz(path: string): { status: number; body: string } {
    if (!/^\/(healthz|livez)$/.test(path)) return { status: 404, body: '404 page not found\n' };
    const now = new Date().toISOString();
    const family = { lastUpdated: now, healthy: true };
    const status = { IPv4: family, IPv6: family };
    return {
      status: 200,
      body: JSON.stringify({ lastUpdated: now, currentTime: now, nodeEligible: true, healthy: true, status }),
    };
  }

  close(): void {
    this.closed = true;
    this.health.close();
    for (const end of this.endings.splice(0)) end();
    this.node.processes.delete(this);
  }
}
