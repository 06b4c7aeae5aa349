import type { ServerResponse } from 'node:http';
import { expect, test, vi } from 'vitest';
import type { KubeObject, WatchSink } from '../../src/core/cluster.ts';
import { type ApiServer, connectTo, startApi, status } from './api-server.ts';

const PATH = '/api/v1/services';
const object = (name: string, version: string) => ({ metadata: { namespace: 'shop', name, resourceVersion: version } });
const event = (type: string, of: object) => `${JSON.stringify({ type, object: of })}\n`;

/** What was told, a word each. */
class Told implements WatchSink {
  readonly words: string[] = [];
  heards = 0;
  listing = () => void this.words.push('listing');
  listed = () => void this.words.push('listed');
  object = ({ metadata, kind }: KubeObject) =>
    void this.words.push(`${kind} ${metadata.name}@${metadata.resourceVersion}`);
  gone = ({ metadata }: KubeObject) => void this.words.push(`gone ${metadata.name}`);
  heard = () => void this.heards++;
  trouble = (error: Error) => void this.words.push(`trouble ${error.message}`);
}

async function watching(api: ApiServer, tuning = {}): Promise<{ told: Told; stop(): Promise<void> }> {
  const cluster = await connectTo(api, tuning);
  const told = new Told();
  const abort = new AbortController();
  const done = cluster.watch('Service', { labelSelector: '!x' }, told, abort.signal);
  return {
    told,
    stop: () => {
      abort.abort();
      return done;
    },
  };
}

const list = (version: string, ...items: object[]) => ({ json: { metadata: { resourceVersion: version }, items } });
/** An answer that goes on until the client goes. */
const open =
  (...events: string[]) =>
  (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const text of events) response.write(text);
  };
const closed =
  (...events: string[]) =>
  (response: ServerResponse) => {
    open(...events)(response);
    response.end();
  };

test('all objects, page by page, then what changes after the first page', async () => {
  const api = await startApi();
  let last: ServerResponse | undefined;
  api.on(`GET ${PATH}`, ({ query }) => {
    if (query.get('watch')) {
      return response => {
        last = response;
        open(event('ADDED', object('c', '8')), event('MODIFIED', object('a', '9')))(response);
      };
    }
    if (query.get('continue')) return list('6', object('b', '4'));
    return { json: { metadata: { resourceVersion: '5', continue: 'more' }, items: [object('a', '3')] } };
  });
  const { told, stop } = await watching(api);
  await vi.waitFor(() => expect(told.words).toHaveLength(6));
  last?.write(event('DELETED', object('b', '10')).slice(0, 20));
  last?.write(event('DELETED', object('b', '10')).slice(20));
  await vi.waitFor(() => expect(told.words).toHaveLength(7));
  await stop();
  expect(told.words).toEqual([
    'listing',
    'Service a@3',
    'Service b@4',
    'listed',
    'Service c@8',
    'Service a@9',
    'gone b',
  ]);
  const asked = api.to(PATH).map(a => Object.fromEntries(a.query));
  expect(asked[0]).toEqual({ labelSelector: '!x', limit: '500' });
  expect(asked[2]).toEqual({
    labelSelector: '!x',
    watch: '1',
    allowWatchBookmarks: 'true',
    resourceVersion: '5',
    timeoutSeconds: '25',
  });
});

test('a watch that ends or breaks goes on where it was, bookmarks included; nothing is listed anew', async () => {
  const api = await startApi();
  api.on(`GET ${PATH}`, ({ query }) => {
    if (!query.get('watch')) return list('5', object('a', '3'));
    switch (query.get('resourceVersion')) {
      case '5':
        return closed(event('BOOKMARK', { metadata: { resourceVersion: '7' } }));
      case '7':
        return response => {
          open(event('MODIFIED', object('a', '8')))(response);
          setTimeout(() => response.destroy(), 20);
        };
      default:
        return open(event('MODIFIED', object('a', '9')));
    }
  });
  const { told, stop } = await watching(api);
  await vi.waitFor(() => expect(told.words).toContain('Service a@9'));
  await stop();
  const words = told.words.filter(word => !word.startsWith('trouble'));
  expect(words).toEqual(['listing', 'Service a@3', 'listed', 'Service a@8', 'Service a@9']);
  expect(told.words.filter(word => word.startsWith('trouble'))).toHaveLength(1);
});

test.each([
  [
    'an ERROR in the stream',
    () => open(event('ERROR', { code: 410, reason: 'Expired', message: 'too old resource version' })),
  ],
  ['an answer', () => status(410, 'Expired', 'too old resource version')],
])('a forgotten version, told by %s: all objects anew', async (_, forgotten) => {
  const api = await startApi();
  api.on(`GET ${PATH}`, ({ query }) => {
    if (query.get('watch')) return query.get('resourceVersion') === '5' ? forgotten() : open();
    return api.to(PATH).length === 1 ? list('5', object('a', '3')) : list('20', object('b', '19'));
  });
  const { told, stop } = await watching(api);
  await vi.waitFor(() => expect(told.words.filter(word => word === 'listed')).toHaveLength(2));
  await stop();
  const trouble = expect.stringContaining('too old');
  expect(told.words).toEqual(['listing', 'Service a@3', 'listed', trouble, 'listing', 'Service b@19', 'listed']);
});

test('what is refused or fails is told and tried again, from the list on where it was the list', async () => {
  const api = await startApi();
  api.on(`GET ${PATH}`, ({ query }, nth) => {
    if (nth === 1) return status(403, 'Forbidden', 'no');
    if (nth === 3) return status(500, 'InternalError', 'odd');
    return query.get('watch') ? open(event('ADDED', object('a', '6'))) : list('5');
  });
  const { told, stop } = await watching(api);
  await vi.waitFor(() => expect(told.words).toContain('Service a@6'));
  await stop();
  expect(told.words.map(word => word.split(' ')[0])).toEqual([
    'listing',
    'trouble',
    'listing',
    'listed',
    'trouble',
    'Service',
  ]);
});

test('silence is a broken connection; hearing is told when a watch opens and with every word', async () => {
  const api = await startApi();
  api.on(`GET ${PATH}`, ({ query }) => (query.get('watch') ? open() : list('5')));
  const { told, stop } = await watching(api, { silenceMs: 100 });
  await vi.waitFor(() => expect(told.words.filter(word => word.startsWith('trouble')).length).toBeGreaterThan(1), {
    timeout: 8000,
  });
  await stop();
  expect(told.heards).toBeGreaterThan(2);
  expect(told.words.filter(word => word === 'listing')).toHaveLength(1);
});

test('closing the client ends the watch', async () => {
  const api = await startApi();
  api.on(`GET ${PATH}`, ({ query }) => (query.get('watch') ? open() : list('5')));
  const cluster = await connectTo(api);
  const told = new Told();
  const done = cluster.watch('Service', {}, told, new AbortController().signal);
  await vi.waitFor(() => expect(told.heards).toBe(2));
  cluster.close();
  await done;
});
