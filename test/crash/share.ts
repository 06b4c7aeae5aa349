// Cases shared out to processes, one a core, and gathered again.
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';

export interface Outcome<C> {
  readonly one: C;
  /** What was found, as the case reports it. */
  readonly said?: unknown;
  readonly error?: string;
  /** Processor time that it took, ms. */
  readonly cpuMs: number;
}

/** In a worker: plays what it is given. */
export function playShare<C>(play: (one: C) => Promise<unknown>): void {
  // What a case leaves behind must not end the others.
  process.on('unhandledRejection', () => undefined);
  process.on('message', (one: C) => {
    const before = process.cpuUsage();
    const tell = (what: { said: unknown } | { error: string }) => {
      const { user, system } = process.cpuUsage(before);
      process.send?.({ one, ...what, cpuMs: (user + system) / 1000 });
    };
    play(one).then(
      said => tell({ said }),
      (error: Error) => tell({ error: error.message }),
    );
  });
}

/** Then a new process goes on: what killed commands leave waiting stays in memory. */
const CASES_OF_A_WORKER = 100;

/** Plays all cases in `worker`, a file that calls playShare; `heard` is told of each as it ends. */
export async function shareOut<C>(
  worker: string,
  cases: Iterable<C>,
  heard: (outcome: Outcome<C>) => void,
): Promise<void> {
  const rest = cases[Symbol.iterator]();
  let more = true;
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const child = fork(worker, { execArgv: ['--max-semi-space-size=64'] });
      let left = CASES_OF_A_WORKER;
      const next = (): void => {
        const given = left-- > 0 ? rest.next() : undefined;
        if (given?.done) more = false;
        if (!given || given.done) child.disconnect();
        else child.send(given.value as never);
      };
      child.on('message', (outcome: Outcome<C>) => {
        heard(outcome);
        next();
      });
      child.on('error', reject);
      child.on('exit', code => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
      next();
    });
  const workAll = async () => {
    while (more) await work();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, workAll));
}
