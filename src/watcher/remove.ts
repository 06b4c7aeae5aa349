// Removes single things from a node's kernel. What fails is printed; whether something is gone is for a new look to say.
import type { NodeIo } from '../core/node-io.ts';
import { servicePort } from '../core/service-port.ts';
import type { VirtualServer } from '../kernel/ipvs.ts';
import type { ChainRef, Leftovers } from '../kernel/leftovers.ts';
import { eachAtMost } from './pace.ts';
import type { Report } from './report.ts';

const MAX_PROGRAMS = 4;
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

  async nftTables(families: readonly ('ip' | 'ip6')[]): Promise<void> {
    for (const family of families) await this.run('nft', ['delete', 'table', family, 'kube-proxy']);
  }

  /** One transaction for each table of each backend, so that no packet meets half of it. */
  async chains(left: Pick<Leftovers, 'chains' | 'jumps'>): Promise<void> {
    const scripts = Map.groupBy([...left.jumps, ...left.chains], ({ variant, table }) => `${variant} ${table}`);
    for (const [key, refs] of scripts) {
      const [variant = '', table = ''] = key.split(' ');
      await this.run(`${variant}-restore`, ['--noflush'], restoreScript(table, refs));
    }
  }

  /** Whether all of them could be removed. */
  async virtualServers(servers: readonly VirtualServer[]): Promise<boolean> {
    let all = true;
    await eachAtMost(MAX_PROGRAMS, servers, async server => {
      if (!(await this.virtualServer(server))) all = false;
    });
    return all;
  }

  private async virtualServer({ address, port, protocol }: VirtualServer): Promise<boolean> {
    const [place = ''] = servicePort(address, port, protocol).split('/');
    return this.run('ipvsadm', ['-D', SERVICE_FLAG[protocol], place]);
  }

  async device(): Promise<void> {
    await this.run('ip', ['link', 'del', 'kube-ipvs0']);
  }

  async ipsets(names: readonly string[]): Promise<void> {
    for (const name of names) await this.run('ipset', ['destroy', name]);
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
