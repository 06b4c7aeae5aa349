// The main job on real nodes: every direction under the witness, and the stock switch beside it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tempFile } from '../cli/run-cli.ts';
import { table, thereAndBack, thereToStay } from '../scenarios/migration.ts';
import { freshCluster } from './cluster.ts';
import { plainRestart, stockSwitch } from './stock.ts';
import { realTestbed } from './testbed.ts';
import { layOut } from './workload.ts';

/** CI guards one node, there and back; PROXYCTL_TEST_ALL=1 runs every direction over all nodes. */
const ALL = process.env.PROXYCTL_TEST_ALL === '1';
/** CI's machine has two processors for three nodes: clients lose single exchanges there past every Service, too. Stock loses 12 to 30 %. */
const bed = realTestbed(ALL ? { share: 0, kept: 0, blind: 1 } : { share: 0.005, kept: 2, blind: 2 });

const { rows } = bed;

// At the very end: which rows there are depends on what ran.
afterAll(() => console.log(`\nOn real nodes:\n\n${table(rows)}\n`));

describe('a cluster in iptables mode', () => {
  beforeAll(async () => {
    freshCluster('iptables');
    await layOut();
  });

  it('the stock switch loses connections, and the witness sees it', async () => {
    const row = await stockSwitch(bed, 'nftables');
    rows.push(row);
    expect(row.tcpFailed).toBeGreaterThan(0);
    rows.push(await stockSwitch(bed, 'iptables'));
  });

  it('a plain restart shows what the machine itself loses', async () => {
    rows.push(await plainRestart(bed));
  });

  it.skipIf(ALL)('one node, iptables -> nftables and back, loses nothing and leaves nothing', async () => {
    const playbook = tempFile('playbook.yaml', 'order: { exclude: [node2, node3] }\n');
    await thereAndBack(bed, 'iptables', 'nftables', { nodes: ['node1'], playbook });
  });

  it.runIf(ALL)('iptables -> nftables and back loses nothing and leaves nothing', async () => {
    await thereAndBack(bed, 'iptables', 'nftables');
  });

  it.runIf(ALL)('iptables -> ipvs stays', async () => {
    await thereToStay(bed, 'iptables', 'ipvs');
  });
});

describe.runIf(ALL)('a cluster in ipvs mode', () => {
  beforeAll(async () => {
    freshCluster('ipvs');
    await layOut();
  });

  it('ipvs -> nftables and back loses nothing and leaves nothing', async () => {
    await thereAndBack(bed, 'ipvs', 'nftables');
  });

  it('ipvs -> iptables stays', async () => {
    await thereToStay(bed, 'ipvs', 'iptables');
  });
});

describe.runIf(ALL)('a cluster in nftables mode', () => {
  beforeAll(async () => {
    freshCluster('nftables');
    await layOut();
  });

  it('nftables -> ipvs stays', async () => {
    await thereToStay(bed, 'nftables', 'ipvs');
  });
});
