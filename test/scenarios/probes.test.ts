// Faults that no rule and no metric shows: only who dials notices.
import { describe, expect, it } from 'vitest';
import { embeddedTestbed } from './embedded-testbed.ts';

const TIMEOUT = 240_000;

describe.concurrent('one kind of traffic that dies with the new mode, though every rule is there', () => {
  it.each([
    ['udp', 'no answer', /:(53|81)\/UDP/],
    ['node-port', 'timeout', /@node-port:/],
    ['affinity', 'moved', /proxyctl\/probe-\w+:80\/TCP@affinity/],
    // Who cannot reach itself cannot do it several times either.
    ['hairpin', 'timeout', /proxyctl\/probe-\w+:80\/TCP@(hairpin|affinity from the pod network)/],
  ] as const)('%s is named, and its node goes back', { timeout: TIMEOUT }, async (kind, outcome, target) => {
    const bed = await embeddedTestbed('iptables', 21);
    try {
      const node = bed.sim.nodes[1]?.name ?? '';
      bed.sim.fault.silentTraffic(node, kind, ['nftables']);
      const halted = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes', '--format', 'json');
      expect(halted.code, halted.stderr).toBe(21);
      expect(halted.stderr).toMatch(target);
      expect(halted.stderr).toContain(kind === 'udp' ? '/UDP' : `@${kind}`);
      const failed = halted.stdout
        .split('\n')
        .filter(line => line.includes('"gate-judged"'))
        .map(line => JSON.parse(line))
        .filter(event => event.verdict === 'fail');
      expect(failed.map(event => [event.gate, event.node])).toEqual([['service-probes', node]]);
      const errors: { message: string }[] = failed[0].findings.filter((f: { level: string }) => f.level === 'error');
      for (const { message } of errors) expect(message).toMatch(target);
      expect(errors.map(f => f.message).join('\n')).toContain(outcome);
      expect((await bed.truth()).find(t => t.name === node)?.mode).toBe('iptables');
    } finally {
      await bed.close();
    }
  });
});

describe.concurrent('what the modes differ in by design', () => {
  it('is named and does not stop the run; the report counts by kind', { timeout: TIMEOUT }, async () => {
    const bed = await embeddedTestbed('iptables', 22);
    try {
      const done = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes', '--format', 'json');
      expect(done.code, done.stderr).toBe(0);
      expect(done.stderr).toMatch(/by design: only iptables answers NodePorts on 127\.0\.0\.1/);
      const events = done.stdout.split('\n').filter(line => line.startsWith('{'));
      const nodes = events.map(line => JSON.parse(line)).filter(event => event.event === 'node-done');
      expect(nodes).toHaveLength(3);
      for (const { failed, kinds } of nodes) {
        expect(failed).toBe(0);
        expect(Object.keys(kinds).toSorted()).toEqual([
          'affinity',
          'cluster-ip-tcp',
          'cluster-ip-udp',
          'dns',
          'hairpin',
          'node-port',
        ]);
      }
    } finally {
      await bed.close();
    }
  });
});
