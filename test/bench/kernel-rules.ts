// How long it takes to say what 10,000 Services with 100,000 endpoints should be in a kernel, and to compare. Run it with
// `node test/bench/kernel-rules.ts`; it prints times, and each beside reading the same objects as JSON.
import { apiService, apiSlice } from '../../src/core/api-services.ts';
import type { KubeObject } from '../../src/core/cluster.ts';
import { compareRules } from '../../src/core/compare-rules.ts';
import { expectedRules, type RulePlace } from '../../src/core/expected-rules.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import type { ServiceRule } from '../../src/core/service-rules.ts';
import { hintUse } from '../../src/core/topology-hints.ts';

const SERVICES = 10_000;
const ENDPOINTS = 10;
const ZONES = ['a', 'b', 'c'];

const PLACE: RulePlace = {
  node: 'node-7',
  zone: 'a',
  hints: hintUse(),
  mode: 'nftables',
  addresses: ['192.168.0.7'],
  options: ruleOptions({}),
  families: ['IPv4', 'IPv6'],
};

function ip(first: number, n: number): string {
  return `${first}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

function service(n: number): KubeObject {
  const external = n % 10 === 0 ? { type: 'NodePort', externalTrafficPolicy: n % 20 === 0 ? 'Local' : 'Cluster' } : {};
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: `ns-${n % 100}`, name: `svc-${n}`, uid: `uid-${n}`, resourceVersion: String(n) },
    spec: {
      type: 'ClusterIP',
      clusterIP: ip(10, n),
      clusterIPs: [ip(10, n)],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP', ...(n % 10 === 0 ? { nodePort: 20_000 + n } : {}) }],
      ...external,
    },
  };
}

/** `hinted`: every endpoint is to be preferred in its zone, so that each node has rules of its own. */
function slice(n: number, hinted: boolean): KubeObject {
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => ({
    addresses: [ip(11, n * ENDPOINTS + i)],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${(n + i) % 500}`,
    zone: ZONES[i % 3],
    ...(hinted ? { hints: { forZones: [{ name: ZONES[i % 3] }] } } : {}),
  }));
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: `ns-${n % 100}`,
      name: `svc-${n}-abcde`,
      uid: `slice-${n}`,
      labels: { 'kubernetes.io/service-name': `svc-${n}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints,
  };
}

const ROUNDS = 5;

/** The best of five, ms. */
function best(work: (round: number) => unknown): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    work(round);
    least = Math.min(least, performance.now() - began);
  }
  return least;
}

function measure(hinted: boolean): void {
  const objects = Array.from({ length: SERVICES }, (_, n) => [service(n), slice(n, hinted)] as const);
  const text = JSON.stringify(objects);
  const json = best(() => JSON.parse(text));
  const fill = () => {
    const history = new ServiceHistory();
    for (const [service, slice] of objects) {
      const [reduced, reducedSlice] = [apiService(service), apiSlice(slice)];
      if (reduced) history.putService(reduced, 0);
      if (reducedSlice) history.putSlice(reducedSlice, 0);
    }
    history.complete(0);
    return history;
  };
  const reduce = best(fill);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const history = fill();
  globalThis.gc?.();
  const heap = (process.memoryUsage().heapUsed - before) / 1e6;

  const rules = new Map<string, ServiceRule>();
  for (const [, version] of history.current()) {
    for (const { rule } of expectedRules(PLACE)(version)) {
      rules.set(rule.key, { ...rule, endpoints: rule.endpoints.map(e => e.split('').join('')) });
    }
  }
  // Another map each time: the answer to the same question is remembered.
  const looks = Array.from({ length: ROUNDS }, () => ({ rules: new Map(rules), since: 0 }));
  const look = { rules, since: 0 };
  const expected = best(() => {
    for (const [, version] of fresh(history)) expectedRules(PLACE)(version);
  });
  const right = best(round => compareRules(history, PLACE, looks[round] ?? look));
  const empty = best(() => compareRules(history, PLACE, { rules: new Map(), since: 0 }));
  compareRules(history, PLACE, look);
  const again = best(() => compareRules(history, PLACE, look));
  const row = (what: string, ms: number) =>
    console.log(
      `  ${what.padEnd(46)} ${ms.toFixed(0).padStart(6)} ms  ${(ms / json).toFixed(2).padStart(6)} x JSON.parse`,
    );
  console.log(`${SERVICES} Services, ${SERVICES * ENDPOINTS} endpoints, ${hinted ? 'all hinted' : 'no hints'}:`);
  row(`JSON.parse of the objects (${(text.length / 1e6).toFixed(0)} MB)`, json);
  row('reduced into the history', reduce);
  row('what the kernel should hold, from scratch', expected);
  row('compared with a kernel that is right', right);
  row('compared with an empty kernel', empty);
  row('compared once more, nothing having changed', again);
  console.log(`  the history takes ${heap.toFixed(0)} MB${globalThis.gc ? '' : ' (run with --expose-gc to know)'}`);
  if (compareRules(history, PLACE, look).flaws.length > 0) throw new Error('the right kernel differs');
}

/** The same versions as new objects, so that nothing derived from them before is taken. */
function fresh(history: ServiceHistory) {
  return [...history.current()].map(([key, version]) => [key, { ...version }] as const);
}

measure(false);
measure(true);
