// `kill -9` of the shipped CLI, a process of its own, against the embedded cluster standing apart; PROXYCTL_TEST_ALL=1 has every
// step in every direction, else each step is killed in one.
import { describe, expect, it, vi } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { STEPS, type Step } from '../../src/core/run-state.ts';
import type { ApiFault } from '../../src/sim/api-faults.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';
import { migrated, withoutLoss } from '../scenarios/migration.ts';
import { differences } from '../scenarios/testbed.ts';
import { DIRECTIONS } from './sweep.ts';

const TIMEOUT = 600_000;
/** The write of a step that it dies at, on the first node or on the second. Where a step has none of its own it dies as it is told of. */
const WRITES: Partial<Record<Step, Pick<ApiFault, 'verb' | 'resource' | 'every'>>> = {
  warm: { verb: 'patch', resource: 'nodes', every: 5 },
  release: { verb: 'patch', resource: 'nodes', every: 2 },
  'hand-over': { verb: 'patch', resource: 'nodes', every: 3 },
  verify: { verb: 'patch', resource: 'nodes', every: 4 },
};
/** Before the server carries the write out, or after that and before its answer is there. */
const WAYS = ['before', 'committed'] as const;

interface Kill {
  readonly from: Mode;
  readonly to: Mode;
  readonly step: Step;
  readonly way: (typeof WAYS)[number];
  readonly next: 'migrate' | 'rollback';
}

const ALL = DIRECTIONS.flatMap(([from, to], d) =>
  STEPS.flatMap((step, s) =>
    WAYS.map((way, w): Kill => ({ from, to, step, way, next: (d + s + w) % 2 === 0 ? 'migrate' : 'rollback' })),
  ),
);
const chosen = process.env.PROXYCTL_TEST_ALL
  ? ALL
  : STEPS.flatMap((step, s) => {
      const [from, to] = DIRECTIONS[s % DIRECTIONS.length] ?? [];
      return ALL.filter(k => k.step === step && k.from === from && k.to === to && k.way === WAYS[s % 2]);
    });

/** The same steps on a way back that is rehearsed. */
const REHEARSED = STEPS.map((step, s): Pick<Kill, 'from' | 'to' | 'step' | 'next'> => {
  const [from, to] = DIRECTIONS[(s + 3) % DIRECTIONS.length] ?? ['iptables', 'nftables'];
  return { from, to, step, next: s % 2 === 0 ? 'rollback' : 'migrate' };
});
const PLAYBOOK = 'rehearse: canary\ngates: { soak: 1s, settle: 3s, convergence: 25s, drain: 3s }\n';

/** Runs migrate until it dies where the case says. Gives the step that it had told of last. */
async function killed(bed: EmbeddedTestbed, { to, step, way }: Kill): Promise<void> {
  const run = bed.start('migrate', '--to', to, '--batch', '10', '--yes');
  const write = WRITES[step];
  const strikes = () => run.signal('SIGKILL');
  const how = way === 'before' ? { reset: true } : { lostAnswer: true };
  if (write) bed.sim.fault.api({ ...write, ...how, times: 1, strikes });
  // Not `expect.poll`, which has to know its test: these run side by side.
  else await vi.waitFor(() => expect(run.stderr()).toContain(`: ${step}\n`), { timeout: 120_000, interval: 5 });
  if (!write) strikes();
  const { code, stderr } = await run.result;
  expect(code, `killed by a signal; it said\n${stderr}`).toBe(-1);
  expect(stderr).toContain(`: ${step}\n`);
}

/** Goes on or back after a kill, and in the end back: nothing is lost and nothing is left. */
async function afterwards(
  bed: EmbeddedTestbed,
  { from, to, next }: Pick<Kill, 'from' | 'to' | 'next'>,
  ...wishes: string[]
): Promise<void> {
  if (next === 'migrate') {
    await withoutLoss(bed, 'going on', 0, 'migrate', ...wishes);
    await migrated(bed, to);
  }
  await withoutLoss(bed, 'rollback', 0, 'rollback');
  await migrated(bed, from);
}

describe.concurrent('a CLI that is killed', () => {
  it.each(chosen)('$from -> $to in $step, $way: then $next', { timeout: TIMEOUT }, async kill => {
    const bed = await embeddedTestbed(kill.from, 31, 2);
    try {
      const before = await bed.objects();
      await killed(bed, kill);
      await afterwards(bed, kill);
      expect(differences(before, await bed.objects())).toEqual([]);
    } finally {
      await bed.close();
    }
  });

  it.each(REHEARSED)('$from -> $to in $step of a rehearsed way back: then $next', { timeout: TIMEOUT }, async kill => {
    const bed = await embeddedTestbed(kill.from, 33, 2);
    try {
      const before = await bed.objects();
      const wishes = ['--playbook', tempFile('playbook.yaml', PLAYBOOK)];
      const run = bed.start('migrate', '--to', kill.to, '--batch', '10', ...wishes, '--yes');
      const reached = new RegExp(`to prove the way back[^]*: ${kill.step}\n`);
      await vi.waitFor(() => expect(run.stderr()).toMatch(reached), { timeout: 120_000, interval: 5 });
      run.signal('SIGKILL');
      expect((await run.result).code).toBe(-1);
      await afterwards(bed, kill, ...wishes);
      expect(differences(before, await bed.objects())).toEqual([]);
    } finally {
      await bed.close();
    }
  });

  it('was killed in every step', () => {
    expect(new Set(chosen.map(kill => kill.step))).toEqual(new Set(STEPS));
  });
});
