// The main job on real nodes: every direction under the witness, and the stock switch beside it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { tempFile } from '../cli/run-cli.ts';
import { table, thereAndBack, thereToStay } from '../scenarios/migration.ts';
import { laidOut, onLivingNodes } from './living.ts';
import { nodeNames } from './shell.ts';
import { plainRestart, stockSwitch } from './stock.ts';
import { BUSY_MACHINE, realTestbed } from './testbed.ts';

/** CI guards one node, there and back; PROXYCTL_TEST_ALL=1 runs every direction over all nodes. */
const ALL = process.env.PROXYCTL_TEST_ALL === '1';
const bed = realTestbed(ALL ? { share: 0, kept: 0, blind: 1 } : BUSY_MACHINE);

const { rows } = bed;

/** What was measured on a cluster with a dead node does not count. */
function measured(mode: Mode, attempt: () => Promise<void>): Promise<void> {
  const known = rows.length;
  return onLivingNodes(mode, () => {
    rows.length = known;
    return attempt();
  });
}

// At the very end: which rows there are depends on what ran.
afterAll(() => console.log(`\nOn real nodes:\n\n${table(rows)}\n`));

describe('a cluster in iptables mode', () => {
  beforeAll(() => laidOut('iptables'));

  it.skipIf(ALL)('one node, iptables -> nftables and back, loses nothing and leaves nothing', async () => {
    const [node = '', ...others] = await nodeNames();
    const playbook = tempFile('playbook.yaml', `order: { exclude: [${others.join(', ')}] }\n`);
    await measured('iptables', () => thereAndBack(bed, 'iptables', 'nftables', { nodes: [node], playbook }));
  });

  it.runIf(ALL)('iptables -> nftables and back loses nothing and leaves nothing', async () => {
    await measured('iptables', () => thereAndBack(bed, 'iptables', 'nftables'));
  });

  it('the stock switch loses connections, and the witness sees it', async () => {
    await measured('iptables', async () => {
      rows.push(await stockSwitch(bed, 'nftables'));
      expect(rows.at(-1)?.tcpFailed).toBeGreaterThan(0);
      if (ALL) rows.push(await stockSwitch(bed, 'iptables'));
    });
  });

  it.runIf(ALL)('a plain restart shows what the machine itself loses', async () => {
    await measured('iptables', async () => void rows.push(await plainRestart(bed)));
  });

  it.runIf(ALL)('iptables -> ipvs stays', async () => {
    await measured('iptables', () => thereToStay(bed, 'iptables', 'ipvs'));
  });
});

describe.runIf(ALL)('a cluster in ipvs mode', () => {
  beforeAll(() => laidOut('ipvs'));

  it('ipvs -> nftables and back loses nothing and leaves nothing', async () => {
    await measured('ipvs', () => thereAndBack(bed, 'ipvs', 'nftables'));
  });

  it('ipvs -> iptables stays', async () => {
    await measured('ipvs', () => thereToStay(bed, 'ipvs', 'iptables'));
  });
});

describe.runIf(ALL)('a cluster in nftables mode', () => {
  beforeAll(() => laidOut('nftables'));

  it('nftables -> ipvs stays', async () => {
    await measured('nftables', () => thereToStay(bed, 'nftables', 'ipvs'));
  });
});
