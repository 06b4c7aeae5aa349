// The scenarios of docs/promises.md that the other suites do not play on real nodes: what others do in the middle of a run, what
// breaks around it, and who stops it. `PROXYCTL_TEST_ALL=1 npm run test:real -- troubles -t S29` plays one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/core/errors.ts';
import type { Mode } from '../../src/core/mode.ts';
import { columns } from '../scenarios/columns.ts';
import { lostBeyond, type Witnessed } from '../scenarios/testbed.ts';
import { FOREIGN } from './cluster.ts';
import { onLivingNodes } from './living.ts';
import { realFaults } from './real-faults.ts';
import { eventually } from './shell.ts';
import { FROM, lastWords, Stage, TO } from './stage.ts';
import { under } from './struck.ts';
import { BUSY_MACHINE, realTestbed } from './testbed.ts';
import { TROUBLES, type Trouble } from './troubles.ts';

const ALL = process.env.PROXYCTL_TEST_ALL === '1';
/** These take the machine that the cluster is on. */
const OF_MACHINE = ['S21'];
const bed = realTestbed(BUSY_MACHINE);
const stage = new Stage(bed);
const told: string[][] = [];

function tell({ scenario, what, step, next }: Trouble, exits: string, seen: Witnessed): void {
  const { tcp, tcpFailed, udp, udpFailed, direct = '', keptBroken } = seen;
  const cells = [`${tcpFailed} of ${tcp}`, `${udpFailed} of ${udp}`, direct, `${keptBroken}`];
  const row = [scenario, what, step, exits, next ?? '', ...cells];
  console.log([row.join(' | '), ...seen.losses].join('\n'));
  told.push(row);
}

/** A row from its beginning to its end, under the witness; then all is as it should be. */
async function played(trouble: Trouble): Promise<void> {
  await stage.bring('before');
  stage.leave();
  const witness = await bed.witness(trouble.costsNode ? { nodes: stage.nodes.slice(1) } : {});
  const [exits, seen] = await under(witness, () => commands(trouble));
  tell(trouble, exits.join(', '), seen);
  expect.soft(lostBeyond(seen, bed.noise)).toEqual([]);
  if (trouble.stays) await stage.settle();
  const isBack = trouble.next === 'rollback' || (trouble.next === undefined && trouble.serves === 'from');
  await stage.expectAt(isBack ? 'before' : 'one');
}

/** The command, the trouble in it, and the command after it. Gives their exit codes. */
async function commands(trouble: Trouble): Promise<number[]> {
  const { node } = stage;
  const faults = await realFaults();
  const run = stage.begin('one', ...(trouble.options ?? []));
  const exits: number[] = [];
  let undo: () => Promise<void> = faults.heal;
  try {
    expect(await run.inStep(trouble.step, 0), `it ended before ${trouble.step}: ${run.stderr()}`).toBeDefined();
    undo = await trouble.strike({ stage, run, faults });
    const result = await run.result;
    exits.push(result.code);
    expect.soft(result.code, lastWords(result)).toBe(trouble.ends);
    expect.soft(`${result.stderr}\n${result.stdout}`).toMatch(trouble.says ?? /./);
    if (trouble.serves !== 'either') await serves(node, trouble.serves === 'from' ? FROM : TO);
  } finally {
    run.signal('SIGKILL');
    await undo();
  }
  if (trouble.next !== undefined) {
    const result = await bed.start(trouble.next, '--yes', '--format', 'json').result;
    exits.push(result.code);
    expect.soft(result.code, lastWords(result)).toBe(EXIT.done);
  }
  return exits;
}

/** A slow node that ends pods at the same time may not answer at once. */
const ANSWER_SECONDS = 60;

async function serves(node: string, mode: Mode): Promise<void> {
  await eventually(`${node} to serve in ${mode}`, ANSWER_SECONDS, async () => {
    const truth = (await bed.truth()).find(({ name }) => name === node);
    if (truth?.mode === '') return false;
    expect.soft(truth?.mode, `${node} serves in`).toBe(mode);
    return true;
  });
}

describe.runIf(ALL)('a run that is troubled', () => {
  beforeAll(() => stage.setUp());
  afterAll(() => {
    const heads = ['', 'trouble', 'in', 'exits', 'then', 'TCP failed', 'UDP failed', 'UDP direct', 'kept broken'];
    console.log(['\nOn real nodes:\n', ...columns(heads, told), ''].join('\n'));
  });

  const wanted = TROUBLES.filter(({ scenario }) => FOREIGN === undefined || !OF_MACHINE.includes(scenario));
  it.each(wanted)('$scenario: $what, in $step', async trouble => {
    await onLivingNodes(FROM, () => played(trouble));
  });
});
