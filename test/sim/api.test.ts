import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Sim } from '../../src/sim/sim.ts';
import { ask, type Body, get, jsonPatch, KUBE_SYSTEM, smallSim, until } from './bench.ts';

const MAPS = '/api/v1/namespaces/default/configmaps';
const map = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { a: '1' },
  ...more,
});

describe('the API', () => {
  let sim: Sim;
  beforeAll(async () => {
    sim = await smallSim();
  });
  afterAll(() => sim.close());

  it('creates, reads, replaces and deletes', async () => {
    const made = await ask(sim, 'POST', MAPS, map('one'));
    expect(made.status).toBe(201);
    expect(made.body.metadata).toMatchObject({ name: 'one', namespace: 'default', uid: expect.any(String) });
    expect((await ask(sim, 'POST', MAPS, map('one'))).body).toMatchObject({ code: 409, reason: 'AlreadyExists' });
    const changed = await ask(sim, 'PUT', `${MAPS}/one`, { ...made.body, data: { a: '2' } });
    expect(changed.body.data).toEqual({ a: '2' });
    const stale = await ask(sim, 'PUT', `${MAPS}/one`, { ...made.body, data: { a: '3' } });
    expect(stale.body).toMatchObject({ code: 409, reason: 'Conflict' });
    expect((await ask(sim, 'DELETE', `${MAPS}/one`)).body.status).toBe('Success');
    const gone = await get(sim, `${MAPS}/one`);
    expect(gone.body).toMatchObject({
      kind: 'Status',
      code: 404,
      reason: 'NotFound',
      message: 'configmaps "one" not found',
    });
  });

  it('refuses a patch whose test fails, and leaves the object as it was', async () => {
    await ask(sim, 'POST', MAPS, map('tested'));
    const path = `${MAPS}/tested`;
    const replace = { op: 'replace', path: '/data/a', value: '2' };
    const refused = await jsonPatch(sim, path, [{ op: 'test', path: '/data/a', value: 'other' }, replace]);
    expect(refused.body).toMatchObject({ code: 422, reason: 'Invalid' });
    expect((await get(sim, path)).body.data.a).toBe('1');
    expect((await jsonPatch(sim, path, [{ op: 'test', path: '/data/a', value: '1' }, replace])).body.data.a).toBe('2');
    expect((await jsonPatch(sim, path, [{ op: 'remove', path: '/data/none' }])).status).toBe(422);
    const merged = await ask(sim, 'PATCH', path, { data: { a: null, b: '3' } }, 'application/merge-patch+json');
    expect(merged.body.data).toEqual({ b: '3' });
  });

  it('does not change the data of an immutable ConfigMap', async () => {
    await ask(sim, 'POST', MAPS, map('fixed', { immutable: true }));
    const refused = await jsonPatch(sim, `${MAPS}/fixed`, [{ op: 'replace', path: '/data/a', value: '2' }]);
    expect(refused.status).toBe(422);
    expect(refused.body.message).toContain('field is immutable when `immutable` is set');
  });

  it('keeps binary data, and counts its bytes into what a ConfigMap may hold', async () => {
    const binaryData = { blob: Buffer.alloc(1_048_574, 7).toString('base64') };
    const made = await ask(sim, 'POST', MAPS, map('full', { data: { a: 'ä' }, binaryData }));
    expect(made.status).toBe(201);
    expect((await get(sim, `${MAPS}/full`)).body.binaryData).toEqual(binaryData);
    const refused = await ask(sim, 'POST', MAPS, map('fuller', { data: { a: 'ä1' }, binaryData }));
    expect(refused.body).toMatchObject({ code: 422, reason: 'Invalid' });
    expect(refused.body.message).toContain('Too long: may not be more than 1048576 bytes');
  });

  it('deletes that very object or nothing', async () => {
    const { body } = await ask(sim, 'POST', MAPS, map('mine'));
    const wrong = await ask(sim, 'DELETE', `${MAPS}/mine`, { preconditions: { uid: 'another' } });
    expect(wrong.body).toMatchObject({ code: 409, reason: 'Conflict' });
    expect((await ask(sim, 'DELETE', `${MAPS}/mine`, { preconditions: { uid: body.metadata.uid } })).status).toBe(200);
  });

  it('lists page by page, by label and by field', async () => {
    const names: string[] = [];
    let next = '';
    do {
      const { body } = await get(sim, `/api/v1/pods?limit=4${next === '' ? '' : `&continue=${next}`}`);
      names.push(...body.items.map((p: Body) => `${p.metadata.namespace}/${p.metadata.name}`));
      next = body.metadata.continue ?? '';
    } while (next !== '');
    const whole = (await get(sim, '/api/v1/pods')).body.items.length;
    expect(names.length).toBe(whole);
    expect(new Set(names).size).toBe(whole);
    const byLabel = await get(
      sim,
      `/api/v1/pods?labelSelector=${encodeURIComponent('k8s-app in (kube-proxy,other),!nothing')}`,
    );
    expect(byLabel.body.items).toHaveLength(3);
    const byField = await get(
      sim,
      '/api/v1/pods?labelSelector=k8s-app%3Dkube-proxy&fieldSelector=spec.nodeName%3Dnode-1',
    );
    expect(byField.body.items.map((p: Body) => p.spec.nodeName)).toEqual(['node-1']);
  });

  it('streams what changes after a version', async () => {
    const { body } = await get(sim, MAPS);
    const stop = new AbortController();
    const response = await fetch(`${sim.url}${MAPS}?watch=1&resourceVersion=${body.metadata.resourceVersion}`, {
      signal: stop.signal,
    });
    await ask(sim, 'POST', MAPS, map('seen'));
    await jsonPatch(sim, `${MAPS}/seen`, [{ op: 'add', path: '/data/b', value: '2' }]);
    await ask(sim, 'DELETE', `${MAPS}/seen`);
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      if (text.split('\n').length > 3) break;
    }
    stop.abort();
    const events = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(events.map(e => [e.type, e.object.metadata.name])).toEqual([
      ['ADDED', 'seen'],
      ['MODIFIED', 'seen'],
      ['DELETED', 'seen'],
    ]);
  });

  it('ends a watch when asked to, with a bookmark shortly before for those who want one', async () => {
    const watch = async (query: string) => (await fetch(`${sim.url}${MAPS}?watch=1&timeoutSeconds=3${query}`)).text();
    const { body } = await get(sim, MAPS);
    const { resourceVersion } = body.metadata;
    const [marked, plain] = await Promise.all([
      watch(`&resourceVersion=${resourceVersion}&allowWatchBookmarks=true`),
      watch(`&resourceVersion=${resourceVersion}`),
    ]);
    const { type, object } = JSON.parse(marked);
    expect([type, object.kind]).toEqual(['BOOKMARK', 'ConfigMap']);
    expect(Number(object.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(resourceVersion));
    expect(plain).toBe('');
  });

  it('takes the contents of a namespace away with it', async () => {
    await ask(sim, 'POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'brief' } });
    await ask(sim, 'POST', '/api/v1/namespaces/brief/configmaps', map('inside'));
    await ask(sim, 'DELETE', '/api/v1/namespaces/brief');
    const late = await ask(sim, 'POST', '/api/v1/namespaces/brief/configmaps', map('late'));
    // On a slow machine it has gone already.
    const refused = { code: 403, message: expect.stringContaining('because it is being terminated') };
    expect(late.body).toMatchObject(late.status === 404 ? { reason: 'NotFound' } : refused);
    await until('the namespace to go', async () => (await get(sim, '/api/v1/namespaces/brief')).status === 404);
    expect((await get(sim, '/api/v1/namespaces/brief/configmaps/inside')).status).toBe(404);
  });

  it('denies as the real server does', async () => {
    const allow = sim.deny({ verb: 'list', resource: 'pods' });
    const { body } = await get(sim, `${KUBE_SYSTEM}/pods`);
    expect(body).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(body.message).toBe(
      'pods is forbidden: User "simulated-admin" cannot list resource "pods" in API group "" in the namespace "kube-system"',
    );
    const review = (verb: string) =>
      ask(sim, 'POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { verb, group: '', resource: 'pods' } },
      });
    expect((await review('list')).body.status.allowed).toBe(false);
    expect((await review('get')).body.status.allowed).toBe(true);
    allow();
    expect((await get(sim, `${KUBE_SYSTEM}/pods`)).status).toBe(200);
  });

  it('fails as it is told to', async () => {
    sim.fault.api({ every: 1, status: 503, verb: 'get', resource: 'configmaps', times: 1 });
    expect((await get(sim, `${KUBE_SYSTEM}/configmaps/kube-proxy`)).status).toBe(503);
    expect((await get(sim, `${KUBE_SYSTEM}/configmaps/kube-proxy`)).status).toBe(200);
    sim.fault.api({ every: 1, lostAnswer: true, verb: 'create', times: 1 });
    await expect(ask(sim, 'POST', MAPS, map('lost'))).rejects.toThrow();
    expect((await get(sim, `${MAPS}/lost`)).status).toBe(200);
    sim.fault.api({ every: 1, reset: true, verb: 'create', times: 1 });
    await expect(ask(sim, 'POST', MAPS, map('never'))).rejects.toThrow();
    expect((await get(sim, `${MAPS}/never`)).status).toBe(404);
  });

  it('says who it is', async () => {
    expect((await get(sim, '/version')).body.gitVersion).toBe('v1.36.3');
    expect((await get(sim, '/readyz')).body).toBe('ok');
    expect((await get(sim, '/apis/apps/v1')).body.resources.map((r: Body) => r.name)).toContain('daemonsets');
    expect((await get(sim, '/api/v1/namespaces/kube-system')).body.metadata.labels['proxyctl.dev/simulated']).toBe(
      'true',
    );
    const config = parse(sim.kubeconfig());
    expect(config['current-context']).toBe('simulated');
    expect(config.clusters[0].cluster.server).toBe(sim.url);
  });
});

describe('the same seed', () => {
  it('gives the same cluster', async () => {
    const names = async (seed: number) => {
      const sim = await smallSim({ seed });
      const list = sim.store.list('Service').map(s => `${s.metadata.name} ${s.spec.clusterIP}`);
      const pods = sim.store
        .list('Pod')
        .filter(p => p.metadata.namespace !== 'kube-system')
        .map(p => `${p.metadata.name} ${p.spec.nodeName}`);
      await sim.close();
      return [...list, ...pods];
    };
    const first = await names(7);
    expect(await names(7)).toEqual(first);
    expect(await names(8)).not.toEqual(first);
  });

  it('has as many nodes and Services as were asked for', async () => {
    const sim = await smallSim({ nodes: 5, controlPlane: 2, services: 40, namespaces: 6 });
    expect(sim.nodes.map(n => n.name)).toEqual(['cp-1', 'cp-2', 'node-1', 'node-2', 'node-3']);
    expect(sim.store.list('Service')).toHaveLength(40);
    expect(sim.store.list('Namespace').map(n => n.metadata.name)).toEqual(
      expect.arrayContaining(['shop', 'payments', 'search']),
    );
    await sim.close();
  });
});
