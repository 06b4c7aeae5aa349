import { playShare } from './share.ts';

const { play } = await import('./sweep.ts');
playShare(play);
