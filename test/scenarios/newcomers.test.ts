// Nodes that join while a run is under way: named at its end, brought along by the next call, and in the way of finalize until then.
import { expect, it } from 'vitest';
import { LABEL_MODE } from '../../src/core/names.ts';
import { recordIn } from '../../src/run/record.ts';
import { embeddedTestbed } from './embedded-testbed.ts';
import { migrated, withoutLoss } from './migration.ts';

it('a node that joins mid-run is named, then brought along', { timeout: 120_000 }, async ({ onTestFinished }) => {
  const bed = await embeddedTestbed('iptables', 41);
  onTestFinished(() => bed.close());
  const first = bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
  const labelled = () => bed.sim.store.list('Node').filter(n => n.metadata.labels?.[LABEL_MODE] === 'nftables').length;
  await expect.poll(labelled, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0);
  bed.sim.addNode('late');
  const done = await first;
  const said = done.stderr.replace(/\s+/g, ' ');
  expect(done.code, done.stderr).toBe(0);
  expect(said).toContain('since it was made joined 1 node that is not in it: late (iptables)');
  expect(said).toContain("'proxyctl migrate' without a plan file");
  expect(said).toMatch(/gate mixed-mode .* passes with warnings: node late joined after the plan was made/);
  await migrated(bed, 'iptables', ['late']);

  const refused = await bed.proxyctl('finalize', '--yes');
  expect(refused.code, refused.stderr).toBe(20);
  expect(refused.stderr).toContain('late (iptables)');

  await withoutLoss(bed, 'brought along', 0, 'migrate');
  await migrated(bed, 'nftables');
  const records = bed.sim.store.list('ConfigMap', 'proxyctl').filter(map => map.metadata.name.startsWith('run-'));
  expect(records.map(map => recordIn(map).revision)).toEqual([2]);

  await withoutLoss(bed, 'finalize', 0, 'finalize');
  await migrated(bed, 'nftables');
  expect([...(await bed.objects()).keys()].filter(key => key.includes('proxyctl'))).toEqual([]);
});
