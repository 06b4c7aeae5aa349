// The fault matrix on real nodes: every fault in every mode is found and named while verify goes on; a node without one never is.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MODES, type Mode } from '../../src/core/mode.ts';
import { tempFile } from '../cli/run-cli.ts';
import { expectFound } from '../scenarios/expect-found.ts';
import {
  HEALTHY_ROUNDS,
  type Health,
  migrateFault,
  type Outcome,
  onTheWay,
  tableOf,
  verifyFaults,
} from '../scenarios/fault-matrix.ts';
import { ROWS, type Row } from '../scenarios/fault-rows.ts';
import { laidOut, onLivingNodes } from './living.ts';
import { realFaults, writeSeldom } from './real-faults.ts';
import { nodeNames } from './shell.ts';

/** Nodes are slow: more attempts before a Service counts as broken. What cannot be seen is told soon. */
const VERIFY = 'gates: { settle: 5s, convergence: 30s, probes: { failures: 3 } }\n';
const MIGRATE = 'gates: { settle: 5s, convergence: 60s, soak: 1s }\n';

/** Faults by name, where not all of them are wanted; the rounds without a fault follow in any case. */
const CHOSEN = process.env.PROXYCTL_TEST_FAULTS?.split(',');
const isWanted = ({ fault }: Pick<Row, 'fault'>): boolean => CHOSEN?.includes(fault) ?? true;

const outcomes: Outcome[] = [];
const healthy: string[] = [];

/** Said at once, too: the whole takes long. */
function tell(outcome: Outcome): void {
  outcomes.push(outcome);
  console.log(tableOf([outcome], outcome.error ?? ''));
}

// At the very end: which rows there are depends on what ran.
afterAll(() => {
  if (outcomes.length > 0)
    console.log(`\n${tableOf(outcomes, 'On real nodes, what finds which fault:')}\n${healthy.join('\n')}\n`);
});

describe.runIf(process.env.PROXYCTL_TEST_ALL === '1').each(MODES)('nodes in %s mode', mode => {
  beforeAll(() => laidOut(mode));

  it('have faults, which are found, and no others are', async () => {
    const health = await onLivingNodes(mode, () => verified(mode));
    for (const outcome of toldIn(mode, row => row.towards === undefined)) expectFound(outcome, expect);
    expect.soft(health.falseAlarms).toEqual([]);
    expect.soft(health.healthyRounds).toBeGreaterThanOrEqual(HEALTHY_ROUNDS);
  });

  it.runIf(onTheWay(mode).some(isWanted))('have faults that halt a migration', async () => {
    await onLivingNodes(mode, () => migrated(mode));
    for (const outcome of toldIn(mode, row => row.towards !== undefined)) expectFound(outcome, expect);
  });
});

const toldIn = (mode: Mode, which: (row: Row) => boolean): Outcome[] =>
  outcomes.filter(outcome => outcome.mode === mode && which(outcome.row));

/** Those of an attempt that a dead node ended count no more. */
function forget(mode: Mode, which: (row: Row) => boolean): void {
  const dropped = toldIn(mode, which);
  outcomes.splice(0, outcomes.length, ...outcomes.filter(outcome => !dropped.includes(outcome)));
}

/** On a cluster as it is laid out. */
async function verified(mode: Mode): Promise<Health> {
  forget(mode, row => row.towards === undefined);
  if (mode === 'ipvs') await writeSeldom();
  const real = await realFaults();
  const unwanted = ROWS.filter(row => !isWanted(row)).map(row => row.fault);
  const bed = { ...real, without: [...real.without, ...unwanted] };
  const health = await verifyFaults(bed, mode, tempFile('playbook.yaml', VERIFY), tell);
  const alarms = `${health.falseAlarms.length} false alarms`;
  healthy.push(`${mode}: ${health.healthyRounds} rounds of nodes without a fault, ${alarms}`);
  return health;
}

async function migrated(mode: Mode): Promise<void> {
  forget(mode, row => row.towards !== undefined);
  const bed = await realFaults();
  const others = (await nodeNames()).slice(1).join(', ');
  const playbook = tempFile('playbook.yaml', `order: { exclude: [${others}] }\n${MIGRATE}`);
  for (const row of onTheWay(mode).filter(isWanted)) tell(await migrateFault(bed, mode, row, playbook));
}
