// What is asked before a change, on a terminal: one line says what will happen, and no answer changes nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';
import { hasTerminal, runOnTerminal, tempFile } from './run-cli.ts';

const TIMEOUT = 120_000;
const MIGRATE = ['migrate', '--to', 'nftables', '--batch', '10'];
const QUESTION = "Type the cluster's name";
const KEYS = { 'Ctrl-C': '\x03', 'Ctrl-D': '\x04', 'another word': 'no\r' };

let bed: EmbeddedTestbed;
let at: readonly string[];
beforeAll(async () => {
  bed = await embeddedTestbed('iptables', 57, 2);
  at = ['--kubeconfig', tempFile('kubeconfig', bed.sim.kubeconfig())];
});
afterAll(() => bed.close());

describe.runIf(hasTerminal)('a typed confirmation', () => {
  it.each(Object.entries(KEYS))('that is %s: not confirmed', { timeout: TIMEOUT }, async (_name, keys) => {
    const { code, stdout } = await runOnTerminal([...at, ...MIGRATE], { question: QUESTION, keys });
    expect(stdout).toMatch(
      /iptables to nftables: 2 nodes in \d+ batch(es)?, \d+ Services exposed in the end\r?\n.*Type the/,
    );
    expect(stdout).toMatch(/\nproxyctl: not confirmed; nothing was changed\r?\n/);
    expect(code, stdout).toBe(23);
    expect(bed.sim.store.list('Namespace').map(n => n.metadata.name)).not.toContain('proxyctl');
  });

  it('of finalize and rollback says what they mean', { timeout: TIMEOUT }, async () => {
    expect((await bed.proxyctl(...MIGRATE, '--yes')).code).toBe(0);
    const answer = { question: QUESTION, keys: 'no\r' };
    const finalize = await runOnTerminal([...at, 'finalize'], answer);
    expect([finalize.code, finalize.stdout]).toEqual([
      23,
      expect.stringContaining('after this, undo is a new migration'),
    ]);
    const back = await runOnTerminal([...at, 'rollback'], answer);
    expect([back.code, back.stdout]).toEqual([
      23,
      expect.stringMatching(/2 of the run's 2 nodes bear its label and go back to iptables\r?\n.*Type the/),
    ]);
  });
});
