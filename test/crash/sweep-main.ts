// `npm run test:crash`: kills at every point of every command in every direction. `-- --every 10` takes each tenth point only.
import { parseArgs } from 'node:util';
import { Matrix } from './matrix.ts';
import { shareOut } from './share.ts';
import type { Case } from './sweep.ts';

Object.assign(globalThis, { PROXYCTL_VERSION: 'test' });
const { DIRECTIONS, FOLLOW_UPS, pointsOf } = await import('./sweep.ts');

const { values } = parseArgs({
  options: { every: { type: 'string', default: '1' }, from: { type: 'string' }, to: { type: 'string' } },
});
const every = Number(values.every);
const matrix = new Matrix();
const began = Date.now();
const failed: { one: Case; error: string }[] = [];

async function cases(): Promise<Case[]> {
  const all: Case[] = [];
  for (const [from, to] of DIRECTIONS) {
    if ((values.from ?? from) !== from || (values.to ?? to) !== to) continue;
    for (const action of ['migrate', 'rollback', 'finalize'] as const) {
      const points = await pointsOf(from, to, action);
      const followUps = action !== 'rollback' ? FOLLOW_UPS : FOLLOW_UPS.filter(f => f !== 'back');
      for (const [f, followUp] of followUps.entries()) {
        // Each follow-up begins elsewhere, so that a thinned sweep sees other points too.
        for (let killAt = f % every; killAt < points.length; killAt += every)
          all.push({ from, to, action, killAt, followUp });
      }
    }
  }
  return all;
}

const all = await cases();
console.log(`${all.length} kills`);
await shareOut(new URL('sweep-worker.ts', import.meta.url).pathname, all, ({ one, said, error }) => {
  matrix.add(one, said);
  if (error === undefined) return;
  failed.push({ one, error });
  console.log(`FAILED ${JSON.stringify(one)}\n${error.slice(0, 1500)}\n`);
});
console.log(matrix.text());
console.log(`${all.length} kills, ${failed.length} failed, ${Math.round((Date.now() - began) / 1000)} s`);
process.exitCode = failed.length > 0 ? 1 : 0;
