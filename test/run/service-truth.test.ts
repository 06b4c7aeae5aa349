// The truth over real HTTP: the client and the embedded API server.
import { expect, onTestFinished, test, vi } from 'vitest';
import { connect } from '../../src/cluster/client.ts';
import type { HttpTuning } from '../../src/cluster/http.ts';
import { expectedRules } from '../../src/core/expected-rules.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { realClock } from '../../src/run/clock.ts';
import { watchServices } from '../../src/run/service-truth.ts';
import type { Sim } from '../../src/sim/sim.ts';
import { tempFile } from '../cli/run-cli.ts';
import { PLACE } from '../core/api-objects.ts';
import { smallSim } from '../sim/bench.ts';

async function truthOf(sim: Sim, tuning: Partial<HttpTuning> = {}) {
  const kubeconfig = tempFile('kubeconfig', sim.kubeconfig());
  const cluster = await connect({ kubeconfig, env: {}, tuning: { pollMs: 5, ...tuning } });
  const watch = watchServices(cluster, realClock, ruleOptions({}));
  onTestFinished(async () => {
    await watch.stop();
    cluster.close();
    await sim.close();
  });
  const rules = expectedRules(PLACE);
  const endpoints = (key: string) =>
    [...watch.truth.history.current()]
      .find(([k]) => k === key)
      ?.flatMap(v => (typeof v === 'string' ? [] : rules(v)))[0]?.rule.endpoints;
  return { truth: watch.truth, endpoints, trouble: () => watch.truth.trouble(Date.now()) };
}

const services = (sim: Sim) => sim.store.list('Service').map(s => `${s.metadata.namespace}/${s.metadata.name}`);
const current = (truth: Awaited<ReturnType<typeof truthOf>>['truth']) =>
  [...truth.history.current()].map(([key]) => key);

/** A Service of a team with its slice. */
function victim(sim: Sim) {
  const slice = sim.store.list('EndpointSlice').find(s => !/^(default|kube-system)$/.test(s.metadata.namespace ?? ''));
  if (!slice) throw new Error('no slice');
  const name = slice.metadata.labels?.['kubernetes.io/service-name'] ?? '';
  const namespace = slice.metadata.namespace ?? '';
  return { namespace, name, key: `${namespace}/${name}`, slice };
}

test('says what is, and what changes, and when', async () => {
  const sim = await smallSim();
  const { truth, endpoints, trouble } = await truthOf(sim);
  expect(trouble()).toMatch(/still being read/);
  await vi.waitFor(() => expect(trouble()).toBeUndefined());
  expect(current(truth).toSorted()).toEqual(services(sim).toSorted());
  const { namespace, name, key, slice } = victim(sim);
  const before = endpoints(key);
  expect(before?.length).toBeGreaterThan(0);
  const at = Date.now();
  sim.store.put({ ...slice, endpoints: [] });
  await vi.waitFor(() => expect(endpoints(key)).toEqual([]));
  expect(truth.history.changedAfter(at - 1)).toEqual([key]);
  expect(truth.history.since).toBeLessThanOrEqual(at);
  const service = sim.store.get('Service', namespace, name);
  if (service) sim.store.remove(service);
  await vi.waitFor(() => expect(current(truth)).not.toContain(key));
});

test('is in doubt while the server is away, and right again when it is back', async () => {
  const sim = await smallSim();
  const { truth, endpoints, trouble } = await truthOf(sim, { silenceMs: 6_000 });
  await vi.waitFor(() => expect(trouble()).toBeUndefined());
  const since = truth.history.since;
  const clear = sim.fault.api({ every: 1, verb: 'watch', resource: 'endpointslices', status: 500 });
  await vi.waitFor(() => expect(trouble()).toMatch(/EndpointSlices of the API cannot be followed/), { timeout: 5000 });
  const { key, slice } = victim(sim);
  sim.store.put({ ...slice, endpoints: [] });
  expect(endpoints(key)?.length).toBeGreaterThan(0);
  clear();
  await vi.waitFor(() => expect(trouble()).toBeUndefined(), { timeout: 5000 });
  await vi.waitFor(() => expect(endpoints(key)).toEqual([]));
  expect(truth.history.since).toBe(since);
});

test('reads all anew when the server has forgotten where it was, and knows of the gap', async () => {
  const sim = await smallSim();
  const { truth, endpoints, trouble } = await truthOf(sim, { silenceMs: 6_000 });
  await vi.waitFor(() => expect(trouble()).toBeUndefined());
  const { key, slice } = victim(sim);
  const reset = Date.now();
  const clear = sim.fault.api({ every: 1, verb: 'watch', resource: 'endpointslices', status: 410 });
  await vi.waitFor(() => expect(trouble()).toMatch(/EndpointSlices/), { timeout: 5000 });
  sim.store.remove(slice);
  clear();
  await vi.waitFor(() => expect(trouble()).toBeUndefined(), { timeout: 5000 });
  expect(endpoints(key)).toEqual([]);
  expect(truth.history.since).toBeGreaterThanOrEqual(reset);
});
