// What a rollback does about a node that is between two modes; test/mutants plays these too.
import { describe, it } from 'vitest';
import * as inHand from './in-hand.ts';

const TIMEOUT = { timeout: 600_000 };

describe('a node that was left between two modes', () => {
  it('goes home before the one that is wanted back', TIMEOUT, inHand.otherWanted);
  it('is gone past and named while it is not Ready', TIMEOUT, inHand.otherWantedWhileDead);
  it('goes home first, wherever it stands in the plan', TIMEOUT, inHand.allWanted);
});

describe('a node that is red on its way back', () => {
  it('halts the rollback once it was released, and is named', TIMEOUT, inHand.redAtHome);
  it('is left alone where the operator says so, and the others go back', TIMEOUT, inHand.skipped);
  it('is named, and the others go back, while the new mode serves it', TIMEOUT, inHand.redBeforeItsRelease);
});
