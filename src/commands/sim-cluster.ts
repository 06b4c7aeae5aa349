// The embedded cluster with the shipped watcher on its nodes.
import { createSim, type Sim, type SimOptions } from '../sim/sim.ts';
import { runProgram } from '../watcher/program.ts';

export function startSim(options: SimOptions): Promise<Sim> {
  return createSim({
    ...options,
    runWatcher: (args, io, files, signal) => {
      const read = async (path: string) => {
        const text = files.get(path);
        if (text === undefined) throw new Error(`${path} is not there`);
        return text;
      };
      return runProgram(args, io, read, signal);
    },
  });
}
