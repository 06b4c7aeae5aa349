// Some seeds at every `npm test`, and those that found something; `npm run test:seeds -- --seeds 1000` plays as many as one likes.
import { expect, it } from 'vitest';
import { playSeed } from './seeds.ts';

/** A GitOps that puts the DaemonSet back; a permission that goes while watchers are removed. */
const FOUND = [9, 55];
const SOME = Array.from({ length: 12 }, (_, i) => 1001 + i);

it.each([...FOUND, ...SOME])('seed %i ends well', { timeout: 600_000 }, async seed => {
  await playSeed(seed);
});

it('plays a seed the same way each time', { timeout: 600_000 }, async () => {
  expect(await playSeed(7)).toEqual(await playSeed(7));
});
