import { Duration } from '../core/duration.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory, NodeFacts } from '../core/inventory.ts';
import type { Verification } from '../core/verification.ts';
import { few } from '../core/words.ts';
import { roundText, verifyText } from '../report/verify-text.ts';
import { realClock } from '../run/clock.ts';
import type { CommandIo } from './io.ts';
import { playbookOf } from './make-plan.ts';
import { namesIn } from './node-names.ts';
import { inventoryOf, openCluster, watcherImageOf } from './session.ts';
import { whileLooking } from './signals.ts';
import { type Round, whileWatching } from './verify-rounds.ts';

export interface VerifyOptions {
  node?: string[];
  playbook?: string;
  watcherImage?: string;
  for?: string;
}

export async function verifyCommand(io: CommandIo, options: VerifyOptions): Promise<number> {
  const seconds = options.for === undefined ? undefined : secondsOf(options.for);
  const playbook = playbookOf(options);
  const cluster = await openCluster(io);
  try {
    return await whileLooking(io, async signals => {
      const inventory = await inventoryOf(cluster);
      const names = (options.node ?? []).flatMap(namesIn);
      refuseUnknown(inventory, names);
      const again = seconds !== undefined;
      const watcherImage = watcherImageOf(options.watcherImage);
      const session = { io, cluster, inventory, playbook, watcherImage, again, ...signals };
      const nodesOf = (now: Inventory) => nodesToVerify(now, names);
      const tell = (found: Verification) => io.out(io.options.format === 'json' ? json(found) : text(found, io));
      const well = await whileWatching(session, nodesOf, round => rounds(round, seconds ?? 0, tell));
      return well ? EXIT.done : EXIT.findings;
    });
  } finally {
    cluster.close();
  }
}

function secondsOf(text: string): number {
  const parsed = Duration.safeParse(text);
  if (parsed.success && parsed.data > 0) return parsed.data;
  throw new ProxyctlError(`--for takes a duration such as 30s, 5m or 1h30m; got '${text}'`, EXIT.usage);
}

/** One round, and more of them until the time is over. True when each of them passed. */
async function rounds(round: Round, seconds: number, tell: (found: Verification) => void): Promise<boolean> {
  const end = realClock.monotonic() + seconds * 1000;
  let well = true;
  do {
    const found = await round();
    tell(found);
    well &&= found.verdict === 'pass';
  } while (realClock.monotonic() < end);
  return well;
}

/** One document, or a line for each round. */
function json(found: Verification): string {
  return JSON.stringify(found, null, found.round === undefined ? 2 : 0);
}

function text(found: Verification, { paintOut }: CommandIo): string {
  return found.round === undefined ? verifyText(found, paintOut) : roundText(found, paintOut);
}

function refuseUnknown({ nodes }: Inventory, names: readonly string[]): void {
  const unknown = names.filter(name => !nodes.some(n => n.name === name));
  if (unknown.length === 0) return;
  const message = `no node ${few(unknown)} in this cluster; there are ${few(nodes.map(n => n.name))}`;
  throw new ProxyctlError(message, EXIT.usage);
}

/** Those named, or all that kube-proxy could serve. */
function nodesToVerify({ nodes }: Inventory, names: readonly string[]): NodeFacts[] {
  const wanted = new Set(names);
  return nodes.filter(n => (wanted.size === 0 ? n.os !== 'windows' : wanted.has(n.name)));
}
