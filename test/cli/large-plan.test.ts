// A plan whose record no ConfigMap holds is refused before anybody is asked for anything.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { planIdOf } from '../../src/core/fingerprint.ts';
import type { Plan } from '../../src/core/plan.ts';
import { sha256 } from '../core/cluster-data.ts';
import { embeddedTestbed } from '../scenarios/embedded-testbed.ts';
import { tempFile } from './run-cli.ts';

it('is refused before the confirmation, in one line', { timeout: 120_000 }, async ({ onTestFinished }) => {
  const bed = await embeddedTestbed('iptables', 59, 2);
  onTestFinished(() => bed.close());
  const file = tempFile('plan.json', '');
  expect((await bed.proxyctl('plan', '--to', 'nftables', '-o', file)).code).toBe(0);
  const plan: Plan = JSON.parse(readFileSync(file, 'utf8'));
  const large = { ...plan, notes: [randomBytes(1_200_000).toString('base64')] };
  writeFileSync(file, JSON.stringify({ ...large, id: planIdOf(large, sha256) }));
  const { code, stderr } = await bed.start('migrate', file).result;
  expect(code, stderr.slice(-500)).toBe(20);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
    /^proxyctl: the run's record would take 1\.2 MiB, compressed, and a ConfigMap holds 1 MiB; .*; nothing was changed$/,
  );
  expect(bed.sim.store.get('Namespace', undefined, 'proxyctl')).toBeUndefined();
});
