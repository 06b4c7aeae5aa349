// Some seeds at every `npm test`, and those that found something; `npm run test:seeds -- --seeds 1000` plays as many as one likes.
import { expect, it } from 'vitest';
import { FAULT_KINDS } from './faults.ts';
import { playSeed } from './seeds.ts';

const SOME = Array.from({ length: 10 }, (_, i) => 1001 + i);

/** They found something once. */
const FOUND = [5053, 6019];

it.each([...SOME, ...FOUND])('seed %i ends well', { timeout: 600_000 }, async seed => {
  await playSeed(seed);
});

it.each(FAULT_KINDS.map(kind => kind.id))('%s, alone', { timeout: 600_000 }, async fault => {
  await playSeed(2, fault);
  await playSeed(3, fault);
});

it('plays a seed the same way each time', { timeout: 600_000 }, async () => {
  expect(await playSeed(7)).toEqual(await playSeed(7));
});
