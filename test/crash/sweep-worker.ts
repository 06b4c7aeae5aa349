import { playShare } from './share.ts';

// The code under test is bundled with its version otherwise.
Object.assign(globalThis, { PROXYCTL_VERSION: 'test' });
const { play } = await import('./sweep.ts');
playShare(play);
