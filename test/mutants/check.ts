// What a mutant has to survive: runs that nobody disturbs, kills all over them, seeds. Ends with 1 at the first thing that is wrong.
import type { Case } from '../crash/sweep.ts';

Object.assign(globalThis, { PROXYCTL_VERSION: 'test' });
const { DIRECTIONS, FOLLOW_UPS, play, pointsOf } = await import('../crash/sweep.ts');
const { playSeed } = await import('../crash/seeds.ts');
const scenarios = {
  ...(await import('../crash/foreign.ts')),
  ...(await import('../crash/released.ts')),
  ...(await import('../crash/away.ts')),
  ...(await import('../crash/changed-daemonset.ts')),
  ...(await import('../crash/deleted-daemonset.ts')),
  ...(await import('../crash/health-ports.ts')),
  ...(await import('../crash/left.ts')),
  ...(await import('../crash/late-nodes.ts')),
  ...(await import('../crash/lease.ts')),
  ...(await import('../crash/in-hand.ts')),
  ...(await import('../crash/intent.ts')),
  ...(await import('../crash/way-back-fails.ts')),
};

const EVERY = 40;
const SEEDS = 40;
const FAULTS = ['GitOps reverts', 'api 403', 'node made anew', 'crash loop in the new mode', 'image missing'];

async function* cases(): AsyncGenerator<() => Promise<unknown>> {
  const lengths = new Map<string, number>();
  for (const [from, to] of DIRECTIONS)
    for (const action of ['rollback', 'finalize'] as const)
      yield async () => lengths.set(`${from} ${to} ${action}`, (await pointsOf({ from, to, action })).length);
  for (const scenario of Object.values(scenarios)) yield scenario;
  for (const fault of FAULTS) for (let seed = 1; seed <= 4; seed++) yield () => playSeed(seed, fault);
  let turn = 0;
  for (const [from, to] of DIRECTIONS) {
    for (const action of ['migrate', 'finalize', 'rollback'] as const) {
      const length = lengths.get(`${from} ${to} ${action}`) ?? (await pointsOf({ from, to, action })).length;
      for (let killAt = turn % EVERY; killAt < length; killAt += EVERY) {
        const followUps = action === 'rollback' ? FOLLOW_UPS.filter(f => f !== 'back') : FOLLOW_UPS;
        const one: Case = { from, to, action, killAt, followUp: followUps[turn++ % followUps.length] ?? 'resume' };
        yield () => play(one);
      }
    }
  }
  for (let seed = 1; seed <= SEEDS; seed++) yield () => playSeed(seed);
}

// A mutant may wait for ever where the clock is not asked.
process.on('unhandledRejection', () => undefined);
let played = 0;
try {
  for await (const one of cases()) {
    await one();
    played++;
  }
  console.log(`${played} played`);
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  console.log(`after ${played}: ${text.split('\n').slice(0, 2).join(' ').slice(0, 200)}`);
  process.exit(1);
}
process.exit(0);
