// What comes after a runner that died with a node released; test/mutants plays these too.
import { it } from 'vitest';
import * as released from './released.ts';

const TIMEOUT = { timeout: 600_000 };

it('a stop leaves a released node its warm kube-proxy', TIMEOUT, released.stoppedAgain);
it('a released node that turns red goes back', TIMEOUT, released.redAgain);
it('a release that is refused leaves nothing beside the old kube-proxy', TIMEOUT, released.releaseRefused);
it('an old kube-proxy that starts once more before it goes costs nothing', TIMEOUT, released.oldOneStartsOnceMore);
it('a warm kube-proxy that is ending is not waited for to start', TIMEOUT, released.warmEnds);
