/** Ctrl-C in two stages: the first asks for a stop at the next safe point, the second stops now. */
export function signals(
  say: (text: string) => void,
  first = 'stopping at the next safe point; once more stops at once and leaves the node in hand between two modes, serving',
): { stop: AbortSignal; kill: AbortSignal; off(): void } {
  const stop = new AbortController();
  const kill = new AbortController();
  const on = (signal: NodeJS.Signals) => {
    if (!stop.signal.aborted) {
      stop.abort();
      say(`${signal}: ${first}`);
    } else {
      kill.abort(new Error('stopped at once by the operator'));
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
