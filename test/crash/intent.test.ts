import { describe, it } from 'vitest';
import * as intent from './intent.ts';

const TIMEOUT = { timeout: 600_000 };

describe('is in the journal before it is done', () => {
  it('a flip that is called off for a runner that died', TIMEOUT, intent.calledOff);
  it('the restart of a node that came during the run', TIMEOUT, intent.joined);
});
