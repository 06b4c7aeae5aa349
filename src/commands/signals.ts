import { EXIT, ProxyctlError } from '../core/errors.ts';
import { Halt } from '../run/engine.ts';
import type { CommandIo } from './io.ts';

export interface Signals {
  /** Aborts at the first signal; the reason is a Halt. */
  readonly stop: AbortSignal;
  /** Aborts at the second Ctrl-C or SIGTERM. */
  readonly kill: AbortSignal;
  off(): void;
}

/** Ctrl-C in two stages: the first asks for a stop at the next safe point, the second stops now. A lost terminal only asks. */
export function signals(
  say: (text: string) => void,
  first = 'stopping at the next safe point; once more stops at once and leaves the node in hand between two modes, serving',
): Signals {
  const stop = new AbortController();
  const kill = new AbortController();
  const on = (signal: NodeJS.Signals) => {
    if (!stop.signal.aborted) {
      stop.abort(new Halt('stopped', `stopped by ${signal}`));
      say(`${signal}: ${first}`);
    } else if (signal !== 'SIGHUP') {
      kill.abort(new Error(`stopped at once by ${signal}`));
    }
  };
  const names: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of names) process.on(name, on);
  return {
    stop: stop.signal,
    kill: kill.signal,
    off: () => {
      for (const name of names) process.off(name, on);
    },
  };
}

/** For who only looks: Ctrl-C ends it with code 23, once what was put on nodes for it is away; a second one leaves that there. */
export async function whileLooking<T>(
  io: CommandIo,
  perform: (signals: Pick<Signals, 'stop' | 'kill'>) => Promise<T>,
): Promise<T> {
  const { stop, kill, off } = signals(text => io.err(text), 'removing the watchers; once more leaves them there');
  try {
    return await perform({ stop, kill });
  } catch (error) {
    if (stop.aborted) throw new ProxyctlError('stopped by the operator', EXIT.stopped, { cause: error });
    throw error;
  } finally {
    off();
  }
}
