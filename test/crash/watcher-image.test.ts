import { it } from 'vitest';
import * as image from './watcher-image.ts';

it(
  'an image of the watchers that was named once is that of resume and rollback, too',
  { timeout: 600_000 },
  image.kept,
);
