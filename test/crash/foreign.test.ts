// What others do in the middle of a run, and what takes its time; test/mutants plays these too.
import { it } from 'vitest';
import * as foreign from './foreign.ts';

const TIMEOUT = { timeout: 600_000 };

it('an edited configuration stops the run before the next node is released', TIMEOUT, foreign.editedBeforeRelease);
it('a configuration that is no YAML any more stops the run, too', TIMEOUT, foreign.brokenBeforeRelease);
it('an edited configuration is not overwritten by finalize', TIMEOUT, foreign.editedBeforeFinalize);
it('a configuration that is put back stops finalize before the next restart', TIMEOUT, foreign.putBackInFinalize);
it('a webhook that drops our label stops the run before anything goes', TIMEOUT, foreign.labelsDropped);
it('nor does a rollback release the node after it', TIMEOUT, foreign.labelsDroppedThenBack);
it('a clock that jumps changes nothing', TIMEOUT, foreign.clockJumps);
it('a first sync of minutes happens beside the old mode', TIMEOUT, foreign.slowFirstSync);
it('a first sync that takes longer than it may calls the flip off', TIMEOUT, foreign.firstSyncTooSlow);
