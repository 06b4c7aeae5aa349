import { playShare } from './share.ts';

// The code under test is bundled with its version otherwise.
Object.assign(globalThis, { PROXYCTL_VERSION: 'test' });
const { playSeed } = await import('./seeds.ts');
playShare(playSeed);
