// Kills a run at one point and looks at what the next command makes of it.

import { MODES, type Mode } from '../../src/core/mode.ts';
import { objectsOf, truthOf } from '../scenarios/embedded-testbed.ts';
import { differences } from '../scenarios/testbed.ts';
import { type Action, type Bed, type BedOptions, REHEARSING, withBed } from './bed.ts';
import type { Point } from './sim-process.ts';

export const DIRECTIONS: readonly (readonly [Mode, Mode])[] = MODES.flatMap(from =>
  MODES.filter(to => to !== from).map(to => [from, to] as const),
);

/** What the operator does after the kill; `again`: the same command, killed as well, and once more. */
export const FOLLOW_UPS = ['resume', 'back', 'again'] as const;
export type FollowUp = (typeof FOLLOW_UPS)[number];

export interface Case {
  readonly from: Mode;
  readonly to: Mode;
  /** What is killed. A rollback and a finalize come after a migration that went through. */
  readonly action: Action;
  readonly killAt: number;
  readonly followUp: FollowUp;
  /** The way back is rehearsed. */
  readonly rehearse?: true;
}

const SEED = 21;
const SETTLE_MS = 2000;

function bedOptions({ from, to, rehearse }: Pick<Case, 'from' | 'to' | 'rehearse'>): BedOptions {
  return { mode: from, to, seed: SEED, ...(rehearse ? { playbook: REHEARSING } : {}) };
}

/** The points of a run that nobody kills. */
export function pointsOf({
  action,
  ...one
}: Pick<Case, 'from' | 'to' | 'action' | 'rehearse'>): Promise<readonly Point[]> {
  return withBed(bedOptions(one), async bed => {
    if (action !== 'migrate') await expectCode(bed, 'migrate', 0);
    const process = bed.process(action);
    const code = await bed.run(process, action);
    if (code !== 0) throw new Error(`${action} ended with ${code}:\n${process.output}`);
    return process.points;
  });
}

/** Plays the case to its end state. Throws with what is wrong there or was on the way; gives the point where it died. */
export function play(one: Case): Promise<Point | undefined> {
  return withBed(bedOptions(one), async bed => {
    const before = objectsOf(bed.sim);
    if (one.action !== 'migrate') await expectCode(bed, 'migrate', 0);
    const killed = bed.process('killed', one.killAt);
    await bed.run(killed, one.action);
    const point = killed.points[one.killAt];
    if (one.followUp === 'again') await bed.run(bed.process('killed again', 1 + (one.killAt % 97)), next(one));
    const back = one.action === 'rollback' || one.followUp === 'back';
    if (one.action === 'finalize' && (one.followUp !== 'back' || bed.checker.isCommitted)) await toStay(bed, one);
    else if (back) await allBack(bed, one, before);
    else {
      await expectCode(bed, 'migrate', 0);
      expectMode(bed, one.to);
      await allBack(bed, one, before);
    }
    return point;
  });
}

/** The command that follows the kill. */
function next({ action, followUp }: Case): Action {
  return followUp === 'back' ? 'rollback' : action;
}

async function expectCode(bed: Bed, action: Action, code: number): Promise<void> {
  const process = bed.process(action);
  const got = await bed.run(process, action);
  if (got !== code) throw new Error(`${action} ended with ${got}, not ${code}:\n${process.output.slice(-3000)}`);
}

async function allBack(bed: Bed, { from }: Case, before: ReadonlyMap<string, string>): Promise<void> {
  await expectCode(bed, 'rollback', 0);
  expectMode(bed, from);
  // What was deleted may go later.
  await bed.sleep(SETTLE_MS);
  const left = differences(before, objectsOf(bed.sim));
  if (left.length > 0) throw new Error(`not as before:\n${left.join('\n')}`);
}

async function toStay(bed: Bed, { to, followUp }: Case): Promise<void> {
  const namespace = bed.sim.store.get('Namespace', undefined, 'proxyctl');
  if (followUp === 'back' && namespace && !namespace.metadata.deletionTimestamp) {
    // From there the only way is to the end.
    for (const action of ['rollback', 'migrate'] as const) await expectCode(bed, action, 24);
  }
  await expectCode(bed, 'finalize', 0);
  expectMode(bed, to);
  await bed.sleep(SETTLE_MS);
  const left = [...objectsOf(bed.sim)]
    .filter(([key, text]) => key !== 'Namespace /kube-system' && `${key} ${text}`.includes('proxyctl'))
    .map(([key]) => key);
  if (left.length > 0) throw new Error(`left in the cluster: ${left.join(', ')}`);
}

/** Every node serves in this mode and holds no rules of another. */
export function expectMode(bed: Bed, mode: Mode): void {
  for (const { name } of bed.sim.nodes) {
    const truth = truthOf(bed.sim, name);
    if (truth.mode !== mode) throw new Error(`${name} serves in '${truth.mode}', not ${mode}`);
    for (const other of MODES.filter(m => m !== mode)) {
      if (truth.rules[other].length > 0)
        throw new Error(`left of ${other} on ${name}: ${truth.rules[other].join(', ')}`);
    }
  }
}
