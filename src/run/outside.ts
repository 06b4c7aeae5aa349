import type { Outside } from '../core/outside.ts';
import { runOutside } from './outside-command.ts';
import { askOutside, type Env } from './outside-http.ts';

/** What this machine can ask and run, with its environment, until `signal` aborts. */
export function makeOutside(env: Env, signal: AbortSignal): Outside {
  return {
    ask: request => askOutside(request, env, signal),
    run: command => runOutside(command, env, signal),
  };
}
