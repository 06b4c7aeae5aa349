// Removes single things from a node's kernel. What fails is printed; whether something is gone is for a new look to say.
import type { NodeIo, Prepared } from '../core/node-io.ts';
import { hostPort } from '../core/service-port.ts';
import { parseIpVs, type VirtualServer, virtualServerKey } from '../kernel/ipvs.ts';
import type { ChainRef, Leftovers } from '../kernel/leftovers.ts';
import { readIfThere } from './collect.ts';
import type { Report } from './report.ts';

/** iptables: another program holds the lock of the legacy tables. */
const LOCKED = 4;
const LOCK_TRIES = 20;
const LOCK_WAIT_MS = 500;
const SERVICE_FLAG = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as const;

export class Remover {
  private readonly io: NodeIo;
  private readonly report: Report;

  constructor(io: NodeIo, report: Report) {
    this.io = io;
    this.report = report;
  }

  /** Each as `table ip NAME`. */
  async tables(names: readonly string[]): Promise<void> {
    for (const name of names) await this.run('nft', ['delete', ...name.split(' ')]);
  }

  /** One transaction for each table of each backend, so that no packet meets half of it. */
  async chains(left: Pick<Leftovers, 'chains' | 'jumps'>): Promise<void> {
    const scripts = Map.groupBy([...left.jumps, ...left.chains], ({ variant, table }) => `${variant} ${table}`);
    for (const [key, refs] of scripts) {
      const [variant = '', table = ''] = key.split(' ');
      await this.run(`${variant}-restore`, ['--noflush'], restoreScript(table, refs));
    }
  }

  /** What removes virtual servers, made ready. */
  serverRemoval(): Prepared {
    return this.io.prepare('ipvsadm', ['-R']);
  }

  /** Hundreds of them in a moment: one program removes them all. Gives whether they are gone. */
  async virtualServers(servers: readonly VirtualServer[], removal = this.serverRemoval()): Promise<boolean> {
    const lines = servers.map(
      ({ protocol, address, port }) => `-D ${SERVICE_FLAG[protocol]} ${hostPort(address, port)}\n`,
    );
    const { code, stderr } = await removal.give(lines.join(''));
    if (code !== 0) this.report.trouble('ipvsadm -R', stderr.trim() || `exit code ${code}`);
    // It gives no code for lines that failed.
    const there = new Set(parseIpVs((await readIfThere(this.io, '/proc/net/ip_vs')) ?? '').map(virtualServerKey));
    const left = servers.filter(server => there.has(virtualServerKey(server)));
    for (const { address, port } of left)
      this.report.trouble(`ipvsadm -D ${hostPort(address, port)}`, 'it is still there');
    return left.length === 0;
  }

  async device(): Promise<void> {
    await this.run('ip', ['link', 'del', 'kube-ipvs0']);
  }

  /** One program removes them, up to the first that it cannot; then the next one those behind it. */
  async ipsets(names: readonly string[]): Promise<void> {
    for (let rest = [...names]; rest.length > 0; ) {
      const { code, stderr } = await this.io.run('ipset', ['restore'], rest.map(name => `destroy ${name}\n`).join(''));
      if (code === 0) return;
      const line = Number(/Error in line (\d+)/.exec(stderr)?.[1] ?? rest.length);
      this.report.trouble(`ipset destroy ${rest[line - 1] ?? ''}`, stderr.trim() || `exit code ${code}`);
      rest = rest.slice(line);
    }
  }

  private async run(program: string, args: string[], input?: string): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      const { code, stderr } = await this.io.run(program, args, input);
      if (code === 0) return true;
      if (code !== LOCKED || !program.endsWith('-restore') || tries === LOCK_TRIES) {
        this.report.trouble([program, ...args].join(' '), stderr.trim() || `exit code ${code}`);
        return false;
      }
      await this.io.sleep(LOCK_WAIT_MS);
    }
  }
}

/** Jumps first, then the chains: emptied before the first is deleted, since they lead to one another. */
function restoreScript(table: string, refs: readonly (ChainRef & { text?: string })[]): string {
  const chains = refs.filter(ref => ref.text === undefined);
  return [
    `*${table}`,
    ...refs.flatMap(({ chain, text }) => (text === undefined ? [] : [`-D ${chain} ${text}`])),
    ...chains.map(({ chain }) => `:${chain} - [0:0]`),
    ...chains.map(({ chain }) => `-X ${chain}`),
    'COMMIT',
    '',
  ].join('\n');
}
