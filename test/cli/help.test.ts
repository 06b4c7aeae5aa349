// What `--help` and the README say of exit codes and options, against what there is.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/core/errors.ts';
import { EXIT_WORDS } from '../../src/report/exit-codes.ts';
import { runCli } from './run-cli.ts';

const README = readFileSync(resolve(import.meta.dirname, '../../README.md'), 'utf8');
const help = async (...args: string[]) => (await runCli([...args, '--help'])).stdout;

describe('exit codes', () => {
  it('have the same words in the README as in the help', async () => {
    const rows = [...README.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map(([, code, words]) => [Number(code), words]);
    expect(rows).toEqual(Object.entries(EXIT_WORDS).map(([code, words]) => [Number(code), words]));
    const text = await help();
    for (const code of Object.values(EXIT)) expect(text).toMatch(new RegExp(`^ {2}${code} +\\w`, 'm'));
  });
});

it('is cut short by a pipe that nobody reads, and by nothing else', async () => {
  const bin = resolve(import.meta.dirname, '../../bin/proxyctl.js');
  const script = '"$0" "$1" --help 2>&1 >&3 3>&- | cat; exit "$PIPESTATUS"';
  const shell = spawnSync('bash', ['-c', `exec 3> >(true); sleep 1; ${script}`, process.execPath, bin], {
    encoding: 'utf8',
  });
  expect([shell.status, shell.stdout, shell.stderr]).toEqual([0, '', '']);
});

describe('the help of every command', async () => {
  const names = [...(await help()).matchAll(/^ {2}([a-z]+) +\[/gm)].map(([, name = '']) => name);
  it.each(names.filter(name => name !== 'help'))('%s: global options and its exit codes', async name => {
    const text = await help(name);
    expect(text).toMatch(/^Global Options:\n(.*\n)*? +--kubeconfig <file>/m);
    expect(text).toMatch(/^Exit codes .*:\n {2}0 +done/m);
    expect(README).toContain(`proxyctl ${name}`);
  });

  it('finds them all', () => expect(names.length).toBeGreaterThan(14));
});
