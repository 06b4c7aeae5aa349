// Virtual servers of another program: kube-proxy in nftables removes them at each of its starts.
import { expect, it } from 'vitest';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { migrated, withoutLoss } from './migration.ts';

const KEY = 'tcp/192.168.99.9/6443';
const SERVER = { protocol: 'tcp', ip: '192.168.99.9', port: 6443, scheduler: 'rr', real: [] } as const;

/** One node has it. */
async function withKeepalived(): Promise<{
  bed: EmbeddedTestbed;
  node: string;
  servers: ReadonlyMap<string, unknown>;
}> {
  const bed = await embeddedTestbed('iptables', 18);
  const node = bed.sim.nodes[1];
  if (!node) throw new Error('the cluster has too few nodes');
  node.kernel.ipvs.loaded = true;
  node.kernel.ipvs.servers.set(KEY, SERVER);
  return { bed, node: node.name, servers: node.kernel.ipvs.servers };
}

it('are named, and halt the run before their node is touched', { timeout: 120_000 }, async ({ onTestFinished }) => {
  const { bed, node, servers } = await withKeepalived();
  onTestFinished(() => bed.close());
  const halted = await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes');
  expect(halted.code, halted.stderr).toBe(21);
  expect(halted.stderr.replace(/\s+/g, ' ')).toMatch(
    new RegExp(
      `virtual-servers: .*${node} .*removes 1 virtual server of somebody else .*: 192\\.168\\.99\\.9:6443/TCP`,
    ),
  );
  expect(bed.sim.node(node).proxyMode).toBe('iptables');
  expect([...servers.keys()]).toEqual([KEY]);
});

it('may be given up in the playbook', { timeout: 120_000 }, async ({ onTestFinished }) => {
  const { bed, servers } = await withKeepalived();
  onTestFinished(() => bed.close());
  const gates = 'soak: 1s, settle: 3s, convergence: 25s, settings: { virtual-servers: { severity: warning } }';
  const playbook = tempFile('playbook.yaml', `gates: { ${gates} }\n`);
  await withoutLoss(bed, 'to nftables', 0, 'migrate', '--playbook', playbook, '--to', 'nftables', '--batch', '10');
  await migrated(bed, 'nftables');
  expect([...servers.keys()]).toEqual([]);
});
