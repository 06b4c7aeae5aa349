import { describe, expect, test } from 'vitest';
import { apiService, apiSlice } from '../../src/core/api-services.ts';
import type { Look, NodeInFlip } from '../../src/core/gate.ts';
import type { ServiceFacts } from '../../src/core/inventory.ts';
import { emptyView, type ProbeTally } from '../../src/core/node-view.ts';
import type { Outcome, Vantage } from '../../src/core/observation.ts';
import { addKinds, flipTally } from '../../src/core/probe-tally.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import type { ServiceTruth } from '../../src/core/service-truth.ts';
import { parseConfig } from '../../src/drivers/config-text.ts';
import { serviceProbes } from '../../src/gates/service-probes.ts';
import { inventory, NOW, seen, service, tally, view } from './looks.ts';
import { type Row, table } from './table.ts';

const bad = (inARow: number, outcome: Outcome = 'timeout', total = inARow) => ({ inARow, total, outcome });
/** Without what only the own Service shows. */
const bare = (): ProbeTally => ({ ...tally(), kinds: { 'cluster-ip-tcp': 50 } });
/** What the API says of shop/web: nothing, or that it is there with an endpoint that is ready or not. */
function truth(web: 'gone' | 'served' | 'unserved', trouble?: string, spec: object = {}): ServiceTruth {
  const history = new ServiceHistory();
  const service = apiService({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10'],
      ipFamilies: ['IPv4'],
      ports: [{ port: 80, protocol: 'TCP' }],
      ...spec,
    },
  });
  const slice = apiSlice({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.244.0.5'], conditions: { ready: web === 'served' } }],
  });
  if (web !== 'gone' && service && slice) {
    history.putService(service, NOW);
    history.putSlice(slice, NOW);
  }
  return { history, options: ruleOptions({}), trouble: () => trouble };
}

/** Well before, and now failing so often in a row. */
function of(
  id: string,
  inARow: number,
  outcome: Outcome = 'timeout',
  flip: Partial<NodeInFlip> = {},
  from: Vantage = 'pod',
): Look {
  const failing = tally({ [id]: bad(inARow, outcome) });
  return seen({ rounds: { host: tally(), pod: tally(), [from]: failing } }, flip);
}

const withWeb = (at: Look, over: Partial<ServiceFacts>): Look => ({
  ...at,
  inventory: inventory({ services: [service('shop/web', over)] }),
});

/** externalTrafficPolicy: Local without a local endpoint, for clients that only ipvs let through. */
function outOfIpvs(id: string, local: Partial<ServiceFacts>): Row[] {
  const at = (config: string, from: Vantage = 'pod', over: Partial<ServiceFacts> = {}) =>
    withConfig(withWeb(of(id, 9, 'timeout', { from: 'ipvs' }, from), { ...local, ...over }), config);
  const none = 'clusterCIDR: ""\ndetectLocalMode: ""\n';
  return [
    [`${id}: pods that nobody knows`, at(none), 'pass', /by design: ipvs led pods .*; nftables drops them, since/],
    [`${id}: null, as kubeadm may write`, at('clusterCIDR: null\n'), 'pass', /by design/],
    [`${id}: ranges of the other family`, at('clusterCIDR: fd00::/8\n'), 'pass', /by design/],
    [`${id}: pods by their range`, at('clusterCIDR: fd00::/8,10.244.0.0/16\n'), 'fail', /9 times/],
    [`${id}: pods by their bridge`, at('clusterCIDR: ""\ndetectLocalMode: BridgeInterface\n'), 'fail', /9 times/],
    [`${id}: the node itself`, at(none, 'host'), 'fail', /9 times/],
    [`${id}: with a local endpoint`, at(none, 'pod', { readyByNode: { n1: 1 } }), 'fail', /9 times/],
    [`${id}: policy Cluster`, at(none, 'pod', { externalTrafficPolicy: 'Cluster' }), 'fail', /9 times/],
  ];
}

/** The playbook leaves nodePortAddresses to the mode. */
function left(at: Look, text = 'nodePortAddresses: null\nmode: iptables\n'): Look {
  return { ...withConfig(at, text), playbook: { ...at.playbook, options: { nodePortAddresses: 'default' } } };
}

function withConfig(at: Look, text: string): Look {
  return { ...at, proxyConfig: parseConfig(text) };
}

describe('service-probes', () => {
  const id = 'shop/web:80/TCP';
  const failing = (inARow: number, total = inARow, outcome: 'timeout' | 'refused' = 'timeout') => ({
    [id]: { inARow, total, outcome },
  });
  const pod = (now: object, then: object = {}): Look =>
    seen(
      { rounds: { host: tally(), pod: tally({ ...now }) } },
      { baseline: view({ rounds: { host: tally(), pod: tally({ ...then }) } }) },
    );
  const noEndpoints = (at: Look): Look => ({
    ...at,
    inventory: inventory({ services: [service('shop/web', { readyByNode: {}, endpoints: 0 })] }),
  });
  table(serviceProbes, [
    ['all well', seen({}), 'pass'],
    [
      'newly broken',
      pod(failing(2)),
      'fail',
      /service shop\/web .*from the pod network of n1: timeout, 2 times in a row/,
    ],
    ['broken once, so far', pod(failing(1)), 'inconclusive', /1 time in a row; the next round tells/],
    [
      'a single failure that did not repeat',
      pod(failing(0, 1)),
      'pass',
      /warning .*1 failed attempt that did not repeat/,
    ],
    ['it was broken before', pod(failing(4), failing(3)), 'pass', /warning .*already failing before \(timeout\)/],
    ['without endpoints, still refused', noEndpoints(pod(failing(4, 4, 'refused'), failing(3, 3, 'refused'))), 'pass'],
    // The kernel sends refusals (ICMP) only so often.
    ['without endpoints, now silent', noEndpoints(pod(failing(2), failing(3, 3, 'refused'))), 'pass'],
    [
      'the Service was deleted meanwhile',
      { ...pod(failing(2)), truth: truth('gone') },
      'pass',
      /warning .*deleted or changed/,
    ],
    [
      'the API is in doubt: whose fault it is cannot be told',
      { ...pod(failing(2)), truth: truth('gone', 'no word from the API') },
      'inconclusive',
      /no word from the API/,
    ],
    [
      'one round only',
      seen({ rounds: { host: tally(), pod: tally({}, 1) } }),
      'inconclusive',
      /pod watcher has completed 1 of 2/,
    ],
    [
      'rounds without a dial',
      seen({ rounds: { host: tally(), pod: { ...tally(), attempts: 0 } } }),
      'inconclusive',
      /pod watcher dialled 0 of 10 targets/,
    ],
    [
      'half of the targets dialled',
      seen({ rounds: { host: { ...tally(), attempts: 25 }, pod: tally() } }),
      'inconclusive',
      /host watcher dialled 5 of 10 targets/,
    ],
    ['half a view', seen({ seenAt: { host: NOW } }), 'inconclusive', /pod watcher has not said anything/],
    [
      'one watcher died',
      seen({ seenAt: { host: NOW - 16_000, pod: NOW } }),
      'inconclusive',
      /host watcher has been silent for 16 s/,
    ],
    ['no baseline', seen({}, { baseline: emptyView('n1') }), 'inconclusive', /of the time before the flip/],
    [
      'before anything: what is bad was bad',
      seen({ rounds: { host: tally(), pod: tally(failing(3)) } }, { baseline: emptyView('n1') }, 'before-node'),
      'pass',
      /already failing/,
    ],
    [
      'the Service lost its endpoints meanwhile',
      { ...pod(failing(2)), truth: truth('unserved') },
      'pass',
      /warning .*lost its endpoints/,
    ],
    ['its endpoints are still there', { ...pod(failing(2)), truth: truth('served') }, 'fail', /2 times/],
    [
      'no target of a kind any more',
      seen({ rounds: { host: tally(), pod: { ...tally(), kinds: { 'cluster-ip-tcp': 50, affinity: 5 } } } }),
      'inconclusive',
      /pod watcher dialled 0 of 1 hairpin targets/,
    ],
    [
      'the own Service never answered before',
      seen({ rounds: { host: bare(), pod: bare() } }, { baseline: view({ rounds: { host: bare(), pod: bare() } }) }),
      'pass',
      /^warning node n1 not looked at: hairpin, session affinity; /,
    ],
  ]);

  describe('of each kind', () => {
    table(serviceProbes, [
      ['only UDP', of('shop/web:81/UDP', 3, 'no answer'), 'fail', /web:81\/UDP from the pod .*no answer, 3 times/],
      ['only DNS by name', of('kube-system/kube-dns:53/UDP@dns', 2, 'wrong answer'), 'fail', /wrong answer, 2 times/],
      ['only NodePorts', of('shop/web:80/TCP@node-port:10.0.0.1', 2), 'fail', /node-port:10.0.0.1 .*2 times/],
      ['only the load balancer', of('shop/web:80/TCP@load-balancer:203.0.113.7', 2), 'fail', /load-balancer/],
      ['only external addresses', of('shop/web:80/TCP@external-ip:198.51.100.7', 2), 'fail', /external-ip/],
      ['only the second family', of('shop/web:80/TCP@fd00::7', 2), 'fail', /@fd00::7/],
      ['only hairpin', of('proxyctl/probe-1:80/TCP@hairpin', 2), 'fail', /service proxyctl\/probe-1 .*@hairpin/],
      ['only affinity', of('proxyctl/probe-1:80/TCP@affinity', 2, 'moved'), 'fail', /@affinity .*moved, 2 times/],
      [
        'a client that moved once',
        seen(
          { rounds: { host: tally(), pod: tally({ 'proxyctl/probe-1:80/TCP@affinity': bad(0, 'moved', 1) }) } },
          { baseline: view() },
        ),
        'pass',
        /warning .*by design: .* so clients move once/,
      ],
    ]);
  });

  describe('health check node ports', () => {
    const health = 'shop/web:80/TCP@health-check:10.0.0.1';
    const closedBefore = (at: Look): Look =>
      at.node
        ? {
            ...at,
            node: { ...at.node, baseline: view({ rounds: { host: tally(), pod: tally({ [health]: bad(3) }) } }) },
          }
        : at;
    const closed = (over: object) => ({ ...of(health, 3, 'refused'), truth: truth('served', undefined, over) });
    const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
    table(serviceProbes, [
      ['closed', of(health, 2, 'refused'), 'fail', /health-check:10\.0\.0\.1 from the pod .*refused, 2 times in a row/],
      ['closed, and the API wants it', closed(balanced), 'fail', /refused, 3 times in a row/],
      [
        'closed, for the policy is another',
        closed({ type: 'LoadBalancer' }),
        'pass',
        /was deleted or changed meanwhile/,
      ],
      [
        'closed until the first sync',
        seen({ rounds: { host: tally(), pod: tally({ [health]: bad(0, 'refused', 4) }) } }, { baseline: view() }),
        'pass',
        /warning service shop\/web by design: .* did not answer in 4 rounds: kube-proxy opens it with its first sync/,
      ],
      ['closed before', closedBefore(of(health, 9, 'refused')), 'pass', /already failing before/],
      [
        'closed before, where kube-proxy opens it on other addresses',
        withConfig(closedBefore(of(health, 9, 'refused')), 'nodePortAddresses: [10.9.0.0/16]\n'),
        'pass',
      ],
    ]);

    test('are no failure of a flip once they are open again', () => {
      const now = (inARow: number) =>
        seen({ rounds: { pod: { ...tally({ [health]: bad(inARow, 'refused', 4) }), kinds: { 'health-check': 10 } } } });
      const told = (look: Look) =>
        look.node && flipTally(look, { ...look.node, baseline: view() }).kinds['health-check'];
      expect(told(now(0))).toEqual({ attempts: 6, failed: 0 });
      expect(told(now(2))).toEqual({ attempts: 10, failed: 4 });
    });
  });

  describe('by design', () => {
    const loopback = 'shop/web:80/TCP@node-port:127.0.0.1';
    const second = 'shop/web:80/TCP@node-port:10.9.9.9';
    const local = { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local', readyByNode: { n2: 1 } } as const;
    const balancer = 'shop/web:80/TCP@load-balancer:203.0.113.7';
    table(serviceProbes, [
      [
        '127.0.0.1 from iptables',
        of(loopback, 9),
        'pass',
        /^warning service shop\/web by design: only iptables answers/,
      ],
      ['127.0.0.1 was never ipvs’', of(loopback, 9, 'timeout', { from: 'ipvs' }), 'fail', /9 times/],
      ['a second address, kept by the playbook', of(second, 9), 'fail', /10\.9\.9\.9/],
      [
        'a second address, left to the mode',
        left(of(second, 9)),
        'pass',
        /by design: nftables .*nodePortAddresses is empty/,
      ],
      ['the primary one, left to the mode', left(of('shop/web:80/TCP@node-port:10.0.0.1', 9)), 'fail', /10\.0\.0\.1/],
      [
        'the address that kube-proxy is bound to, left to the mode',
        left(of(second, 9), 'bindAddress: 10.9.9.9\n'),
        'fail',
        /10\.9\.9\.9/,
      ],
      [
        'another than kube-proxy is bound to, left to the mode',
        left(of('shop/web:80/TCP@node-port:10.0.0.1', 9), 'bindAddress: 10.9.9.9\n'),
        'pass',
        /by design: nftables/,
      ],
      [
        'any, where kube-proxy is bound to the loopback',
        left(of(second, 9), 'bindAddress: 127.0.0.1\n'),
        'fail',
        /10\.9\.9\.9/,
      ],
      [
        'a second address, set by the configuration',
        left(of(second, 9), 'nodePortAddresses:\n- 10.0.0.0/8\nmode: iptables\n'),
        'fail',
        /10\.9\.9\.9/,
      ],
      [
        'a local address of ipvs',
        withWeb(of('shop/web:80/TCP', 9, 'timeout', { from: 'ipvs' }), local),
        'pass',
        /by design: ipvs ignored internalTrafficPolicy: Local, nftables keeps to it/,
      ],
      [
        'the same with a local endpoint',
        withWeb(of('shop/web:80/TCP', 9, 'timeout', { from: 'ipvs' }), { ...local, readyByNode: { n1: 1 } }),
        'fail',
        /9 times/,
      ],
      ['the same from iptables', withWeb(of('shop/web:80/TCP', 9), local), 'fail', /9 times/],
      [
        'an outside address in ipvs',
        withWeb(of(balancer, 9, 'timeout', { to: 'ipvs', expected: 'ipvs' }), local),
        'pass',
        /by design: with externalTrafficPolicy: Local ipvs has no short way/,
      ],
      ['the same in nftables', withWeb(of(balancer, 9), local), 'fail', /9 times/],
      ...outOfIpvs('shop/web:80/TCP@node-port:10.0.0.1', local),
      ...outOfIpvs(balancer, local),
      [
        'source ranges and the node itself, out of ipvs',
        withWeb(of(balancer, 9, 'timeout', { from: 'ipvs' }, 'host'), { sourceRanges: ['10.0.0.0/8'] }),
        'pass',
        /by design: ipvs applies source ranges/,
      ],
      [
        'source ranges and a pod',
        withWeb(of(balancer, 9, 'timeout', { from: 'ipvs' }), { sourceRanges: ['10.0.0.0/8'] }),
        'fail',
        /9 times/,
      ],
    ]);
  });

  describe('Services without endpoints', () => {
    const asked = (silent: number, silentInARow = silent): ProbeTally => ({
      ...tally(),
      refusals: { asked: 9, silent, silentInARow },
    });
    const refusals = (now: ProbeTally, before: ProbeTally): Look =>
      seen({ rounds: { host: tally(), pod: now } }, { baseline: view({ rounds: { host: tally(), pod: before } }) });
    table(serviceProbes, [
      ['refuse as before', refusals(asked(0), asked(0)), 'pass'],
      ['one refusal stayed away', refusals(asked(1), asked(0)), 'pass'],
      [
        'two in a row',
        refusals(asked(2), asked(0)),
        'inconclusive',
        /refused from the pod network of n1, and now time out/,
      ],
      ['none comes any more', refusals(asked(4), asked(0)), 'fail', /now time out \(4 times in a row\)/],
      ['it comes again', refusals(asked(6, 0), asked(0)), 'pass'],
      // The kernel's limit was felt before too.
      ['some stayed away before', refusals(asked(9), asked(1)), 'pass'],
      [
        'too few were asked before',
        refusals(asked(9), { ...tally(), refusals: { asked: 1, silent: 0, silentInARow: 0 } }),
        'pass',
      ],
    ]);
  });

  describe('outside runs, without a time before', () => {
    const affinity = 'proxyctl/probe-1:80/TCP@affinity';
    const hairpin = 'proxyctl/probe-1:80/TCP@hairpin';
    const at = (now: ProbeTally, then: ProbeTally = now, rounds: Partial<ProbeTally> = {}): Look =>
      seen(
        { rounds: { host: { ...tally(), ...rounds }, pod: { ...now, ...rounds } } },
        { baseline: view({ rounds: { host: { ...tally(), ...rounds }, pod: { ...then, ...rounds } } }) },
        'verify',
      );
    table(serviceProbes, [
      ['all well', at(tally()), 'pass'],
      [
        'affinity that was never there',
        at(tally({ [affinity]: bad(3, 'moved') })),
        'fail',
        /error node n1 session affinity of the probe Service, pod network: .* reached both endpoints, 6 times/,
      ],
      // By chance four connections reach the same endpoint once in eight times.
      ['affinity that holds by chance', at(tally({ [affinity]: bad(0, 'moved', 2) })), 'fail', /4 times/],
      [
        'a client that moved once',
        at(tally({ [affinity]: bad(0, 'moved', 1) }), tally()),
        'pass',
        /warning .*not again/,
      ],
      [
        'a client that moved just now',
        at(tally({ [affinity]: bad(1, 'moved') }), tally()),
        'inconclusive',
        /next round/,
      ],
      ['hairpin that fails', at(tally({ [hairpin]: bad(2) })), 'fail', /hairpin .* does not reach .* timeout, 2 times/],
      ['hairpin that failed', at(tally({ [hairpin]: bad(0, 'timeout', 3) })), 'pass', /3 times, and not again/],
      ['a Service that is down', at(tally({ [id]: bad(3) })), 'pass', /warning service shop\/web .*: timeout$/],
      [
        'the own Service that never answers',
        at(tally(), tally(), { kinds: { 'cluster-ip-tcp': 40 } }),
        'pass',
        /^warning node n1 not looked at: hairpin, session affinity; the probe Service of the watcher did not answer$/,
      ],
      ['the own Service that answers late', at(tally(), { ...tally(), kinds: { 'cluster-ip-tcp': 40 } }), 'pass'],
    ]);
  });

  test('the threshold is the playbook’s', async () => {
    const at = pod(failing(4));
    const { gates } = at.playbook;
    const probes = { ...gates.probes, failures: 5 };
    const patient = { ...at, playbook: { ...at.playbook, gates: { ...gates, probes } } };
    expect((await serviceProbes.look(patient)).verdict).toBe('inconclusive');
  });

  test('the summary counts what failed, by kind, without what was meant', async () => {
    const failed = {
      'shop/web:80/TCP': bad(0, 'timeout', 3),
      'shop/web:80/TCP@node-port:127.0.0.1': bad(5, 'refused', 5),
      'shop/old:80/TCP': bad(5, 'timeout', 5),
    };
    const kinds = { 'cluster-ip-tcp': 40, 'node-port': 10 };
    const now = { ...tally(failed), kinds };
    const before = { ...tally({ 'shop/old:80/TCP': bad(2) }), kinds };
    const at = seen({ rounds: { host: now, pod: now } }, { baseline: view({ rounds: { host: before, pod: before } }) });
    expect((await serviceProbes.look(at)).summary).toBe(
      '6 of 90 connections failed: 6 of 80 ClusterIP TCP, 10 NodePort',
    );
    const { node } = at;
    if (!node) throw new Error('no node');
    const { kinds: counted, ...sum } = flipTally(at, node);
    expect(sum).toEqual({ attempts: 90, failed: 6 });
    expect(addKinds(counted, counted)).toEqual({
      'cluster-ip-tcp': { attempts: 160, failed: 12 },
      'node-port': { attempts: 20, failed: 0 },
    });
  });
});
