// A kube-proxy that writes its rules once and then no more, on the embedded cluster.
import { describe, expect, it, type TestContext } from 'vitest';
import { modeLabel } from '../../src/core/run-state.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';

const TIMEOUT = 180_000;
const MIGRATE = ['migrate', '--to', 'nftables', '--batch', '100', '--yes'];
const playbook = (gates: string) =>
  tempFile('playbook.yaml', `gates: { soak: 0s, settle: 2s, convergence: 25s, drain: 3s, lag: 3s, ${gates} }\n`);

async function fresh({ onTestFinished }: TestContext, seed: number): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed('iptables', seed);
  onTestFinished(() => bed.close());
  return bed;
}

/** Calls `strike` with the first node that serves in the new mode, when the run is about to see whether it follows. */
function whenAsked(bed: EmbeddedTestbed, strike: (node: string) => void): void {
  bed.sim.store.subscribe(({ type, kind, object }) => {
    if (type !== 'ADDED' || kind !== 'Service' || object.metadata.name !== 'follows-changes') return;
    const node = bed.sim.store.list('Node').find(n => modeLabel(n) === 'nftables');
    if (node) strike(node.metadata.name);
  });
}

describe.concurrent('a kube-proxy that stops once it serves', () => {
  it('is found by a change that it does not follow; the node goes back', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 51);
    let struck = '';
    whenAsked(bed, node => {
      struck = node;
      bed.sim.fault.stopProxies(node);
    });
    const halted = await bed.proxyctl(...MIGRATE, '--playbook', playbook(''));
    expect(halted.code, halted.stderr).toBe(21);
    const said = halted.stderr.replaceAll(/\n\s+/g, ' ');
    expect(said).toMatch(
      new RegExp(
        `follows-changes: node ${struck} \\d+ s after a change of endpoints its nftables rules for .* still lead nowhere`,
      ),
    );
    expect((await bed.truth()).map(t => t.mode)).toEqual(['iptables', 'iptables', 'iptables']);
  });
});

describe.concurrent('every node of a run', () => {
  it('is seen to follow a change, and nothing of it is left', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 53);
    const endpoints = new Set<string>();
    bed.sim.store.subscribe(({ kind, object }) => {
      if (kind === 'EndpointSlice' && object.metadata.name.startsWith('follows-changes-'))
        endpoints.add(object.endpoints[0].addresses[0]);
    });
    const done = await bed.proxyctl(...MIGRATE, '--playbook', playbook(''), '--format', 'json');
    expect(done.code, done.stderr).toBe(0);
    const judged = done.stdout.split('\n').filter(line => line.includes('"gate":"follows-changes"'));
    expect(judged).toHaveLength(3);
    expect(judged.every(line => line.includes('"verdict":"pass"'))).toBe(true);
    expect([...endpoints]).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
    expect(bed.sim.store.list('Service', 'proxyctl')).toEqual([]);
    expect(bed.sim.store.list('EndpointSlice', 'proxyctl')).toEqual([]);
  });

  it('is left alone where the playbook switches the gate off', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 52);
    const made: string[] = [];
    bed.sim.store.subscribe(({ type, kind, object }) => {
      if (type === 'ADDED' && kind === 'Service') made.push(object.metadata.name);
    });
    const off = playbook('settings: { follows-changes: { enabled: false } }');
    const done = await bed.proxyctl(...MIGRATE, '--playbook', off);
    expect(done.code, done.stderr).toBe(0);
    expect(made.filter(name => name.startsWith('follows-changes'))).toEqual([]);
  });
});
