// The main job on real nodes: every direction under the witness, and the stock switch beside it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Row, table, thereAndBack, thereToStay } from '../scenarios/migration.ts';
import { freshCluster } from './cluster.ts';
import { stockSwitch } from './stock.ts';
import { realTestbed } from './testbed.ts';
import { layOut } from './workload.ts';

const bed = realTestbed();
const rows: Row[] = [];
/** CI guards the most used way there and back, and one that leaves ipvs; PROXYCTL_TEST_ALL=1 runs every direction. */
const ALL = process.env.PROXYCTL_TEST_ALL === '1';

afterAll(() => console.log(`\nOn real nodes, three of them:\n\n${table(rows)}\n`));

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

  it('iptables -> nftables and back loses nothing and leaves nothing', async () => {
    rows.push(...(await thereAndBack(bed, 'iptables', 'nftables')));
  });

  it.runIf(ALL)('iptables -> ipvs stays', async () => {
    rows.push(...(await thereToStay(bed, 'iptables', 'ipvs')));
  });
});

describe.runIf(ALL)('a cluster in ipvs mode', () => {
  beforeAll(async () => {
    freshCluster('ipvs');
    await layOut();
  });

  it('ipvs -> nftables and back loses nothing and leaves nothing', async () => {
    rows.push(...(await thereAndBack(bed, 'ipvs', 'nftables')));
  });

  it('ipvs -> iptables stays', async () => {
    rows.push(...(await thereToStay(bed, 'ipvs', 'iptables')));
  });
});

describe.runIf(ALL)('a cluster in nftables mode', () => {
  beforeAll(async () => {
    freshCluster('nftables');
    await layOut();
  });

  it('nftables -> ipvs stays', async () => {
    rows.push(...(await thereToStay(bed, 'nftables', 'ipvs')));
  });
});
