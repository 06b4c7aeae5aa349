// What a red gate leads to, on the embedded cluster.
import { describe, expect, it, type TestContext } from 'vitest';
import type { RunEvent } from '../../src/core/journal.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { differences } from './testbed.ts';

const TIMEOUT = 400_000;

interface Ended {
  bed: EmbeddedTestbed;
  code: number;
  events: RunEvent[];
  /** Modes of the canary, of the two nodes of the next batch, on the last of which a Service breaks, and of the last batch. */
  modes: string[];
  before: Map<string, string>;
}

/** The canary flips, then a batch of two; on its last node a Service silently breaks. */
async function redOnTheLast({ onTestFinished }: TestContext, gates: string): Promise<Ended> {
  const bed = await embeddedTestbed('iptables', 21, 4);
  onTestFinished(() => bed.close());
  const before = await bed.objects();
  const inBatches = ['--to', 'nftables', '--batch', '100'];
  const plan = JSON.parse((await bed.proxyctl('plan', ...inBatches, '--format', 'json')).stdout);
  const nodes: string[] = plan.batches.flatMap((b: { nodes: { name: string }[] }) => b.nodes.map(n => n.name));
  expect(plan.batches.map((b: { nodes: unknown[] }) => b.nodes.length)).toEqual([1, 2, 1]);
  const service = bed.sim.store.list('Service').find(s => s.metadata.namespace !== 'kube-system' && s.spec.selector);
  const key = `${service?.metadata.namespace}/${service?.metadata.name}`;
  // Once the node is handed over: before that calling the flip off costs nothing, and is what happens whatever is wished.
  bed.sim.store.subscribe(({ kind, object }) => {
    const handedOver = kind === 'Node' && object.metadata.name === nodes[2] && modeLabel(object) === 'nftables';
    if (handedOver) bed.sim.fault.silentService(object.metadata.name, key, ['nftables']);
  });
  const text = `gates: { soak: 1s, settle: 2s, convergence: 100s, drain: 3s, ${gates} }\n`;
  const playbook = tempFile('playbook.yaml', text);
  const ended = await bed.proxyctl('migrate', ...inBatches, '--playbook', playbook, '--yes', '--format', 'json');
  const events = ended.stdout.split('\n').filter(line => line.startsWith('{'));
  const truth = await bed.truth();
  const modes = nodes.map(name => truth.find(node => node.name === name)?.mode ?? '');
  return { bed, code: ended.code, events: events.map(line => JSON.parse(line)), modes, before };
}

function backAgain(events: readonly RunEvent[]): string[] {
  return [...new Set(events.flatMap(e => (e.event === 'node-back' ? [e.node] : [])))];
}

describe.concurrent('a gate that fails on the last node of a batch', () => {
  it('node: puts the node back and halts', { timeout: TIMEOUT }, async context => {
    const { code, modes, events } = await redOnTheLast(context, '');
    expect([code, ...modes]).toEqual([21, 'nftables', 'nftables', 'iptables', 'iptables']);
    expect(backAgain(events)).toHaveLength(1);
  });

  it('halt: leaves the node as it is', { timeout: TIMEOUT }, async context => {
    const { code, modes, events } = await redOnTheLast(context, 'onRed: halt');
    expect([code, ...modes]).toEqual([21, 'nftables', 'nftables', 'nftables', 'iptables']);
    expect(backAgain(events)).toEqual([]);
  });

  it('batch: puts the batch back, last node first, and no other', { timeout: TIMEOUT }, async context => {
    // Rules and probes tell of it, whichever looks first.
    const settings = 'settings: { kernel-rules: { onRed: batch }, service-probes: { onRed: batch } }';
    const { bed, code, modes, events } = await redOnTheLast(context, settings);
    expect([code, ...modes]).toEqual([22, 'nftables', 'iptables', 'iptables', 'iptables']);
    expect(backAgain(events)).toHaveLength(2);
    expect(events.at(-1)).toMatchObject({ event: 'run-closed', outcome: 'rolled back' });
    // The run stands: what is left of it can be put back too.
    expect((await bed.proxyctl('rollback', '--yes')).code).toBe(0);
  });

  it('run: puts everything back and leaves nothing', { timeout: TIMEOUT }, async context => {
    const { bed, code, modes, before } = await redOnTheLast(context, 'onRed: run');
    expect([code, ...modes]).toEqual([22, 'iptables', 'iptables', 'iptables', 'iptables']);
    expect(differences(before, await bed.objects())).toEqual([]);
  });
});
