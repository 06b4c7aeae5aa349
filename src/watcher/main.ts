// Entry point of the program that runs on a node.
import { readFile } from 'node:fs/promises';
import { nodeIo } from './io.ts';
import { runProgram } from './program.ts';

// The first process of a container gets no signal that it does not ask for. There is nothing to put in order: the sweeper's
// steps are whole by themselves, and it can be run again.
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => process.exit(0));

const { signal } = new AbortController();
process.exitCode = await runProgram(process.argv.slice(2), nodeIo(), path => readFile(path, 'utf8'), signal);
