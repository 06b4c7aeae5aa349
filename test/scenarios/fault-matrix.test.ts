// The fault matrix on the embedded cluster: every fault in every mode is found and named; a node without one never is.
import { afterAll, describe, type ExpectStatic, it } from 'vitest';
import { MODES } from '../../src/core/mode.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedFaults, embeddedFaults } from './embedded-faults.ts';
import { expectFound } from './expect-found.ts';
import { HEALTHY_ROUNDS, migrateFault, type Outcome, onTheWay, tableOf, verifyFaults } from './fault-matrix.ts';
import type { Row } from './fault-rows.ts';

const TIMEOUT = 600_000;
const QUICK = 'gates: { settle: 1s, lag: 2s, convergence: 8s }\n';

const outcomes: Outcome[] = [];
afterAll(() => console.log(tableOf(outcomes, 'SIMULATED cluster: what finds which fault')));

describe.concurrent.each(MODES)('in %s mode', mode => {
  it('every fault is found, a healthy cluster under churn never is', { timeout: TIMEOUT }, async ({ expect }) => {
    const bed = await embeddedFaults(mode, 71);
    try {
      const health = await verifyFaults(bed, mode, tempFile('playbook.yaml', QUICK), outcome => outcomes.push(outcome));
      for (const outcome of outcomes.filter(o => o.mode === mode)) expectFound(outcome, expect);
      expect.soft(health.falseAlarms).toEqual([]);
      expect.soft(health.healthyRounds).toBeGreaterThanOrEqual(HEALTHY_ROUNDS);
      for (const row of onTheWay(mode)) await migrated(bed, row, expect);
    } finally {
      await bed.close();
    }
  });

  async function migrated(bed: EmbeddedFaults, row: Row, expect: ExpectStatic): Promise<void> {
    const others = bed.sim.nodes.map(node => node.name).filter(name => name !== bed.nodes[0]);
    const playbook = `order: { exclude: [${others.join(', ')}] }\ngates: { settle: 1s, convergence: 1m, soak: 1s }\n`;
    const outcome = await migrateFault(bed, mode, row, tempFile('playbook.yaml', playbook));
    outcomes.push(outcome);
    expectFound(outcome, expect);
  }
});
