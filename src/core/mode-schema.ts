// Apart from mode.ts, which the watcher loads: it starts on slow nodes and does without zod.
import { z } from 'zod';
import { MODES } from './mode.ts';

export const ModeSchema = z.enum(MODES);
export const EffectiveModeSchema = z.enum([...MODES, 'none', 'unknown']);
