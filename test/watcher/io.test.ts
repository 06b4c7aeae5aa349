import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { HostPort } from '../../src/core/proxy-address.ts';
import { nodeIo } from '../../src/watcher/io.ts';

const io = nodeIo();
const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.closeAllConnections();
});

async function server(answer: boolean, host = '127.0.0.1'): Promise<HostPort> {
  const made = createServer((_, response) => {
    if (answer) response.writeHead(503).end('not yet');
  });
  open.push(made);
  await new Promise<void>(resolve => made.listen(0, host, resolve));
  const address = made.address();
  return { address: host, port: typeof address === 'object' && address ? address.port : 0 };
}

describe('the real node', () => {
  it('runs programs with input and without a shell', async () => {
    expect(await io.run('cat', ['-'], '$(id)\n')).toEqual({ code: 0, stdout: '$(id)\n', stderr: '' });
    expect(await io.run('ls', ['/does/not/exist'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('No such file'),
    });
    expect(await io.run('no-such-program-here', [])).toMatchObject({ code: 127 });
  });

  it('gives input to programs that open it by its name, at its start', async () => {
    const input = 'line\n'.repeat(100_000);
    expect(await io.run('wc', ['-l', '/dev/stdin'], input)).toMatchObject({ code: 0, stdout: '100000 /dev/stdin\n' });
    expect(await io.run('cat', [], '')).toMatchObject({ code: 0, stdout: '' });
  });

  it('gives what a program prints piece by piece, and breaks no character', async () => {
    const pieces: string[] = [];
    const input = 'a€😀'.repeat(50_000);
    const result = await io.run('cat', [], input, piece => pieces.push(piece));
    expect(result).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe(input);
    expect((await io.run('cat', [], input)).stdout).toBe(input);
  });

  it('reads a dump in less memory than it is long', () => {
    const args = ['--max-semi-space-size=4', join(import.meta.dirname, 'large-table.ts')];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(stderr).toBe('');
    const { rules, megabytes } = JSON.parse(stdout);
    expect(rules).toBe(20_000);
    expect(megabytes).toBeLessThan(40);
  }, 120_000);

  it('starts a program that does nothing before it has its input', async () => {
    const counting = io.prepare('wc', ['-l']);
    expect(await counting.give('one\ntwo\n')).toEqual({ code: 0, stdout: '2\n', stderr: '' });
    expect(await io.prepare('no-such-program-here', []).give('x')).toMatchObject({ code: 127 });
    expect(await io.prepare('true', []).give('x'.repeat(1_000_000))).toMatchObject({ code: 0 });
  });

  it('outlives a program that does not read its input', async () => {
    expect(await io.run('true', [], 'x'.repeat(1_000_000))).toMatchObject({ code: 0 });
  });

  it('asks the address it is given, and gives up in time', async () => {
    expect(await io.httpGet(await server(true, '::1'), '/healthz', 1000)).toEqual({ status: 503, body: 'not yet' });
    expect(await io.httpGet(await server(true), '/healthz', 1000)).toEqual({ status: 503, body: 'not yet' });
    await expect(io.httpGet(await server(false), '/healthz', 30)).rejects.toThrow();
  });

  it('rejects for a file that is not there', async () => {
    await expect(io.readFile('/proc/does-not-exist')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
