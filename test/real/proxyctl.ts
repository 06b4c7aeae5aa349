// proxyctl as a process against the real cluster, with the rights of `proxyctl rbac` and no more.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '../../src/core/journal.ts';
import type { Step } from '../../src/core/run-state.ts';
import type { Running } from '../scenarios/rounds.ts';
import type { CliResult } from '../scenarios/testbed.ts';
import { ROOT } from './cluster.ts';
import { RUNNER_KUBECONFIG } from './rights.ts';
import { spawnInside } from './shell.ts';

export interface RealRunning extends Running {
  /**
   * Waits until a step has begun, for the first time, and then for so many ms, or for the step's end if that comes first. Gives
   * which it was, for people; undefined when the command ends before. Takes `--format json`.
   */
  inStep(step: Step, ms: number): Promise<string | undefined>;
}

/** Starts it with a home of its own, as on another machine. */
export function startProxyctl(args: readonly string[]): RealRunning {
  const began = performance.now();
  const home = mkdtempSync(join(tmpdir(), 'proxyctl-real-'));
  const program = [process.execPath, join(ROOT, 'bin/proxyctl.js'), '--kubeconfig', RUNNER_KUBECONFIG];
  const child = spawnInside([...program, ...args], { XDG_STATE_HOME: home });
  const listeners = new Set<(event: RunEvent) => void>();
  let stdout = '';
  let stderr = '';
  let heard = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    for (let end = stdout.indexOf('\n', heard); end >= 0; end = stdout.indexOf('\n', heard)) {
      const line = stdout.slice(heard, end);
      heard = end + 1;
      if (line.startsWith('{"')) for (const listener of listeners) listener(JSON.parse(line));
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code =>
      resolve({ code: code ?? -1, stdout, stderr, seconds: (performance.now() - began) / 1000 }),
    );
  });
  return {
    result,
    stdout: () => stdout,
    stderr: () => stderr,
    signal: name => void child.kill(name),
    inStep: (step, ms) => Promise.race([stepOf(listeners, step, ms), result.then(() => undefined)]),
  };
}

function stepOf(listeners: Set<(event: RunEvent) => void>, step: Step, ms: number): Promise<string> {
  return new Promise(resolve => {
    let begun: number | undefined;
    listeners.add(event => {
      if (!('step' in event) || event.step !== step) return;
      if (event.event === 'step-intended') {
        begun ??= performance.now();
        setTimeout(() => resolve(`${(ms / 1000).toFixed(0)} s into it`), ms);
      } else if (begun !== undefined) {
        resolve(`at its end, after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
      }
    });
  });
}
