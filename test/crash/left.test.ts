// What becomes of a run whose nodes leave or are replaced; test/mutants plays these too.
import { describe, it } from 'vitest';
import * as left from './left.ts';

const TIMEOUT = { timeout: 600_000 };

describe('in the middle of a run', () => {
  it('a node that is gone, done or not begun, is named and the run goes on', TIMEOUT, left.gone);
  it('a node that leaves in its flip halts the run, which goes on without it', TIMEOUT, left.goneInHand);
  it('a node made anew is left alone and named, and the next call brings it along', TIMEOUT, left.anew);
  it('a node made anew in its flip halts the run, and the next call brings it along', TIMEOUT, left.anewInHand);
  it('a warm kube-proxy that is gone keeps its node from being released', TIMEOUT, left.warmGone);
  it('a node that is not Ready holds up nobody before its turn', TIMEOUT, left.sickBeforeItsTurn);
  it('those who joined and cannot be flipped hold up nobody', TIMEOUT, left.unfitNewcomers);
  it('a cluster that preflight would refuse keeps newcomers out and the run going', TIMEOUT, left.unfitCluster);
  it('a canary that is gone is not the one that rehearses', TIMEOUT, left.canaryGone);
});
