// kube-proxies restart of themselves at any moment: evictions, crashes, somebody's hand. None may come up in another mode by that.
import { expect, it } from 'vitest';
import type { RunEvent } from '../../src/core/journal.ts';
import { STEPS } from '../../src/core/run-state.ts';
import { type Action, type Bed, withBed } from './bed.ts';
import { restart } from './faults.ts';
import { DIRECTIONS, expectMode } from './sweep.ts';

/** A run that is halted by a restart is called again. */
const MOST_RUNS = 12;

/** Restarts the kube-proxy of the node in hand, and that of some other, once in every step of a command. */
async function withRestarts(bed: Bed, action: Action): Promise<void> {
  const struck = new Set<string>();
  bed.checker.heard = (event: RunEvent) => {
    if (event.event !== 'step-intended' || struck.has(event.step)) return;
    struck.add(event.step);
    const strike = () => {
      restart(bed, bed.random, event.node);
      restart(bed, bed.random);
    };
    setTimeout(strike, bed.random.int(1500));
  };
  const codes: unknown[] = [];
  while (codes.at(-1) !== 0 && codes.length < MOST_RUNS) codes.push(await bed.run(bed.process(action), action));
  expect(codes.at(-1), `${action} ended with ${codes}`).toBe(0);
  // A flip may be called off for it.
  expect([...struck]).toEqual(expect.arrayContaining([...STEPS]));
}

it.each(DIRECTIONS.map(([from, to]) => ({ from, to })))(
  'keeps its mode, whichever step it restarts in: $from -> $to',
  { timeout: 600_000 },
  async ({ from, to }) => {
    await withBed({ mode: from, to, seed: 31 }, async bed => {
      bed.checker.disturbed = true;
      await withRestarts(bed, 'migrate');
      expectMode(bed, to);
      await withRestarts(bed, 'rollback');
      expectMode(bed, from);
    });
  },
);
