import { describe, it } from 'vitest';
import * as fails from './way-back-fails.ts';

const TIMEOUT = { timeout: 600_000 };

describe('why a way back was begun is told where that fails as well', () => {
  it('of the node in hand', TIMEOUT, fails.nodeStays);
  it('of the run, as onRed wants it', TIMEOUT, fails.runStays);
});
