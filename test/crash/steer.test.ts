import { it } from 'vitest';
import * as steer from './steer.ts';

const TIMEOUT = { timeout: 600_000 };

it('adjust is refused during a rollback, and heeded by the migration after it', TIMEOUT, steer.adjustInRollback);
