// Disasters in every step of a flip on real nodes. Clients lose nothing that these do not cost by themselves, and one command ends
// in a named state. Takes hours: `PROXYCTL_TEST_ALL=1 npm run test:real -- kills -t 'kill -9'` runs one kind, or one row.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { table } from '../scenarios/migration.ts';
import { FOREIGN } from './cluster.ts';
import { API, KILL, type Kind, PROXIES, REBOOT } from './disasters.ts';
import { Stage } from './stage.ts';
import { plainRestart } from './stock.ts';
import { nameOf, Play, type Strike, strikesInSteps, struckTable } from './struck.ts';
import { BUSY_MACHINE, realTestbed } from './testbed.ts';

const ALL = process.env.PROXYCTL_TEST_ALL === '1';
/** A row may take a way to its beginning, two commands that wait for what is gone, and a way out. */
const ROW_MS = 90 * 60_000;
const SEED = Number(process.env.PROXYCTL_TEST_SEED ?? 1);
const bed = realTestbed(BUSY_MACHINE);
const stage = new Stage(bed);
const play = new Play(stage);

function each(strikes: readonly Strike[]): void {
  for (const strike of strikes) {
    it(nameOf(strike), { timeout: ROW_MS }, async () => {
      const { problems } = await play.row(strike);
      expect(problems).toEqual([]);
    });
  }
}

describe.runIf(ALL)('disasters', () => {
  beforeAll(() => stage.setUp());
  afterAll(() => console.log(`\nOn real nodes:\n\n${table(bed.rows)}\n\n${struckTable(play.rows)}\n`));

  it('a plain restart shows what the machine itself loses', async () => {
    bed.rows.push(await plainRestart(bed));
  });

  describe('of proxyctl itself', () => each(strikesInSteps(KILL)));

  // These take the machine that the cluster is on.
  describe.runIf(FOREIGN === undefined).each<Kind>([REBOOT, API])('of the cluster: %s', kind => {
    each(strikesInSteps(kind));
  });

  describe('of kube-proxies, through a whole migration and back', () =>
    each([
      { kind: PROXIES, from: 'before', to: 'all', blows: [{ when: { seed: SEED }, next: 'resume' }] },
      { kind: PROXIES, from: 'all', to: 'before', blows: [{ when: { seed: SEED + 1 }, next: 'rollback' }] },
    ]));
});
