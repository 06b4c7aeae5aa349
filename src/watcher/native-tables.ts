// iptables-nft-save passes over a table that holds rules only nft knows, says so in a comment, and ends with code 0: what
// kube-proxy has in such a table is then not seen. nft still tells the names of its chains.
import type { NodeIo } from '../core/node-io.ts';
import { few } from '../core/words.ts';
import type { IptablesVariant } from '../kernel/kernel.ts';
import { chainOwner } from '../kernel/ownership.ts';

/** Reads along with the output of iptables-save, piece by piece, and keeps the tables that it passes over. */
export class PassedOver {
  readonly tables: string[] = [];
  private rest = '';

  push(piece: string): void {
    const text = this.rest + piece;
    const end = text.lastIndexOf('\n') + 1;
    for (const [, table = ''] of text.slice(0, end).matchAll(/^# Table `(\w+)' is incompatible/gm))
      this.tables.push(table);
    this.rest = text.slice(end);
  }
}

/** Why these tables hide what kube-proxy has there; undefined where it has nothing in them. */
export async function hiddenIn(
  io: NodeIo,
  variant: IptablesVariant,
  tables: readonly string[],
): Promise<string | undefined> {
  if (tables.length === 0) return undefined;
  const family = variant.startsWith('ip6') ? 'ip6' : 'ip';
  const { code, stdout, stderr } = await io.run('nft', ['-j', 'list', 'chains', family]);
  const why = `${few(tables)} of ${family} has rules that only nft knows`;
  if (code !== 0) return `${why}, and its chains cannot be listed: ${stderr.trim() || `exit code ${code}`}`;
  const hidden = chainsIn(stdout).filter(({ table, name }) => tables.includes(table) && chainOwner(table, name));
  if (hidden.length === 0) return undefined;
  return `${why}, and chains of kube-proxy: ${few(hidden.map(({ table, name }) => `${table}/${name}`))}`;
}

interface NamedChain {
  readonly table: string;
  readonly name: string;
}

function chainsIn(json: string): NamedChain[] {
  const { nftables }: { nftables: { chain?: NamedChain }[] } = JSON.parse(json);
  return nftables.flatMap(({ chain }) => chain ?? []);
}
