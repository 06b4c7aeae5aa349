// `npm run test:crash`: kills at every point of every command in every direction. `-- --each 2` takes no more than two points of
// each cell of the matrix; `-- --write` puts it into docs/kills.md.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Matrix } from './matrix.ts';
import { shareOut } from './share.ts';
import type { Point } from './sim-process.ts';
import type { Case } from './sweep.ts';

Object.assign(globalThis, { PROXYCTL_VERSION: 'test' });
const { DIRECTIONS, FOLLOW_UPS, pointsOf } = await import('./sweep.ts');

const { values } = parseArgs({
  options: {
    each: { type: 'string', default: 'Infinity' },
    from: { type: 'string' },
    to: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const each = Number(values.each);
/** Of a rehearsed run only what another has not: the way back, and the second flip after it. */
const COMMANDS = [
  { action: 'migrate' },
  { action: 'migrate', rehearse: true },
  { action: 'rollback' },
  { action: 'finalize' },
] as const;
const matrix = new Matrix();
const began = Date.now();
const failed: { one: Case; error: string }[] = [];
let cpuMs = 0;
let played = 0;
const TOLD_EACH = 100;

interface Planned {
  readonly one: Case;
  readonly point: Point;
}

async function cases(): Promise<Planned[]> {
  const all: Planned[] = [];
  for (const [from, to] of DIRECTIONS) {
    if ((values.from ?? from) !== from || (values.to ?? to) !== to) continue;
    for (const what of COMMANDS) {
      const points = await pointsOf({ from, to, ...what });
      const followUps = what.action !== 'rollback' ? FOLLOW_UPS : FOLLOW_UPS.filter(f => f !== 'back');
      const meant = points
        .map((point, killAt) => ({ point, killAt }))
        .filter(({ point }) => !('rehearse' in what) || point.step.includes(':'));
      const cells = Map.groupBy(meant, ({ point }) => `${point.step} ${point.kind}`);
      for (const [f, followUp] of followUps.entries())
        for (const cell of cells.values())
          for (const { point, killAt } of spread(cell, each, f))
            all.push({ one: { from, to, ...what, killAt, followUp }, point });
    }
  }
  return all;
}

/** So many of them, evenly; each turn begins elsewhere, so that what follows a kill is seen at other points, too. */
function spread<T>(cell: readonly T[], most: number, turn: number): T[] {
  const count = Math.min(most, cell.length);
  const first = Math.floor((cell.length * turn) / (count * FOLLOW_UPS.length));
  return Array.from({ length: count }, (_, n) => cell[first + Math.floor((cell.length * n) / count)]).filter(
    one => one !== undefined,
  );
}

const all = await cases();
const points = new Map(all.map(({ one, point }) => [JSON.stringify(one), point]));
console.log(`${all.length} kills`);
const ones = all.map(({ one }) => one);
await shareOut<Case>(new URL('sweep-worker.ts', import.meta.url).pathname, ones, ({ one, said, error, ...took }) => {
  cpuMs += took.cpuMs;
  if (++played % TOLD_EACH === 0)
    console.log(
      `${played} of ${all.length}, ${failed.length} failed, ${Math.round(cpuMs / 60_000)} min of a processor`,
    );
  const planned = points.get(JSON.stringify(one));
  const point = (said as Point | undefined) ?? planned;
  const elsewhere = error === undefined && point?.label !== planned?.label;
  const wrong = elsewhere ? `it died at ${point?.label}, not at ${planned?.label}` : error;
  if (planned) matrix.add(one, planned, wrong === undefined);
  if (wrong === undefined) return;
  failed.push({ one, error: wrong });
  console.log(`FAILED ${JSON.stringify(one)}\n${wrong.slice(0, 1500)}\n`);
});
const seconds = Math.round((Date.now() - began) / 1000);
console.log(matrix.text());
const sum = `${all.length} kills, ${failed.length} failed, ${seconds} s (${Math.round(cpuMs / all.length)} ms of a processor each)`;
console.log(sum);
if (values.write) writeFileSync(new URL('../../docs/kills.md', import.meta.url), page());
process.exitCode = failed.length > 0 ? 1 : 0;

function page(): string {
  const day = new Date(began).toISOString().slice(0, 10);
  const thinned = each === Infinity ? 'every point' : `no more than ${each} of a kind in each step and direction`;
  return `# Kills

Made by \`npm run test:crash -- --write\` on ${day}, ${thinned}: ${sum}.

**SIMULATED**: the embedded cluster, in virtual time; what was killed on real nodes stands in [real-cluster.md](real-cluster.md).

A process dies before or after a line of its journal is written, once it is on the disk, before a write to the cluster, or when the server has carried it out and the answer is on its way. The step is
the last one that it had intended; \`back:\` is a rehearsed way back, \`again:\` the flip after it. Each cell counts what followed and ended as it should: the same command again, a rollback, and the same command killed
once more and then again; \`-\` where there is no such case.

${matrix.text()}
`;
}
