// A node, and whoever runs the run, lose the API in the middle of a flip, in each step: the node serves all the time, nothing goes
// back by itself, and afterwards the run goes on or back. The bed watches that every Service has its rules at any moment.
import { describe, expect, it } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { STEPS } from '../../src/core/run-state.ts';
import { type Bed, withBed } from '../crash/bed.ts';
import { unserved } from '../crash/kernel-truth.ts';
import { expectMode } from '../crash/sweep.ts';

const TIMEOUT = 120_000;
const AWAY_MS = 600_000;
const HEALING_MS = 90_000;
const WAYS: readonly (readonly [Mode, Mode])[] = [
  ['iptables', 'nftables'],
  ['ipvs', 'nftables'],
  ['nftables', 'iptables'],
  ['iptables', 'ipvs'],
];
const NEXT = ['migrate', 'migrate', 'rollback', 'rollback'] as const;
/** Each step in two directions. */
const CASES = WAYS.flatMap(([from, to], w) =>
  STEPS.filter((_step, s) => (w + s) % 2 === 0).map(step => ({
    from,
    to,
    step,
    next: NEXT[w % NEXT.length] ?? 'rollback',
  })),
);

/** The first node that comes to this step. */
async function nodeAt(bed: Bed, step: string): Promise<string> {
  for (;;) {
    const event = bed.checker.order.events.find(e => e.event === 'step-intended' && e.step === step);
    if (event?.event === 'step-intended') return event.node;
    await bed.sleep(10);
  }
}

describe('a node that loses the API', () => {
  it.each(CASES)('$from -> $to in $step serves on; then $next', { timeout: TIMEOUT }, ({ from, to, step, next }) =>
    withBed({ mode: from, to, seed: 71 }, async bed => {
      bed.checker.disturbed = true;
      const first = bed.process('first');
      const run = bed.run(first, 'migrate');
      const name = await nodeAt(bed, step);
      const { fault } = bed.sim;
      const clears = [fault.api({ every: 1, reset: true }), fault.nodeNotReady(name)];
      const thaw = fault.freezeProxy(name);
      await bed.sleep(AWAY_MS);
      expect(unserved(bed.sim, bed.sim.node(name))).toEqual([]);
      for (const clear of clears) clear();
      // By then the API says again what it said before: the kube-proxies find nothing to change.
      await bed.sleep(1000);
      thaw();
      expect([0, 21, 69], first.output).toContain(await run);
      await bed.sleep(HEALING_MS);
      for (const action of next === 'migrate' ? (['migrate', 'rollback'] as const) : (['rollback'] as const)) {
        const process = bed.process(action);
        expect(await bed.run(process, action), process.output).toBe(0);
        expectMode(bed, action === 'migrate' ? to : from);
      }
    }),
  );
});
