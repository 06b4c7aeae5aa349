import { describe, expect, test } from 'vitest';
import type { Cluster, Kind, ListOptions } from '../../src/core/cluster.ts';
import { type Answer, type Asked, connectTo, startApi, status } from './api-server.ts';

async function names(cluster: Cluster, kind: Kind, options?: ListOptions): Promise<string[]> {
  const found: string[] = [];
  for await (const object of cluster.list(kind, options)) found.push(object.metadata.name);
  return found;
}

const page = (token: string, ...items: string[]) => ({
  json: { metadata: { continue: token }, items: items.map(name => ({ metadata: { name, uid: `uid-${name}` } })) },
});

test('the cluster is known by kube-system, and says when it is simulated', async () => {
  const api = await startApi();
  expect((await connectTo(api)).identity).toEqual({
    uid: 'cluster-1',
    server: api.url,
    context: 'test',
    kubernetes: 'v1.36.3',
    simulated: false,
  });
  const labels = { 'proxyctl.dev/simulated': 'true' };
  api.on('GET /api/v1/namespaces/kube-system', () => ({
    json: { metadata: { name: 'kube-system', uid: 'x', labels } },
  }));
  expect((await connectTo(api)).identity).toMatchObject({ uid: 'x', simulated: true });
});

describe('lists', () => {
  const PODS = '/api/v1/namespaces/shop/pods';
  const token = ({ query }: Asked) => query.get('continue') ?? '';

  test('come page by page, with the selectors on each', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on(`GET ${PODS}`, asked => (token(asked) === '' ? page('two', 'a', 'b') : page('', 'c')));
    expect(await names(cluster, 'Pod', { namespace: 'shop', labelSelector: 'app=web' })).toEqual(['a', 'b', 'c']);
    expect(api.to(PODS).map(a => [a.query.get('limit'), token(a), a.query.get('labelSelector')])).toEqual([
      ['500', '', 'app=web'],
      ['500', 'two', 'app=web'],
    ]);
  });

  test('items say what they are', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on('GET /apis/discovery.k8s.io/v1/endpointslices', () => page('', 'a'));
    for await (const object of cluster.list('EndpointSlice')) {
      expect(object).toMatchObject({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' });
    }
    expect(await names(cluster, 'EndpointSlice')).toEqual(['a']);
  });

  test('begin again once when a later page has expired, and repeat nothing', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    let expired = false;
    api.on(`GET ${PODS}`, asked => {
      if (token(asked) === '') return expired ? page('two', 'b', 'new') : page('two', 'a', 'b');
      if (expired) return page('', 'c');
      expired = true;
      return status(410, 'Expired', 'too old');
    });
    expect(await names(cluster, 'Pod', { namespace: 'shop' })).toEqual(['a', 'b', 'new', 'c']);
  });

  test('go on with what the server gives for a page that has expired, as often as it does', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    const expired = (rest: string): Answer => ({
      status: 410,
      json: { kind: 'Status', reason: 'Expired', message: 'too old', metadata: { continue: rest } },
    });
    const pages: Record<string, Answer> = {
      '': page('two', 'a'),
      two: expired('two now'),
      'two now': page('three', 'b'),
      three: expired('three now'),
      'three now': page('', 'c'),
    };
    api.on(`GET ${PODS}`, asked => pages[token(asked)] ?? status(400, 'BadRequest', 'no such token'));
    expect(await names(cluster, 'Pod', { namespace: 'shop' })).toEqual(['a', 'b', 'c']);
    expect(api.to(PODS)).toHaveLength(5);
  });

  test('a list that expires twice is given up', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on(`GET ${PODS}`, asked => (token(asked) === '' ? page('two', 'a') : status(410, 'Expired', 'too old')));
    await expect(names(cluster, 'Pod', { namespace: 'shop' })).rejects.toMatchObject({
      status: 410,
      reason: 'Expired',
    });
    expect(api.to(PODS)).toHaveLength(4);
  });
});

describe('single objects', () => {
  const ref = { kind: 'Pod', namespace: 'shop', name: 'p' } as const;
  const PATH = '/api/v1/namespaces/shop/pods/p';

  test('what is not there is undefined', async () => {
    const cluster = await connectTo(await startApi());
    expect(await cluster.get(ref)).toBeUndefined();
  });

  test('a patch of what is not there is an error, and so is a failed test', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    await expect(cluster.patch(ref, [])).rejects.toMatchObject({ status: 404, reason: 'NotFound' });
    api.on(`PATCH ${PATH}`, () =>
      status(422, 'Invalid', 'the server rejected our request due to an error in our request'),
    );
    await expect(cluster.patch(ref, [])).rejects.toMatchObject({ status: 422, reason: 'Invalid' });
  });

  test('delete names the very object and how long it may take', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on(`DELETE ${PATH}`, () => ({ json: {} }));
    await cluster.delete(ref, { uid: 'u1', graceSeconds: 0 });
    expect(JSON.parse(api.to(PATH)[0]?.body ?? '')).toEqual({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: 'Background',
      preconditions: { uid: 'u1' },
      gracePeriodSeconds: 0,
    });
  });

  test('delete of what is gone already is fine; a conflict only when another object bears the name', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    await expect(cluster.delete(ref)).resolves.toBeUndefined();
    api.on(`DELETE ${PATH}`, () => status(409, 'Conflict', 'Precondition failed: UID in precondition: u1'));
    await expect(cluster.delete(ref, { uid: 'u1' })).resolves.toBeUndefined();
    await expect(cluster.delete(ref)).rejects.toMatchObject({ status: 409 });
  });

  test('a review says what is allowed', async () => {
    const api = await startApi();
    const cluster = await connectTo(api);
    api.on('POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews', asked => {
      const { resourceAttributes } = JSON.parse(asked.body).spec;
      return { json: { status: { allowed: resourceAttributes.subresource === 'log' } } };
    });
    expect(await cluster.can({ verb: 'get', group: '', resource: 'pods/log', namespace: 'a' })).toBe(true);
    expect(await cluster.can({ verb: 'get', group: '', resource: 'pods', namespace: 'a' })).toBe(false);
  });
});
