import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { type ApiServer, connectTo, startApi, status } from './api-server.ts';

const POD = '/api/v1/namespaces/proxyctl/pods/w';
const LOG = `${POD}/log`;
const options = { namespace: 'proxyctl', pod: 'w', container: 'main' };

/** Lines of a log: a second and a text. */
const at = (second: number, text: string, fraction = '123456789') =>
  `2026-01-01T00:00:${String(second).padStart(2, '0')}.${fraction}Z ${text}`;

/** What a server with these lines sends for `sinceTime`, which it knows in whole seconds. */
function since(lines: readonly string[], time: string | null): string {
  const sent = lines.filter(line => time === null || line.slice(0, 19) >= time.slice(0, 19));
  return sent.map(line => `${line}\n`).join('');
}

function pod(api: ApiServer, state: () => object | undefined): void {
  api.on(`GET ${POD}`, () => {
    const now = state();
    if (!now) return status(404, 'NotFound', 'pods "w" not found');
    return {
      json: { metadata: { name: 'w', uid: 'u' }, status: { containerStatuses: [{ name: 'main', state: now }] } },
    };
  });
}

/** The connection breaks after `text`. */
const torn = (text: string) => (response: ServerResponse) => {
  response.write(text, () => response.destroy());
};

describe('followLog', () => {
  test('loses and repeats nothing over broken connections, and ends with the container', async () => {
    const all = [
      at(1, 'a'),
      at(1, 'b'),
      at(1, 'b'),
      at(2, 'c', '5'),
      at(2, 'c', '5'),
      at(3, 'd'),
      at(3, 'e'),
      at(9, 'f'),
    ];
    const api = await startApi();
    const cluster = await connectTo(api);
    let ended = false;
    pod(api, () => (ended ? { terminated: {} } : { running: {} }));
    api.on(`GET ${LOG}`, ({ query }, nth) => {
      expect([query.get('timestamps'), query.get('container')]).toEqual(['true', 'main']);
      if (query.get('follow') === null) return { text: since(all, query.get('sinceTime')).slice(0, -1) };
      if (nth === 1) return torn(`${since(all.slice(0, 2), null)}${at(1, 'b').slice(0, 20)}`);
      if (nth === 2) return 'reset';
      if (nth === 3) return torn(since(all.slice(0, 5), query.get('sinceTime')));
      if (nth === 4) return status(500, 'InternalError', 'kubelet restarts');
      // A clean end that is none: the API server was shut down.
      if (nth === 5) return { text: since(all.slice(0, 6), query.get('sinceTime')) };
      ended = true;
      return { text: since(all.slice(0, 7), query.get('sinceTime')) };
    });
    const got: string[] = [];
    await cluster.followLog(options, line => got.push(line), new AbortController().signal);
    expect(got).toEqual(['a', 'b', 'b', 'c', 'c', 'd', 'e', 'f']);
  });

  test('waits while the container is being created', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    let state: object = { waiting: { reason: 'ContainerCreating' } };
    pod(api, () => state);
    api.on(`GET ${LOG}`, (_asked, nth) => {
      if (nth === 1) return (response: ServerResponse) => response.writeHead(204).end();
      if (nth < 4)
        return status(400, 'BadRequest', 'container "main" in pod "w" is waiting to start: ContainerCreating');
      state = { terminated: {} };
      return { text: `${at(1, 'hello')}\n` };
    });
    const got: string[] = [];
    await cluster.followLog(options, line => got.push(line), new AbortController().signal);
    expect(got).toEqual(['hello']);
  });

  test('ends when the pod is gone, with the last line though it has no newline', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    pod(api, () => undefined);
    api.on(`GET ${LOG}`, () => ({ text: `${at(1, 'a')}\n${at(1, 'b')}` }));
    const got: string[] = [];
    await cluster.followLog(options, line => got.push(line), new AbortController().signal);
    expect(got).toEqual(['a', 'b']);
  });

  test('ends when it is told to, in the middle of a stream', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    pod(api, () => ({ running: {} }));
    api.on(`GET ${LOG}`, () => response => response.write(`${at(1, 'a')}\n`));
    const stop = new AbortController();
    const got: string[] = [];
    await cluster.followLog(
      options,
      line => {
        got.push(line);
        stop.abort();
      },
      stop.signal,
    );
    expect(got).toEqual(['a']);
  });

  test('opens a connection anew that says nothing any more', async () => {
    const api = await startApi();
    const cluster = await connectTo(api, { silenceMs: 50 });
    pod(api, () => ({ running: {} }));
    const stop = new AbortController();
    api.on(`GET ${LOG}`, ({ query }, nth) => {
      if (nth === 1) return response => response.write(`${at(5, 'a')}\n`);
      expect(query.get('sinceTime')).toBe('2026-01-01T00:00:04Z');
      stop.abort();
      return 'silence';
    });
    const got: string[] = [];
    await cluster.followLog(options, line => got.push(line), stop.signal);
    expect(got).toEqual(['a']);
    expect(api.to(LOG)).toHaveLength(2);
  });

  test('says what waiting does not heal', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    const follow = () => cluster.followLog(options, () => {}, new AbortController().signal);
    api.on(`GET ${LOG}`, (_asked, nth) =>
      nth === 1 ? status(400, 'BadRequest', 'container main is not valid for pod w') : status(403, 'Forbidden', 'no'),
    );
    await expect(follow()).rejects.toMatchObject({ status: 400 });
    await expect(follow()).rejects.toMatchObject({ status: 403 });
  });

  test('passes on what its listener throws', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    pod(api, () => ({ running: {} }));
    api.on(`GET ${LOG}`, () => response => response.write(`${at(1, 'a')}\n`));
    const follow = cluster.followLog(
      options,
      () => {
        throw new TypeError('listener');
      },
      new AbortController().signal,
    );
    await expect(follow).rejects.toThrow('listener');
  });

  test('ends when the client is closed', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    pod(api, () => ({ running: {} }));
    api.on(`GET ${LOG}`, () => response => response.write(`${at(1, 'a')}\n`));
    const got: string[] = [];
    await cluster.followLog(
      options,
      line => {
        got.push(line);
        cluster.close();
      },
      new AbortController().signal,
    );
    expect(got).toEqual(['a']);
  });
});

test('log reads the head', async () => {
  const api = await startApi();
  const cluster = await connectTo(api);
  api.on(`GET ${LOG}`, ({ query }) => ({ text: `limit ${query.get('limitBytes')}` }));
  expect(await cluster.log({ ...options, limitBytes: 16384 })).toBe('limit 16384');
});
