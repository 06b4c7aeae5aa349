// A cluster in which nodes migrate and come back, again and again: where it stands, and how it gets to where a row begins.
import { expect } from 'vitest';
import { LABEL_MODE, MAIN_PORTS, WARM_PORTS } from '../../src/core/names.ts';
import { tempFile } from '../cli/run-cli.ts';
import { expectOnly } from '../scenarios/migration.ts';
import { type CliResult, differences } from '../scenarios/testbed.ts';
import { FOREIGN } from './cluster.ts';
import { laidOut } from './living.ts';
import type { RealRunning } from './proxyctl.ts';
import { eventually, listNodes, nodeNames, onNode } from './shell.ts';
import type { RealTestbed } from './testbed.ts';

export const FROM = 'iptables';
export const TO = 'nftables';
/** As the cluster was set up, no run in it; one node migrated; all of them. */
export type Place = 'before' | 'one' | 'all';

/** Time for kube-proxies to serve after they were killed, with kubelet's pauses between restarts, seconds. */
const SERVES_SECONDS = 400;
const LABEL_NONE = 'none';

export class Stage {
  readonly bed: RealTestbed;
  nodes: readonly string[] = [];
  private playbook = '';
  private before: ReadonlyMap<string, string> = new Map();
  /** Undefined when a row ended somewhere else than it should. */
  private at: Place | undefined;

  constructor(bed: RealTestbed) {
    this.bed = bed;
  }

  /** The node that migrates where one does. */
  get node(): string {
    return this.nodes[0] ?? '';
  }

  /** A fresh cluster; what stands in it now is what every way back leads to. */
  async setUp(): Promise<void> {
    await laidOut(FROM);
    this.nodes = await nodeNames();
    // What nobody can see any more is given up sooner than by default: a node that reboots takes its watchers along.
    const text = `order: { exclude: [${this.nodes.slice(1).join(', ')}] }\ngates: { convergence: 3m }\n`;
    this.playbook = tempFile('playbook.yaml', text);
    await this.settle();
  }

  /** What stands now is what every way back leads to from here on. */
  async settle(): Promise<void> {
    this.before = await this.bed.objects();
    this.at = 'before';
  }

  /** The command that leads to a place, with `others` of its options, as one would type it, ready to be listened to. */
  begin(place: Place, ...others: string[]): RealRunning {
    const wishes = place === 'one' ? ['--playbook', this.playbook] : [];
    const command = place === 'before' ? ['rollback'] : ['migrate', '--to', TO, '--batch', '10', ...wishes];
    return this.bed.start(...command, ...others, '--yes', '--format', 'json');
  }

  /** Leads the cluster to where a row begins, by one rollback where the last row left it somewhere else. */
  async bring(place: Place): Promise<void> {
    if (this.at === place) return;
    if (this.at === undefined) await this.recover();
    if (this.at === place) return;
    if (place !== 'before' && this.at !== 'before') await this.lead('before');
    await this.lead(place);
  }

  private async lead(place: Place): Promise<void> {
    this.leave();
    const result = await this.begin(place).result;
    expect(result.code, `on the way to '${place}':\n${lastWords(result)}`).toBe(0);
    await this.expectAt(place);
  }

  private async recover(): Promise<void> {
    // What does not serve now is for the rollback to mend.
    await this.expectServed().catch(() => undefined);
    try {
      await this.lead('before');
    } catch (error) {
      if (FOREIGN !== undefined) throw error;
      console.log(`one rollback does not bring the cluster back; a fresh one follows. ${String(error)}`);
      await this.setUp();
    }
  }

  /** Nobody knows where it stands until it is looked at. */
  leave(): void {
    this.at = undefined;
  }

  /** @throws when a node serves in another mode than it should there, its kernel holds more, or objects differ. */
  async expectAt(place: Place): Promise<void> {
    this.leave();
    for (const truth of await this.bed.truth()) {
      const migrated = place === 'all' || (place === 'one' && truth.name === this.node);
      expectOnly(truth, migrated ? TO : FROM);
    }
    if (place === 'before') expect(differences(this.before, await this.bed.objects())).toEqual([]);
    this.at = place;
  }

  /** Waits until every node serves as its label says. @throws when one does not within some minutes. */
  async expectServed(): Promise<void> {
    await eventually('every node in the mode of its label', SERVES_SECONDS, async () => {
      const wrong = (await Promise.all((await listNodes()).map(wrongMode))).flat();
      if (wrong.length > 0) throw new Error(wrong.join(', '));
      return true;
    });
  }
}

/** What is wrong with the mode that a node serves in; nothing when it is the one of its label. */
async function wrongMode({ metadata: { name, labels } }: Awaited<ReturnType<typeof listNodes>>[number]) {
  const label = labels?.[LABEL_MODE];
  // Between two kube-proxies the warm one serves, in either mode.
  const { metrics } = label === LABEL_NONE ? WARM_PORTS : MAIN_PORTS;
  const served = (await onNode(name, `curl -s -m 5 127.0.0.1:${metrics}/proxyMode`)).trim();
  const meant: readonly string[] = label === LABEL_NONE ? [FROM, TO] : [label ?? FROM];
  return meant.includes(served) ? [] : [`${name} serves in '${served}', its label says ${label ?? 'nothing'}`];
}

/** What a command said last, for people. */
export function lastWords({ code, stderr }: CliResult): string {
  return `exit ${code}; it said\n${stderr.trimEnd().split('\n').slice(-12).join('\n')}`;
}
