import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/cluster/client.ts';
import { retryAfterMs } from '../../src/cluster/http.ts';
import type { Ref } from '../../src/core/cluster.ts';
import { EXIT } from '../../src/core/errors.ts';
import { type Answer, connectTo, QUICK, startApi, status, tempDir, writeKubeconfig } from './api-server.ts';

const NODE: Ref = { kind: 'Node', name: 'n1' };
const PATH = '/api/v1/nodes/n1';
const FOUND: Answer = { json: { metadata: { name: 'n1' } } };

describe('what is tried again', () => {
  const passing: [string, Answer][] = [
    ['429 with Retry-After', { ...status(429, 'TooManyRequests', 'slow down'), headers: { 'retry-after': '0' } }],
    ['500', status(500, 'InternalError', 'etcd')],
    ['503 of a load balancer', { status: 503, text: '<html>' }],
    ['a connection reset', 'reset'],
    ['no answer in time', 'silence'],
  ];
  test.each(passing)('a read after %s', async (_name, first) => {
    const api = await startApi();
    const cluster = await connectTo(api, { deadlineMs: 1000 });
    api.on(`GET ${PATH}`, (_asked, nth) => (nth === 1 ? first : FOUND));
    expect((await cluster.get(NODE))?.metadata.name).toBe('n1');
    expect(api.to(PATH)).toHaveLength(2);
  });

  test('five times and no more', async () => {
    const api = await startApi();
    const cluster = await connectTo(api, { backoffMs: 0.1 });
    api.on(`GET ${PATH}`, () => status(500, 'InternalError', 'etcd'));
    await expect(cluster.get(NODE)).rejects.toMatchObject({ status: 500, reason: 'InternalError' });
    expect(api.to(PATH)).toHaveLength(5);
  });

  test('Retry-After is waited for, and never beyond the budget', async () => {
    const api = await startApi();
    const cluster = await connectTo(api, { budgetMs: 80 });
    api.on(`GET ${PATH}`, () => ({ ...status(429, 'TooManyRequests', 'slow down'), headers: { 'retry-after': '1' } }));
    const began = performance.now();
    await expect(cluster.get(NODE)).rejects.toMatchObject({ status: 429 });
    expect(performance.now() - began).toBeGreaterThan(70);
    expect(api.to(PATH)).toHaveLength(2);
  });

  test('what nobody wants any more is not, nor waited for', async () => {
    const api = await startApi();
    const cluster = await connectTo(api, { backoffMs: 5_000 });
    api.on('GET /api/v1/services', () => status(500, 'InternalError', 'etcd'));
    const nobody = () => undefined;
    const sink = { listing: nobody, listed: nobody, object: nobody, gone: nobody, heard: nobody, trouble: nobody };
    const abort = new AbortController();
    const watching = cluster.watch('Service', {}, sink, abort.signal);
    await expect.poll(() => api.to('/api/v1/services').length).toBe(1);
    const began = performance.now();
    abort.abort();
    await watching;
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(api.to('/api/v1/services')).toHaveLength(1);
  });

  test('a refusal is not', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on(`GET ${PATH}`, () => status(403, 'Forbidden', 'no'));
    await expect(cluster.get(NODE)).rejects.toMatchObject({ status: 403 });
    expect(api.to(PATH)).toHaveLength(1);
  });

  const op = { op: 'add', path: '/metadata/labels/a', value: 'b' } as const;
  const fence = { op: 'test', path: '/metadata/resourceVersion', value: '7' } as const;
  const gone: Answer = 'reset';
  const busy: Answer = { ...status(429, 'TooManyRequests', 'slow down'), headers: { 'retry-after': '0' } };
  test.each([
    ['a patch with a test after a reset', [fence, op], gone, 2],
    ['a patch without a test after 429', [op], busy, 2],
    ['not a patch without a test after a reset', [op], gone, 1],
    ['not a patch without a test after 500', [op], status(500, 'InternalError', 'x'), 1],
  ] as const)('%s', async (_name, ops, first, tries) => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on(`PATCH ${PATH}`, (_asked, nth) => (nth === 1 ? first : FOUND));
    const done = await cluster.patch(NODE, [...ops]).then(
      () => true,
      () => false,
    );
    expect(done).toBe(tries === 2);
    expect(api.to(PATH)).toHaveLength(tries);
    expect(api.to(PATH)[0]?.headers['content-type']).toBe('application/json-patch+json');
  });

  test('a create whose answer was lost says that the object is there', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on('POST /api/v1/namespaces', (_asked, nth) => (nth === 1 ? 'reset' : status(409, 'AlreadyExists', 'exists')));
    const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } };
    await expect(cluster.create(object)).rejects.toMatchObject({ status: 409, reason: 'AlreadyExists' });
  });
});

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(retryAfterMs('2', now)).toBe(2000);
  expect(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now)).toBe(5000);
  expect(retryAfterMs('Wed, 31 Dec 2025 00:00:05 GMT', now)).toBe(0);
  expect(retryAfterMs('soon', now)).toBe(0);
  expect(retryAfterMs(undefined, now)).toBe(0);
});

test('answers are asked for packed, as kubectl does', async () => {
  const api = await startApi();
  const cluster = await connectTo(api);
  api.on(`GET ${PATH}`, ({ headers }) => response => {
    const body = JSON.stringify({ metadata: { name: 'n1' } });
    const isPacked = headers['accept-encoding'] === 'gzip';
    response.writeHead(200, isPacked ? { 'content-encoding': 'gzip' } : {});
    response.end(isPacked ? gzipSync(body) : '{}');
  });
  expect((await cluster.get(NODE))?.metadata.name).toBe('n1');
});

test('300 reads at once use at most 16 connections', async () => {
  const api = await startApi();
  const cluster = await connectTo(api);
  api.on(`GET ${PATH}`, () => FOUND);
  await Promise.all(Array.from({ length: 300 }, () => cluster.get(NODE)));
  expect(api.to(PATH)).toHaveLength(300);
  expect(api.connections).toBeLessThanOrEqual(16);
});

describe('messages', () => {
  test('a missing permission is named', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    const message =
      'pods is forbidden: User "bob" cannot create resource "pods" in API group "" in the namespace "proxyctl"';
    api.on('POST /api/v1/namespaces/proxyctl/pods', () => status(403, 'Forbidden', message));
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', namespace: 'proxyctl' } };
    await expect(cluster.create(pod)).rejects.toMatchObject({
      exitCode: EXIT.notPermitted,
      message: 'missing permission: create pods in namespace proxyctl',
    });
  });

  test('a group stands behind its resource; other refusals keep their own words', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    const path = '/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy';
    const ref: Ref = { kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy' };
    const denied = 'daemonsets.apps "x" is forbidden: User "bob" cannot get resource "daemonsets" in API group "apps"';
    api.on(`GET ${path}`, (_asked, nth) => status(403, 'Forbidden', nth === 1 ? denied : 'violates PodSecurity'));
    await expect(cluster.get(ref)).rejects.toThrow(/^missing permission: get daemonsets\.apps$/);
    await expect(cluster.get(ref)).rejects.toThrow(/^not permitted: violates PodSecurity$/);
  });

  test('401 says who refused, and nothing of the credentials', async () => {
    const api = await startApi();
    api.on('GET /version', () => status(401, 'Unauthorized', 'token s3cr3t expired'));
    const refused = connectTo(api, {}, { token: 's3cr3t' });
    await expect(refused).rejects.toMatchObject({
      exitCode: EXIT.notPermitted,
      message: expect.stringMatching(/^credentials refused by http:\/\/127\S+ \(context test\)/),
    });
    await expect(refused).rejects.not.toThrow(/s3cr3t/);
  });

  test('an unreachable server is named, with the cause', async () => {
    const api = await startApi();
    const { url } = api;
    api.close();
    const refused = connect({ kubeconfig: writeKubeconfig(url), env: {}, tuning: QUICK });
    await expect(refused).rejects.toMatchObject({
      exitCode: EXIT.unreachable,
      message: expect.stringContaining(`cannot reach ${url} (context test): connection refused; check`),
    });
  });

  test('TLS trouble is told at once', async () => {
    const api = await startApi();
    const kubeconfig = writeKubeconfig(api.url.replace('http:', 'https:'));
    await expect(connect({ kubeconfig, env: {}, tuning: QUICK })).rejects.toMatchObject({
      exitCode: EXIT.unreachable,
      message: expect.stringContaining('TLS failed (ERR_SSL_WRONG_VERSION_NUMBER); check certificate-authority'),
    });
    expect(api.connections).toBe(1);
  });

  test('a web page instead of an API', async () => {
    const api = await startApi();
    api.on('GET /version', () => ({ text: '<html>welcome</html>' }));
    await expect(connectTo(api)).rejects.toThrow('the answer to /version is not JSON');
  });
});

describe('credentials', () => {
  test('a token and impersonation become headers', async () => {
    const api = await startApi();
    await connectTo(api, {}, { token: 't1', as: 'bob', 'as-groups': ['a', 'b'] });
    expect(api.asked[0]?.headers).toMatchObject({
      authorization: 'Bearer t1',
      'impersonate-user': 'bob',
      'impersonate-group': 'a, b',
    });
  });

  test('a token file is read without its newline, before a token', async () => {
    const api = await startApi();
    const file = join(tempDir(), 'token');
    writeFileSync(file, 'from-file\n');
    await connectTo(api, {}, { tokenFile: file, token: 'inline' });
    expect(api.asked[0]?.headers.authorization).toBe('Bearer from-file');
  });

  test('a proxy of the environment is used for a server that is not this machine', async () => {
    const api = await startApi();
    const kubeconfig = writeKubeconfig('http://api.invalid:6443');
    const env = { HTTP_PROXY: api.url };
    const cluster = await connect({ kubeconfig, env, tuning: QUICK });
    cluster.close();
    expect(api.asked.map(a => a.headers.host)).toEqual(['api.invalid:6443', 'api.invalid:6443']);
    const without = connect({ kubeconfig, env: { ...env, NO_PROXY: 'api.invalid' }, tuning: QUICK });
    await expect(without).rejects.toMatchObject({ exitCode: EXIT.unreachable });
  });

  // 0.0.0.0 leads to this machine, and is none of its loopback addresses.
  test.each([
    ['for no address in a range of NO_PROXY', { NO_PROXY: '.corp.invalid, 0.0.0.0/8' }, false],
    ['for one outside of its ranges', { NO_PROXY: '10.0.0.0/8,fd00::/8' }, true],
    ['when it is given without a scheme', {}, true],
    ['when the same in small letters is empty', { http_proxy: '' }, true],
  ])('a proxy of the environment is used as kubectl does: %s', async (_, more, isUsed) => {
    const [api, proxy] = [await startApi(), await startApi()];
    const kubeconfig = writeKubeconfig(api.url.replace('127.0.0.1', '0.0.0.0'));
    const env = { HTTP_PROXY: proxy.url.replace('http://', ''), ...more };
    (await connect({ kubeconfig, env, tuning: QUICK })).close();
    expect([api.asked.length, proxy.asked.length]).toEqual(isUsed ? [0, 2] : [2, 0]);
  });
});
