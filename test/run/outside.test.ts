// Servers and programs outside the cluster: real ones.
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutsideCommand, OutsideRequest } from '../../src/core/outside.ts';
import { makeOutside } from '../../src/run/outside.ts';

const folder = mkdtempSync(join(tmpdir(), 'outside-'));
const never = new AbortController().signal;
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const tls = (name: string) => readFileSync(new URL(`tls/${name}`, import.meta.url), 'utf8');

describe('a server', () => {
  const seen: { method?: string | undefined; authorization?: string | undefined; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', chunk => (body += chunk));
    request.on('end', () => {
      seen.push({ method: request.method, authorization: request.headers.authorization, body });
      if (request.url?.startsWith('/slow')) return;
      if (request.url === '/away') response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end('moved');
      else if (request.url === '/endless') response.end('x'.repeat(5_000_000));
      else response.writeHead(200).end('well');
    });
  });
  let base = '';
  beforeAll(async () => {
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });
  const ask = (path: string, over: Partial<OutsideRequest> = {}, signal = never) =>
    makeOutside({ TOKEN: ' s3cret\n', EMPTY: '', KEY: tls('key.pem') }, signal).ask({
      method: 'GET',
      url: `${base}${path}`,
      seconds: 5,
      ...over,
    });
  /** Why it could not be asked, and that no secret is in it. */
  const why = async (path: string, over: Partial<OutsideRequest> = {}) => {
    const error: unknown = await ask(path, over).catch((e: unknown) => e);
    const message = error instanceof Error ? `${error.message}${String(error.cause ?? '')}` : 'it answered';
    expect(message).not.toMatch(/s3cret|PRIVATE|hidden/);
    return message.replaceAll(folder, '').replaceAll(base, '');
  };

  it('is asked, with a token and a body', async () => {
    expect(await ask('/')).toEqual({ status: 200, body: 'well' });
    await ask('/', { method: 'POST', body: { a: 1 }, tokenEnv: 'TOKEN' });
    expect(seen.at(-1)).toEqual({ method: 'POST', authorization: 'Bearer s3cret', body: '{"a":1}' });
    await ask('/', { tokenFile: file('token', 'from-file\n') });
    expect(seen.at(-1)?.authorization).toBe('Bearer from-file');
  });

  it('is not followed elsewhere', async () => {
    expect(await ask('/away', { tokenEnv: 'TOKEN' })).toEqual({ status: 302, body: 'moved' });
  });

  it.each([
    ['a token that is not there', {}, { tokenEnv: 'MISSING' }, /environment variable MISSING holds no token/],
    ['an empty one', {}, { tokenEnv: 'EMPTY' }, /holds no token/],
    ['a file that is not there', {}, { tokenFile: '/nowhere/token' }, /\/nowhere\/token cannot be read: ENOENT/],
    ['a key in place of a token', {}, { tokenEnv: 'KEY' }, /holds what is no token/],
    ['an authority that is not there', {}, { caFile: '/nowhere/ca' }, /\/nowhere\/ca cannot be read/],
  ])('is not asked with %s', async (_, __, over, message) => {
    const before = seen.length;
    expect(await why('/', over)).toMatch(message);
    expect(seen.length).toBe(before);
  });

  it('that does not answer, says too much, or is not there', async () => {
    expect(await why('/slow?x=hidden', { seconds: 0.2 })).toMatch(/^\/slow: no answer within 0\.2 s/);
    expect(await why('/endless')).toMatch(/the answer is longer than 4 MB/);
    expect(await why('', { url: 'http://127.0.0.1:1/x?y=hidden' })).toMatch(
      /^http:\/\/127\.0\.0\.1:1\/x: connect ECONNREFUSED/,
    );
  });

  it('is let go when the run is stopped', async () => {
    const stop = new AbortController();
    const asked = ask('/slow', {}, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(asked).rejects.toThrow('stopped');
  });
});

describe('a program', () => {
  const run = (script: string, over: Partial<OutsideCommand> = {}, signal = never) =>
    makeOutside({ PATH: process.env.PATH, MINE: 'mine' }, signal).run({
      argv: ['sh', '-c', script],
      env: { PROXYCTL_NODE: 'n1' },
      input: '{"node":"n1"}\n',
      seconds: 20,
      ...over,
    });

  it('gets its arguments as they stand, its environment and its input', async () => {
    const script = file(
      'show.sh',
      '#!/bin/sh\nprintf "%s|" "$@"; echo "$PROXYCTL_NODE $MINE"; cat; echo to-stderr >&2\n',
    );
    chmodSync(script, 0o700);
    const { code, output } = await run('', { argv: [script, '$HOME; rm x', '*'] });
    expect(code).toBe(0);
    expect(output).toContain('$HOME; rm x|*|n1 mine\n{"node":"n1"}\n');
    expect(output).toContain('to-stderr');
  });

  it('tells by its exit code; only the last of its output is kept', async () => {
    expect(await run('exit 3')).toEqual({ code: 3, timedOut: false, output: '' });
    const { output } = await run('i=0; while [ $i -lt 3000 ]; do echo line-$i; i=$((i+1)); done');
    expect(output.length).toBeLessThanOrEqual(8192);
    expect(output.endsWith('line-2999\n')).toBe(true);
  });

  it('that cannot be started, is killed, or does not read its input', async () => {
    await expect(run('', { argv: ['/nowhere/check'] })).rejects.toThrow(
      '/nowhere/check cannot be started: spawn /nowhere/check ENOENT',
    );
    expect(await run('kill -9 $$')).toMatchObject({ code: null, timedOut: false });
    expect(await run('exit 0', { input: 'x'.repeat(1_000_000) })).toMatchObject({ code: 0 });
  });

  it('is ended at its time limit, and what it started with it', async () => {
    const proof = join(folder, 'alive');
    const began = performance.now();
    const end = await run(`(sleep 3; touch ${proof}) & echo begun; sleep 30`, { seconds: 0.5 });
    expect(end).toEqual({ code: null, timedOut: true, output: 'begun\n' });
    expect(performance.now() - began).toBeLessThan(10_000);
    await new Promise(resolve => setTimeout(resolve, 4000));
    expect(existsSync(proof)).toBe(false);
  });

  it('that will not end is made to', async () => {
    const began = performance.now();
    expect(await run("trap '' TERM; while :; do sleep 0.1; done", { seconds: 0.3 })).toMatchObject({ timedOut: true });
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  it('may leave something running without being waited for', async () => {
    const began = performance.now();
    expect(await run('sleep 15 & echo done')).toMatchObject({ code: 0, output: 'done\n' });
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('is ended when the run is stopped', async () => {
    const stop = new AbortController();
    const ran = run('echo x; sleep 30', {}, stop.signal);
    setTimeout(() => stop.abort(new Error('stopped')), 300);
    await expect(ran).rejects.toThrow('stopped');
  });
});
