// The CLI as a user runs it: a process of its own, the built bundle.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Running } from '../scenarios/rounds.ts';
import type { CliResult } from '../scenarios/testbed.ts';

const BIN = resolve(import.meta.dirname, '../../bin/proxyctl.js');

const SCRIPT = '/usr/bin/script';
/** Whether this machine can give a program a terminal; Debian and its kin have `script` always. */
export const hasTerminal = existsSync(SCRIPT);

/** What somebody types once a question stands on the terminal. */
export interface Answer {
  readonly question: string;
  readonly keys: string;
}

/** As runCli, on a terminal: what it writes to either stream comes as `stdout`. */
export function runOnTerminal(args: readonly string[], answer?: Answer): Promise<CliResult> {
  const words = [process.execPath, BIN, ...args].map(word => `'${word}'`).join(' ');
  return start([SCRIPT, '-qec', words, '/dev/null'], { TERM: 'xterm' }, answer).result;
}

/** Runs it with a clean environment; `env` adds to it. Ends it after ten minutes. */
export function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  return startCli(args, env).result;
}

export interface RunningCli extends Running {
  readonly pid: number;
  /** Its home, where its journal is. */
  readonly home: string;
}

/** As `runCli`, while it runs. `fileKilobytes`: no file of its may grow further, as on a disk that is full. */
export function startCli(
  args: readonly string[],
  env: Record<string, string> = {},
  fileKilobytes?: number,
): RunningCli {
  const command = [process.execPath, BIN, ...args];
  if (fileKilobytes === undefined) return start(command, env);
  return start(['bash', '-c', `ulimit -f ${fileKilobytes}; exec "$0" "$@"`, ...command], env);
}

function start(
  [program = '', ...args]: readonly string[],
  env: Record<string, string>,
  answer: Answer | undefined = undefined,
): RunningCli {
  const began = performance.now();
  const home = mkdtempSync(join(tmpdir(), 'proxyctl-home-'));
  const clean = { PATH: process.env.PATH ?? '', HOME: home, XDG_STATE_HOME: home, ...env };
  const child = spawn(program, args, {
    env: clean,
    stdio: 'pipe',
    timeout: 600_000,
  });
  let stdout = '';
  let stderr = '';
  let asked = false;
  if (!answer) child.stdin.end();
  child.stdout.on('data', data => {
    stdout += data;
    if (!answer || asked || !stdout.includes(answer.question)) return;
    asked = true;
    child.stdin.write(answer.keys);
  });
  child.stderr.on('data', data => (stderr += data));
  const result = new Promise<CliResult>((done, fail) => {
    child.on('error', fail);
    child.on('close', code => done({ code: code ?? -1, stdout, stderr, seconds: (performance.now() - began) / 1000 }));
  });
  return {
    pid: child.pid ?? 0,
    home,
    result,
    stdout: () => stdout,
    stderr: () => stderr,
    signal: name => void child.kill(name),
  };
}

/** A file in a fresh temporary folder; gives its path. */
export function tempFile(name: string, text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'proxyctl-test-')), name);
  writeFileSync(path, text);
  return path;
}
