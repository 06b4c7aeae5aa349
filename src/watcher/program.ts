// The program that runs on a node, apart from its process: main.ts starts it on real nodes, the embedded cluster on its own.
import { ProxyctlError } from '../core/errors.ts';
import type { NodeIo } from '../core/node-io.ts';
import type { ProbeTargets } from '../core/observation.ts';
import { parseArguments, USAGE } from './arguments.ts';
import { Report } from './report.ts';
import { sweep } from './sweep.ts';
import { watch } from './watch.ts';

/** Gives the exit code: 64 with one line for wrong arguments, 1 when it could not do its work. `files` reads a mounted file. */
export async function runProgram(
  argv: readonly string[],
  io: NodeIo,
  files: (path: string) => Promise<string>,
  signal: AbortSignal,
): Promise<number> {
  try {
    const command = parseArguments(argv);
    if (command.command === 'help') {
      io.print(USAGE);
      return 0;
    }
    if (command.command === 'sweep') return (await sweep(io, command.options, signal)) ? 0 : 1;
    const targets = targetsIn(await files(command.targetsFile));
    await watch(io, { ...command.options, targets }, signal);
    return 0;
  } catch (error) {
    if (!(error instanceof ProxyctlError)) {
      new Report(io).trouble(argv[0] ?? '', error);
      return 1;
    }
    io.print(error.message);
    return error.exitCode;
  }
}

/** Our own file: only its version is checked. */
function targetsIn(text: string): ProbeTargets {
  const data: ProbeTargets = JSON.parse(text);
  if (data.version !== 1) throw new Error(`probe targets of version ${data.version}, not 1`);
  return data;
}
