// Nodes that die, leave, or are made anew in the middle of a run; test/mutants plays these too.
import { describe, it } from 'vitest';
import * as away from './away.ts';

const TIMEOUT = { timeout: 600_000 };

describe('a dead node does not hold up the way back of the others', () => {
  it('dead when it begins', TIMEOUT, away.deadBefore);
  it('dead on its own way back', TIMEOUT, away.deadOnItsWay);
  it('dead in its release, which is said', TIMEOUT, away.deadInRelease);
  it('dead beside its warm kube-proxy', TIMEOUT, away.deadWhenWarm);
  it('dead before its last restart', TIMEOUT, away.deadWithOldTemplate);
  it('left between two modes, it goes home before another flips', TIMEOUT, away.deadThenForward);
  it('so does one that was marked once more meanwhile', TIMEOUT, away.deadThenMarked);
  it('rebooted when it is back, it is looked at anew', TIMEOUT, away.rebootedOnceBack);
});
