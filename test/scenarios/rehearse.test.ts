// `rehearse: canary`: the way back is proven on the first node before any other is touched, on the embedded cluster.
import { describe, expect, it, type TestContext } from 'vitest';
import type { RunEvent } from '../../src/core/journal.ts';
import { MODES, type Mode } from '../../src/core/mode.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { expectOnly, migrated, withoutLoss } from './migration.ts';
import { type CliResult, differences } from './testbed.ts';

const TIMEOUT = 240_000;
const PLAYBOOK = 'rehearse: canary\ngates: { soak: 1s, settle: 2s, convergence: 15s, drain: 3s, onRed: run }\n';

interface Rehearsing {
  readonly bed: EmbeddedTestbed;
  readonly canary: string;
  readonly wishes: readonly string[];
}

async function rehearsing({ onTestFinished }: TestContext, from: Mode, to: Mode): Promise<Rehearsing> {
  const bed = await embeddedTestbed(from, 41, 2);
  onTestFinished(() => bed.close());
  const wishes = ['--to', to, '--batch', '10', '--playbook', tempFile('playbook.yaml', PLAYBOOK)];
  const plan = JSON.parse((await bed.proxyctl('plan', ...wishes, '--format', 'json')).stdout);
  const canary: string = plan.batches[0].nodes[0].name;
  expect(plan.batches.map((b: { rehearses?: string }) => b.rehearses)).toEqual([canary, undefined]);
  return { bed, canary, wishes };
}

function eventsOf({ stdout }: Pick<CliResult, 'stdout'>): RunEvent[] {
  return stdout.split('\n').flatMap(line => (line.startsWith('{') ? [JSON.parse(line) as RunEvent] : []));
}

function migrate({ bed, wishes }: Rehearsing): Promise<CliResult> {
  return bed.proxyctl('migrate', ...wishes, '--yes', '--format', 'json');
}

/** Calls when the node gets this label; once. */
function onceLabelled({ bed, canary }: Rehearsing, label: string | undefined, after: string, strike: () => void): void {
  let due = false;
  let struck = false;
  bed.sim.store.subscribe(({ kind, object }) => {
    if (kind !== 'Node' || object.metadata.name !== canary || struck) return;
    const now = modeLabel(object);
    if (now === after) due = true;
    if (!due || now !== label) return;
    struck = true;
    strike();
  });
}

function expectOthersUntouched({ bed, canary }: Rehearsing, events: readonly RunEvent[]): void {
  expect(events.filter(e => e.event === 'batch-started').map(e => e.batch)).toEqual(['batch-1']);
  expect(events.filter(e => e.event === 'step-intended' && e.node !== canary)).toEqual([]);
  const labelled = bed.sim.store.list('Node').filter(n => modeLabel(n) !== undefined && n.metadata.name !== canary);
  expect(labelled).toEqual([]);
}

describe.concurrent('the rehearsed way back', () => {
  it.for(MODES.flatMap(from => MODES.filter(to => to !== from).map(to => ({ from, to }))))(
    '$from -> $to: there, back and there again without loss, before the next batch',
    { timeout: TIMEOUT },
    async ({ from, to }, context) => {
      const at = await rehearsing(context, from, to);
      const { bed, canary, wishes } = at;
      const before = await bed.objects();
      const events: RunEvent[] = [];
      await withoutLoss(
        { ...bed, proxyctl: async (...args) => kept(await bed.proxyctl(...args), events) },
        'there, back and there again',
        0,
        'migrate',
        ...wishes,
      );
      await migrated(bed, to);
      const modes = events.flatMap(e => (e.event === 'node-done' && e.node === canary ? [e.mode] : []));
      expect(modes).toEqual([to, from, to]);
      const kinds: string[] = events.map(e => e.event);
      expect(kinds.indexOf('rehearsal-done')).toBeGreaterThan(kinds.indexOf('rehearsal-started'));
      expect(events.findIndex(e => e.event === 'batch-started' && e.batch === 'batch-2')).toBeGreaterThan(
        kinds.indexOf('rehearsal-done'),
      );
      // Behind all gates, not only behind those that a rollback obeys.
      const asked = events.slice(kinds.indexOf('rehearsal-started'), kinds.indexOf('rehearsal-done'));
      const passed = asked.flatMap(e => (e.event === 'gate-judged' && e.verdict === 'pass' ? [e.gate] : []));
      for (const gate of ['kernel-rules', 'service-probes', 'residue', 'follows-changes', 'node-health'])
        expect(passed).toContain(gate);
      expect((await bed.proxyctl('status')).stdout).toMatch(new RegExp(`way back +proven on ${canary} at \\d{4}-`));
      expect((await bed.proxyctl('rollback', '--yes')).code).toBe(0);
      expect(differences(before, await bed.objects())).toEqual([]);
    },
  );

  // Between iptables and ipvs the node's own kube-proxy is restarted, too.
  it.for(['nftables', 'ipvs'] as const)(
    'that cannot start is called off: the node stays in %s as it is, and nothing else is touched',
    {
      timeout: TIMEOUT,
    },
    async (to, context) => {
      const at = await rehearsing(context, 'iptables', to);
      const { bed, canary } = at;
      let clear = () => {};
      onceLabelled(at, to, to, () => {
        clear = bed.sim.fault.crashLoop('iptables', canary);
      });
      const halted = await migrate(at);
      expect(halted.code, halted.stderr).toBe(21);
      const events = eventsOf(halted);
      const end = events.at(-1);
      const reason = end?.event === 'run-closed' ? end.reason : '';
      expect(reason).toContain(`the way back is not proven: rehearsed on ${canary}, it failed (`);
      expect(reason).toContain(`${canary} serves in ${to} as before, and no other node was touched`);
      expectOthersUntouched(at, events);
      const truth = (await bed.truth()).find(node => node.name === canary);
      if (truth) expectOnly(truth, to);
      expect((await bed.proxyctl('status')).stdout).toMatch(
        new RegExp(`way back +not proven yet; rehearsed on ${canary}`),
      );
      // Going on rehearses again; once the way back is there it is proven.
      const again = await bed.proxyctl('resume', '--yes');
      expect([again.code, again.stderr]).toEqual([
        21,
        expect.stringMatching(new RegExp(`way back +not proven on ${canary}`)),
      ]);
      clear();
      const proven = await bed.proxyctl('resume', '--yes');
      expect([proven.code, proven.stderr]).toEqual([
        0,
        expect.stringMatching(new RegExp(`way back +proven on ${canary}, in`)),
      ]);
      await migrated(bed, to);
    },
  );

  it('that turns out bad in the end halts there, whatever onRed says', { timeout: TIMEOUT }, async context => {
    const at = await rehearsing(context, 'iptables', 'nftables');
    const { bed, canary } = at;
    const service = bed.sim.store.list('Service').find(s => s.metadata.namespace !== 'kube-system' && s.spec.selector);
    const key = `${service?.metadata.namespace}/${service?.metadata.name}`;
    let clear = () => {};
    onceLabelled(at, undefined, 'nftables', () => {
      clear = bed.sim.fault.silentService(canary, key, ['iptables']);
    });
    const halted = await migrate(at);
    expect(halted.code, halted.stderr).toBe(21);
    const events = eventsOf(halted);
    expect(events.at(-1)).toMatchObject({ event: 'run-closed', outcome: 'halted' });
    expect(halted.stderr.replaceAll(/\s+/g, ' ')).toContain(
      `${canary} is on its way to iptables, which is not proven there`,
    );
    expectOthersUntouched(at, events);
    clear();
    const resumed = await bed.proxyctl('resume', '--yes', '--format', 'json');
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(eventsOf(resumed).map(e => e.event)).toContain('rehearsal-done');
    await migrated(bed, 'nftables');
  });
});

function kept(result: CliResult, events: RunEvent[]): CliResult {
  events.push(...eventsOf(result));
  return result;
}
