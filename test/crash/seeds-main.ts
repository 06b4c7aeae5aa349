// `npm run test:seeds -- --seeds 1000 [--seed 17] [--seconds 300]`: runs with faults by seed; a failure is replayed by its seed.
import { parseArgs } from 'node:util';
import type { Played } from './seeds.ts';
import { shareOut } from './share.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '300' },
  },
});
const first = Number(values.seed);
const end = Date.now() + Number(values.seconds) * 1000;
const began = Date.now();
const faults = new Map<string, number>();
const failed: number[] = [];
let played = 0;
let virtual = 0;
let cpuMs = 0;

function* seeds(): Generator<number> {
  for (let i = 0; i < Number(values.seeds) && Date.now() < end; i++) yield first + i;
}

await shareOut(new URL('seeds-worker.ts', import.meta.url).pathname, seeds(), ({ one, said, error, ...took }) => {
  played++;
  cpuMs += took.cpuMs;
  if (error !== undefined) {
    failed.push(one);
    console.log(`FAILED, replay with --seeds 1 --seed ${one}\n${error}\n`);
    return;
  }
  const story = said as Played;
  virtual += story.virtualSeconds;
  for (const id of story.faults) faults.set(id, (faults.get(id) ?? 0) + 1);
  if (values.seeds === '1') console.log(JSON.stringify(story, null, 2));
});
const seconds = (Date.now() - began) / 1000;
console.log(
  [...faults]
    .sort()
    .map(([id, count]) => `${String(count).padStart(6)} ${id}`)
    .join('\n'),
);
const speed = `${Math.round(cpuMs / played)} ms of a processor each, ${Math.round(virtual / seconds)} times as fast as time`;
const which = failed.length > 0 ? `: ${failed.sort((a, b) => a - b).join(' ')}` : '';
console.log(`${played} seeds in ${Math.round(seconds)} s (${speed}), ${failed.length} failed${which}`);
process.exitCode = failed.length > 0 ? 1 : 0;
