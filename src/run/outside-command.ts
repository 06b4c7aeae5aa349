// Programs of this machine: no shell, a process group of their own, a time limit, the last of what they wrote.
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandEnd, OutsideCommand } from '../core/outside.ts';
import type { Env } from './outside-http.ts';

const KEPT_CHARACTERS = 8_192;
/** Between asking a program to end and ending it. */
const GRACE_MS = 2_000;
/** What a program left running behind it may hold its output open; nobody waits for that. */
const OUTPUT_MS = 500;

/** Rejects when the program could not be started, and when `signal` ended it. */
export async function runOutside(command: OutsideCommand, env: Env, signal: AbortSignal): Promise<CommandEnd> {
  signal.throwIfAborted();
  const [program = '', ...args] = command.argv;
  const child = spawn(program, args, { env: { ...env, ...command.env }, stdio: 'pipe', detached: true });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output = `${output}${text}`.slice(-KEPT_CHARACTERS);
    });
  }
  // It need not read what it is told.
  child.stdin.on('error', () => undefined);
  child.stdin.end(command.input);
  const ended = endOf(child, program);
  const late = AbortSignal.timeout(command.seconds * 1000);
  const stop = AbortSignal.any([signal, late]);
  const kill = () => void killGroup(child, ended);
  stop.addEventListener('abort', kill, { once: true });
  try {
    const code = await ended;
    signal.throwIfAborted();
    return { code: late.aborted ? null : code, timedOut: late.aborted, output };
  } finally {
    stop.removeEventListener('abort', kill);
  }
}

/** The exit code, null after a signal; once the output has been read as well. */
async function endOf(child: ChildProcess, program: string): Promise<number | null> {
  const closed = new Promise<void>(resolve => child.once('close', () => resolve()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', error => reject(new Error(`${program} cannot be started: ${error.message}`, { cause: error })));
    child.once('exit', resolve);
  });
  await Promise.race([closed, sleep(OUTPUT_MS)]);
  for (const stream of [child.stdout, child.stderr]) stream?.destroy();
  return code;
}

/** The program and what it started: asked, then made to end. */
async function killGroup(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  const send = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch (error) {
      // Gone already.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  };
  send('SIGTERM');
  await Promise.race([ended.catch(() => undefined), sleep(GRACE_MS)]);
  send('SIGKILL');
}
