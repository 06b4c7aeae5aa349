// Servers that are no API server, or a hostile one: every answer is bounded, and what is wrong is one line.
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { EXIT } from '../../src/core/errors.ts';
import { type Answer, connectTo, startApi } from './api-server.ts';

const PATH = '/api/v1/nodes/n1';
const LIST = '/api/v1/nodes';
const get = { kind: 'Node', name: 'n1' } as const;

async function answered(route: string, answer: Answer, tuning: object = {}) {
  const api = await startApi();
  const cluster = await connectTo(api, { backoffMs: 0.1, tries: 2, ...tuning });
  api.on(route, () => answer);
  return { api, cluster };
}

async function listed(answer: Answer): Promise<unknown[]> {
  const { cluster } = await answered(`GET ${LIST}`, answer);
  const all: unknown[] = [];
  for await (const object of cluster.list('Node')) all.push(object);
  return all;
}

const endless = (response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  const chunk = Buffer.alloc(1 << 20, '[');
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
};

describe('one object', () => {
  test.each<[string, Answer, RegExp]>([
    ['a login page', { text: '<html>s3cr3t' }, /^the answer to \/api\/v1\/nodes\/n1 is not JSON; is the server in the/],
    ['half an answer', { text: '{"metadata": {"name": "s3cr3t"' }, /is not JSON/],
    ['nothing', { text: '' }, /is not JSON/],
    ['null', { text: 'null' }, /is no JSON object/],
    ['a list', { text: '[]' }, /is no JSON object/],
    ['a text', { text: '"s3cr3t"' }, /is no JSON object/],
    ['an object of another kind', { json: { s3cr3t: 1 } }, /holds what is no API object/],
    ['metadata that is none', { json: { metadata: null } }, /holds what is no API object/],
    ['a name that is none', { json: { metadata: { name: 7 } } }, /holds what is no API object/],
    ['another content type', { text: 'k8s\u0000\n', headers: { 'content-type': 'application/x' } }, /is not JSON/],
  ])('%s', async (_what, answer, message) => {
    const { cluster } = await answered(`GET ${PATH}`, answer);
    const asked = cluster.get(get);
    await expect(asked).rejects.toMatchObject({ exitCode: EXIT.unreachable, message: expect.stringMatching(message) });
    await expect(asked).rejects.not.toThrow(/s3cr3t/);
    await expect(asked).rejects.not.toHaveProperty('cause');
  });

  test('an answer without end is cut, and not asked for again', { timeout: 60_000 }, async () => {
    const { api, cluster } = await answered(`GET ${PATH}`, endless, { deadlineMs: 50_000 });
    await expect(cluster.get(get)).rejects.toMatchObject({
      exitCode: EXIT.unreachable,
      message: expect.stringMatching(/its answer is larger than 64 MB; is the server in the kubeconfig a Kubernetes/),
    });
    expect(api.to(PATH)).toHaveLength(1);
  });

  const packed = (data: Buffer) => (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
    response.end(data);
  };

  test('an answer is bounded by what is packed in it', async () => {
    const { api, cluster } = await answered(`GET ${PATH}`, packed(gzipSync(Buffer.alloc(65 << 20))));
    await expect(cluster.get(get)).rejects.toThrow(/its answer is larger than 64 MB/);
    expect(api.to(PATH)).toHaveLength(1);
  });

  test.each([
    ['cut off', gzipSync('{"metadata":{"name":"n1"}}').subarray(0, 20)],
    ['not packed at all', Buffer.from('{"metadata":{"name":"n1"}}')],
  ])('a packed answer that is %s is none', async (_what, data) => {
    const { api, cluster } = await answered(`GET ${PATH}`, packed(data));
    await expect(cluster.get(get)).rejects.toMatchObject({
      exitCode: EXIT.unreachable,
      message: expect.stringMatching(/: its answer cannot be unpacked;/),
    });
    expect(api.to(PATH)).toHaveLength(2);
  });

  test('an answer that drips has the time of any other', async () => {
    const drip = (response: ServerResponse) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    };
    const { cluster } = await answered(`GET ${PATH}`, drip, { deadlineMs: 200 });
    const began = performance.now();
    await expect(cluster.get(get)).rejects.toThrow(/no answer in time/);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test('of a refusal only the beginning is read', async () => {
    const answer = (response: ServerResponse) => {
      response.writeHead(403);
      response.end(`{"kind":"Status","message":"no"}${' '.repeat(10 << 20)}`);
    };
    const { cluster } = await answered(`GET ${PATH}`, answer);
    await expect(cluster.get(get)).rejects.toMatchObject({ status: 403, exitCode: EXIT.notPermitted });
  });

  test('a redirect is not followed, with our credentials, to where it leads', async () => {
    const other = await startApi();
    const api = await startApi();
    const cluster = await connectTo(api, {}, { token: 't' });
    const location = `${other.url}/login?token=s3cr3t`;
    api.on(`GET ${PATH}`, () => ({ status: 302, text: '', headers: { location } }));
    const asked = cluster.get(get);
    const { host } = new URL(other.url);
    await expect(asked).rejects.toThrow(`answered with HTTP 302, a redirect to ${host}, which is not followed;`);
    await expect(asked).rejects.not.toThrow(/s3cr3t/);
    expect(other.asked).toEqual([]);
  });
});

describe('a list', () => {
  test.each<[string, Answer, RegExp]>([
    ['that is an object', { json: { metadata: { name: 'n1' } } }, /^the answer to \/api\/v1\/nodes is no list;/],
    ['of another kind', { json: { items: 7 } }, /is no list/],
    ['with a hole', { json: { items: [null] } }, /holds what is no API object/],
    ['with something else', { json: { items: [{ metadata: { name: 'n1' } }, { a: 1 }] } }, /what is no API object/],
  ])('%s is none', async (_what, answer, message) => {
    await expect(listed(answer)).rejects.toMatchObject({
      exitCode: EXIT.unreachable,
      message: expect.stringMatching(message),
    });
  });

  test('of nothing may say null', async () => {
    expect(await listed({ json: { items: null } })).toEqual([]);
  });

  test('without end comes to one', { timeout: 60_000 }, async () => {
    const { api, cluster } = await answered(`GET ${LIST}`, { json: { items: [], metadata: { continue: 'more' } } });
    const all = async () => {
      for await (const object of cluster.list('Node')) if (object) continue;
    };
    await expect(all()).rejects.toThrow(/^the answer to \/api\/v1\/nodes has no end;/);
    expect(api.to(LIST)).toHaveLength(2000);
  });

  test('whose objects bear the names of methods is a list like any other', async () => {
    const names = ['constructor', '__proto__', 'hasownproperty'];
    const text = `{"items":[${names.map(name => `{"metadata":{"name":"${name}","labels":{"__proto__":"x"}}}`).join()}]}`;
    const found = (await listed({ text })) as { metadata: { name: string; labels: object } }[];
    expect(found.map(({ metadata }) => metadata.name)).toEqual(names);
    expect(Object.keys(found[0]?.metadata.labels ?? {})).toEqual(['__proto__']);
    expect(({} as { x?: string }).x).toBeUndefined();
  });
});

test('a version that is no version', async () => {
  const api = await startApi();
  api.on('GET /version', () => ({ text: '[1]' }));
  await expect(connectTo(api)).rejects.toMatchObject({
    exitCode: EXIT.unreachable,
    message: expect.stringMatching(/^the answer to \/version is no JSON object/),
  });
});
