import { describe, expect, test } from 'vitest';
import { compareRules, type KernelLook } from '../../src/core/compare-rules.ts';
import { expectedRules } from '../../src/core/expected-rules.ts';
import { KEPT_MS, ServiceHistory } from '../../src/core/service-history.ts';
import { type ServiceRule, serviceRule } from '../../src/core/service-rules.ts';
import { PLACE, type Pod, reduced, reducedSlice, service, slice } from './api-objects.ts';

const KEY = '10.96.0.10:80/TCP';
const A: Pod = { ip: '10.0.0.1' };
const B: Pod = { ip: '10.0.0.2' };
const [ATA, ATB] = ['10.0.0.1:8080', '10.0.0.2:8080'];
const START = 1_000_000;
const LAG = 10_000;

/** A history that knew everything at START. */
function history(pods: Pod[] = [A, B], spec: object = {}, status: object = {}): ServiceHistory {
  const known = new ServiceHistory();
  known.putService(reduced(service({ ...spec }, { status: { ...status } })), START);
  known.putSlice(reducedSlice(slice(pods)), START);
  known.complete(START);
  return known;
}

/** A kernel that holds these rules, read at `at`. */
function kernel(rules: Record<string, Partial<ServiceRule>>, at = START + 60_000): KernelLook {
  const entries = Object.entries(rules).map(
    ([key, rule]) => [key, serviceRule({ key, endpoints: [], ...rule })] as const,
  );
  return { rules: new Map(entries), since: at - LAG };
}

function said(known: ServiceHistory, look: KernelLook, place = PLACE) {
  const { flaws, lagging } = compareRules(known, place, look);
  return [
    ...flaws.map(f => `${f.difference} ${f.service ?? '-'}: ${f.at} ${f.detail}`),
    ...[...lagging].map(key => `lagging ${key}`),
  ];
}

describe('what differs', () => {
  test.each<[string, Record<string, Partial<ServiceRule>>, string[]]>([
    ['nothing', { [KEY]: { endpoints: [ATB, ATA] } }, []],
    ['a rule is missing', {}, [`missing shop/web: shop/web:80/TCP at ${KEY} has no rule`]],
    [
      'an endpoint is missing',
      { [KEY]: { endpoints: [ATA] } },
      [`partial shop/web: shop/web:80/TCP at ${KEY} does not send to ${ATB} (1 of 2 endpoints)`],
    ],
    [
      'an endpoint is stale',
      { [KEY]: { endpoints: [ATA, ATB, '10.0.0.9:8080'] } },
      [`stale shop/web: shop/web:80/TCP at ${KEY} sends to 10.0.0.9:8080, not usable by what the API says`],
    ],
    [
      'one is stale and another missing',
      { [KEY]: { endpoints: [ATA, '10.0.0.9:8080'] } },
      [
        `stale shop/web: shop/web:80/TCP at ${KEY} sends to 10.0.0.9:8080, not usable by what the API says, and does not send to ${ATB} (1 of 2 endpoints)`,
      ],
    ],
    [
      'it has affinity',
      { [KEY]: { endpoints: [ATA, ATB], affinitySeconds: 60 } },
      [`policy shop/web: shop/web:80/TCP at ${KEY} has session affinity of 60 s instead of none`],
    ],
    [
      'it refuses',
      { [KEY]: { empty: 'reject' } },
      [`partial shop/web: shop/web:80/TCP at ${KEY} does not send to ${ATA}, ${ATB} (2 of 2 endpoints)`],
    ],
    [
      'a rule of nobody',
      { [KEY]: { endpoints: [ATA, ATB] }, '10.96.0.99:80/TCP': { endpoints: [ATA] } },
      ['extra -: 10.96.0.99:80/TCP has a rule and belongs to no Service'],
    ],
  ])('%s', (_, rules, lines) => expect(said(history(), kernel(rules))).toEqual(lines));

  test('drop instead of reject, but for ipvs', () => {
    const dropped = kernel({ [KEY]: { empty: 'drop' } });
    expect(said(history([]), dropped)).toEqual([
      `policy shop/web: shop/web:80/TCP at ${KEY} drops connections instead of refuses connections`,
    ]);
    expect(said(history([]), dropped, { ...PLACE, mode: 'ipvs' })).toEqual([]);
  });

  test('clients within the cluster and source ranges; the balancer itself may be let in', () => {
    const spec = {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      loadBalancerSourceRanges: ['10.0.0.0/8', '192.168.0.0/16'],
    };
    const known = history([{ ...A, node: 'n1' }, B], spec, { loadBalancer: { ingress: [{ ip: '192.0.2.9' }] } });
    const with_ = (rule: Partial<ServiceRule>) =>
      said(known, kernel({ [KEY]: { endpoints: [ATA, ATB] }, '192.0.2.9:80/TCP': { endpoints: [ATA], ...rule } }));
    const right = { fromCluster: [ATA, ATB], sourceRanges: ['10.0.0.0/8', '192.168.0.0/16'] };
    expect(with_(right)).toEqual([]);
    expect(with_({ ...right, sourceRanges: [...right.sourceRanges, '192.0.2.9/32'] })).toEqual([]);
    expect(with_({ ...right, fromCluster: [ATB] })).toEqual([
      expect.stringContaining(`to ${ATB} instead of ${ATA}, ${ATB}`),
    ]);
    expect(with_({ fromCluster: right.fromCluster })).toEqual([
      expect.stringContaining('lets in everybody instead of 10.0.0.0/8'),
    ]);
    expect(with_({ ...right, sourceRanges: ['10.0.0.0/8'] })).toEqual([expect.stringContaining('policy shop/web')]);
  });

  test('two Services that share an address and port: one of them is served', () => {
    const known = history([A], { externalIPs: ['192.0.2.1'] });
    known.putService(
      reduced(service({ clusterIPs: ['10.96.0.11'], externalIPs: ['192.0.2.1'] }, { key: 'shop/two' })),
      START,
    );
    known.complete(START);
    const own = { [KEY]: { endpoints: [ATA] }, '10.96.0.11:80/TCP': { empty: 'reject' as const } };
    expect(said(known, kernel({ ...own, '192.0.2.1:80/TCP': { endpoints: [ATA] } }))).toEqual([]);
    expect(said(known, kernel({ ...own, '192.0.2.1:80/TCP': { empty: 'reject' } }))).toEqual([]);
    expect(said(known, kernel({ ...own, '192.0.2.1:80/TCP': { endpoints: [ATB] } }))).toHaveLength(2);
  });

  test('ipvs leaves excluded virtual servers alone, the others do not know the word', () => {
    const options = { ...PLACE.options, excludeCIDRs: ['192.0.2.0/24'] };
    const look = kernel({ [KEY]: { endpoints: [ATA, ATB] }, '192.0.2.1:80/TCP': {} });
    expect(said(history(), look, { ...PLACE, mode: 'ipvs', options })).toEqual([]);
    expect(said(history(), look, { ...PLACE, options })).toEqual([expect.stringContaining('extra')]);
    expect(
      said(history(), kernel({ [KEY]: { endpoints: [ATA, ATB] }, '10.9.9.9:80/TCP': {} }), {
        ...PLACE,
        mode: 'ipvs',
        options,
      }),
    ).toHaveLength(1);
  });

  test('what may be there or not is wrong only when it is there and wrong', () => {
    const options = { ...PLACE.options, nodePortAddresses: ['10.99.0.0/16'] };
    const known = history([A], { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080 }] });
    const with_ = (rules: Record<string, Partial<ServiceRule>>) =>
      said(known, kernel({ [KEY]: { endpoints: [ATA] }, ...rules }), { ...PLACE, options });
    expect(with_({})).toEqual([]);
    expect(with_({ '0.0.0.0:30080/TCP': { endpoints: [ATA] } })).toEqual([]);
    expect(with_({ '0.0.0.0:30080/TCP': { endpoints: [ATB] } })).toHaveLength(1);
  });

  test('of a NodePort on no address iptables still writes the refusal, and that alone is right', () => {
    const options = { ...PLACE.options, nodePortAddresses: ['127.0.0.0/8'] };
    const spec = {
      type: 'NodePort',
      externalTrafficPolicy: 'Local',
      ports: [{ name: 'http', port: 80, nodePort: 30080 }],
    };
    const known = history([{ ...A, node: 'n2' }], spec);
    const with_ = (rule: Partial<ServiceRule>, place: Partial<typeof PLACE> = { options }) =>
      said(known, kernel({ [KEY]: { endpoints: [ATA] }, '0.0.0.0:30080/TCP': rule }), {
        ...PLACE,
        mode: 'iptables',
        ...place,
      });
    expect(with_({ empty: 'drop' })).toEqual([]);
    expect(with_({ empty: 'drop', fromCluster: [ATA] })).toEqual([]);
    expect(with_({ empty: 'reject' })).toEqual([expect.stringMatching(/^policy shop\/web/)]);
    expect(with_({ empty: 'drop', fromCluster: [ATB] })).toEqual([expect.stringMatching(/^policy shop\/web/)]);
    expect(with_({ empty: 'drop' }, {})).toEqual([expect.stringMatching(/^policy shop\/web/)]);
  });
});

describe('the lag', () => {
  const at = START + 60_000;
  const before = { [KEY]: { endpoints: [ATA, ATB] } };
  const after = { [KEY]: { endpoints: [ATA] } };
  /** An endpoint goes so many ms before the kernel is looked at. */
  const changed = (ms: number) => {
    const known = history();
    known.putSlice(reducedSlice(slice([A])), at - ms);
    return known;
  };
  test.each<[string, ServiceHistory, Record<string, Partial<ServiceRule>>, RegExp | undefined]>([
    ['the new state', changed(1000), after, undefined],
    ['the old state soon after the change', changed(1000), before, /^lagging shop\/web$/],
    ['the old state when the change came after the look', changed(-500), before, /^lagging shop\/web$/],
    ['the new state before the change was heard of is a flaw of this moment', history(), after, /^partial/],
    ['the old state, for too long', changed(LAG + 1), before, /^stale/],
    ['neither state', changed(1000), { [KEY]: { endpoints: [ATB] } }, /^stale/],
    ['no rule', changed(1000), {}, /^missing/],
  ])('%s', (_, known, rules, says) => {
    expect(said(known, kernel(rules, at))).toEqual(says ? [expect.stringMatching(says)] : []);
  });

  test('a kube-proxy that is frozen while endpoints change all the time is found', () => {
    const known = history([A]);
    for (let ms = 0; ms <= 60_000; ms += 500) {
      known.putSlice(reducedSlice(slice([{ ip: `10.0.${ms / 500 + 1}.1` }])), START + ms);
    }
    const look = (ip: string) => said(known, kernel({ [KEY]: { endpoints: [`${ip}:8080`] } }, at));
    expect(look('10.0.121.1')).toEqual([]);
    expect(look('10.0.105.1')).toEqual(['lagging shop/web']);
    expect(look('10.0.90.1')).toEqual([expect.stringMatching(/^stale/)]);
  });

  test('Services that come and go', () => {
    const two = { '10.96.0.11:80/TCP': { empty: 'reject' as const } };
    const known = history();
    known.putService(reduced(service({ clusterIPs: ['10.96.0.11'] }, { key: 'shop/two' })), at - 1000);
    expect(said(known, kernel({ ...before }, at))).toEqual(['lagging shop/two']);
    expect(said(known, kernel({ ...before, ...two }, at))).toEqual([]);
    known.dropService('shop/two', at - 500);
    expect(said(known, kernel({ ...before, ...two }, at))).toEqual(['lagging shop/two']);
    expect(said(known, kernel({ ...before }, at))).toEqual([]);
    expect(said(known, kernel({ ...before, ...two }, at + LAG))).toEqual([
      expect.stringMatching(/^extra -: 10.96.0.11/),
    ]);
  });

  test("an address that went from one Service to another may still be the former's", () => {
    const known = history();
    known.dropService('shop/web', at - 1000);
    known.putService(reduced(service({}, { key: 'shop/heir' })), at - 900);
    expect(said(known, kernel(before, at))).toEqual(['lagging shop/heir']);
    expect(said(known, kernel(before, at + LAG))).toEqual([expect.stringMatching(/^stale shop\/heir/)]);
  });
});

describe('the history', () => {
  test('what did not change leaves no trace, and what did not change within a slice is kept as it is', () => {
    const known = history();
    const { revision } = known;
    const [[, old] = []] = [...known.current()];
    known.putService(reduced(service()), START + 1);
    known.putSlice(reducedSlice(slice([A, B])), START + 1);
    expect(known.revision).toBe(revision);
    known.putSlice(reducedSlice(slice([A, { ...B, ready: false }])), START + 2);
    const [[, now] = []] = [...known.current()];
    expect(known.revision).toBe(revision + 1);
    expect(now?.slices[0]?.endpoints[0]).toBe(old?.slices[0]?.endpoints[0]);
    expect(known.replacedAfter('shop/web', START)).toEqual([old]);
  });

  test('the past is forgotten, of changing Services and of those that are gone', () => {
    const known = history([A]);
    for (let ms = 0; ms < 10 * KEPT_MS; ms += 1000) {
      known.putSlice(reducedSlice(slice([{ ip: `10.0.0.${(ms / 1000) % 200}` }])), START + ms);
    }
    expect(known.replacedAfter('shop/web', 0).length).toBeLessThanOrEqual(KEPT_MS / 1000);
    const end = START + 10 * KEPT_MS;
    known.dropService('shop/web', end);
    known.keepSlices(new Set(), end);
    known.putService(reduced(service({}, { key: 'shop/other' })), end + 2 * KEPT_MS);
    known.putService(reduced(service({ clusterIPs: ['10.96.0.5'] }, { key: 'shop/other' })), end + 4 * KEPT_MS);
    expect(known.changedAfter(0)).toEqual(['shop/other']);
    expect([...known.current()].map(([key]) => key)).toEqual(['shop/other']);
  });

  test('before everything was told once nothing has a past; a slice may change its Service', () => {
    const known = new ServiceHistory();
    expect(known.since).toBeUndefined();
    known.putSlice(reducedSlice(slice([A])), START);
    known.putService(reduced(service()), START);
    known.putService(reduced(service({}, { key: 'shop/heir' })), START);
    expect(known.changedAfter(0)).toEqual([]);
    known.complete(START);
    const moved = slice([A], {
      metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'heir' } },
    });
    known.putSlice(reducedSlice(moved), START + 1);
    const endpoints = Object.fromEntries(
      [...known.current()].map(([key, version]) => [key, expectedRules(PLACE)(version)[0]?.rule.endpoints]),
    );
    expect(endpoints).toEqual({ 'shop/web': [], 'shop/heir': [ATA] });
    expect(known.since).toBe(START);
  });
});
