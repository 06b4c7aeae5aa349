// The demo as a process: its streams.
import { expect, it } from 'vitest';
import { runCli } from './run-cli.ts';

it('shows the whole job when nothing more is said', { timeout: 300_000 }, async () => {
  const { code, stdout, stderr } = await runCli(['demo']);
  expect(code, stderr).toBe(0);
  expect(`${stdout}${stderr}`).toMatch(/SIMULATED/);
});

it('prints with --format json nothing but events, a line each', { timeout: 180_000 }, async () => {
  const small = ['--nodes', '2', '--services', '8', '--fault', 'none'];
  const { code, stdout, stderr } = await runCli(['demo', '--format', 'json', ...small]);
  expect(code, stderr).toBe(0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line).event);
  expect(events.filter(event => event === 'run-closed')).toHaveLength(2);
  expect(stderr).toMatch(/SIMULATED cluster: what happened/);
});
