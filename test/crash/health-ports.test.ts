// Health check node ports through flips in all directions; test/mutants plays these too.
import { it } from 'vitest';
import { answerAgain, taken } from './health-ports.ts';

const TIMEOUT = { timeout: 600_000 };

it('health check node ports answer again in each mode, there and back', TIMEOUT, answerAgain);
it('a health check node port that stays closed, or that another answers at, sends the node back', TIMEOUT, taken);
