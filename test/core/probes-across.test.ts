import { describe, expect, test } from 'vitest';
import type { NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import type { ProbeTally } from '../../src/core/node-view.ts';
import type { Outcome } from '../../src/core/observation.ts';
import { failingHereOnly } from '../../src/core/probes-across.ts';
import { type RuleOptions, ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { tally } from '../gates/looks.ts';
import { reduced, reducedSlice, service, slice } from './api-objects.ts';
import { makeInventory, makeNode, makePlaybook, makeService } from './cluster-data.ts';

const ID = 'shop/web:80/TCP';
const bad = (inARow: number, id = ID) => ({
  [id]: { total: Math.max(1, inARow), inARow, outcome: 'timeout' as Outcome },
});
const node = (name: string, pod: ProbeTally) => ({ name, tally: pod });

interface World {
  readonly spec?: object;
  readonly ready?: boolean;
  readonly facts?: Partial<ServiceFacts>;
  readonly options?: Partial<RuleOptions>;
  readonly nodes?: Readonly<Record<string, Partial<NodeFacts>>>;
}

/** n1 is at 192.0.2.1, n2 at 192.0.2.2; what the API says of shop/web now, and what the inventory said. */
function said(probed: ReturnType<typeof node>[], world: World = {}): string[] {
  const history = new ServiceHistory();
  history.putService(reduced(service({ ...world.spec })), 0);
  history.putSlice(reducedSlice(slice([{ ip: '10.244.0.5', ready: world.ready ?? true }])), 0);
  const nodes = probed.map(({ name }) =>
    makeNode(name, { internalIPs: [`192.0.2.${name.slice(1)}`], ...world.nodes?.[name] }),
  );
  const inventory = makeInventory(nodes, [makeService('shop/web', { readyByNode: { n9: 1 }, ...world.facts })]);
  const options = { ...ruleOptions({}), ...world.options };
  const truth = { history, options, trouble: () => undefined };
  const found = failingHereOnly(probed, { inventory, playbook: makePlaybook(), truth });
  return [...found].flatMap(([name, findings]) => findings.map(f => `${name} ${f.level} ${f.subject} ${f.message}`));
}

describe('a Service that does not answer', () => {
  test('from here, while it answers from elsewhere, is an error of this node', () => {
    expect(said([node('n1', tally(bad(3))), node('n2', tally()), node('n3', tally(bad(2)))])).toEqual([
      `n1 error service shop/web ${ID} from the pod network of n1: timeout, 3 times in a row, while it answers from n2`,
      `n3 error service shop/web ${ID} from the pod network of n3: timeout, 2 times in a row, while it answers from n2`,
    ]);
  });

  test.each(['shop/web:81/UDP', 'shop/web:53/UDP@dns'])('as %s is an error, too', id => {
    expect(said([node('n1', tally(bad(2, id))), node('n2', tally())])).toHaveLength(1);
  });

  test.each([
    ['from anywhere', [node('n1', tally(bad(3))), node('n2', tally(bad(3)))]],
    ['once only', [node('n1', tally(bad(1))), node('n2', tally())]],
    [
      'where nobody else has looked',
      [node('n1', tally(bad(3))), node('n2', tally({}, 0)), node('n3', { ...tally(), attempts: 0 })],
    ],
    ['where the other one lost some, too', [node('n1', tally(bad(3))), node('n2', tally(bad(0)))]],
    [
      'over UDP from anywhere',
      [node('n1', tally(bad(3, 'shop/web:53/UDP'))), node('n2', tally(bad(3, 'shop/web:53/UDP')))],
    ],
    ['on a load balancer address', [node('n1', tally(bad(3, `${ID}@load-balancer:203.0.113.7`))), node('n2', tally())]],
  ])('%s says nothing', (_, nodes) => expect(said(nodes)).toEqual([]));

  test('by its policy says nothing', () => {
    const spec = { internalTrafficPolicy: 'Local' };
    expect(said([node('n1', tally(bad(3))), node('n2', tally())], { spec })).toEqual([]);
  });

  test('any more says nothing: the first nodes were probed before', () => {
    expect(said([node('n1', tally(bad(3))), node('n2', tally())], { ready: false })).toEqual([]);
    expect(said([node('n1', tally(bad(3, 'shop/old:80/TCP'))), node('n2', tally())])).toEqual([]);
  });
});

describe('a NodePort that does not answer', () => {
  const at = (address: string) => `${ID}@node-port:${address}`;
  /** Two NodePorts on each node. */
  const ports = (failing: object = {}): ProbeTally => ({
    ...tally({ ...failing }),
    kinds: { 'cluster-ip-tcp': 40, 'node-port': 10 },
  });
  const dead = ports(bad(3, at('192.0.2.1')));
  const both = ports({ ...bad(3, at('192.0.2.1')), ...bad(3, 'shop/api:80/TCP@node-port:192.0.2.1') });

  test('here, while its cluster IP does, and the NodePort on another node, is an error of this node', () => {
    expect(said([node('n1', dead), node('n2', ports())])).toEqual([
      `n1 error service shop/web ${at('192.0.2.1')} from the pod network of n1: timeout, 3 times in a row, while its cluster IP answers there, and its NodePort on n2`,
    ]);
  });

  test.each<[string, ProbeTally, World?, ProbeTally?]>([
    [
      'on the address that kube-proxy is bound to',
      ports(bad(3, at('198.51.100.1'))),
      { options: { bound: '198.51.100.1' } },
    ],
    ['in the other family than kube-proxy is bound to', dead, { options: { bound: 'fd00::1' } }],
    ['in the second family', ports(bad(3, at('fd00::1'))), { nodes: ipv6() }],
    ['on an address that the configuration names', dead, { options: { nodePortAddresses: ['192.0.2.0/24'] } }],
    ['on the primary address', dead, { options: { nodePortAddresses: ['primary'] } }],
    ['with a local endpoint and policy Local', dead, { facts: policy('Local', { n1: 1 }) }],
    ['as no other of the node does, while it answers on a node of its role', both],
    [
      'while it answers on a node of the other role, and other NodePorts here',
      dead,
      { nodes: { n1: { role: 'control-plane' } } },
    ],
  ])('%s is an error', (_, here, world = {}, there = ports()) => {
    expect(said([node('n1', here), node('n2', there)], world)).toHaveLength(1);
  });

  test.each<[string, ProbeTally, World?, ProbeTally?]>([
    ['on any node', dead, {}, ports(bad(3, at('192.0.2.2')))],
    ['always on the other one', dead, {}, ports(bad(0, at('192.0.2.2')))],
    ['where the other one was not asked', dead, {}, tally()],
    ['once', ports(bad(1, at('192.0.2.1')))],
    ['while its cluster IP does not either', ports({ ...bad(3, at('192.0.2.1')), ...bad(1) })],
    ['on a second address of the node', ports(bad(3, at('198.51.100.1')))],
    ['on another address than kube-proxy is bound to', dead, { options: { bound: '198.51.100.1' } }],
    ["of an address that is no node's", dead, { options: { bound: '127.0.0.1' } }],
    ['outside nodePortAddresses', dead, { options: { nodePortAddresses: ['192.0.2.2/32'] } }],
    ['where nodePortAddresses names the other family only', dead, { options: { nodePortAddresses: ['::/0'] } }],
    ['by its policy, without a local endpoint', dead, { facts: policy('Local', { n2: 1 }) }],
    ['while only the node that has its endpoints answers', dead, { facts: policy('Cluster', { n2: 1 }) }],
    ['as no other of a control plane that is closed to them', both, { nodes: { n1: { role: 'control-plane' } } }],
  ])('%s says nothing', (_, here, world = {}, there = ports()) => {
    expect(said([node('n1', here), node('n2', there)], world).filter(line => line.includes('shop/web'))).toEqual([]);
  });

  function policy(externalTrafficPolicy: 'Local' | 'Cluster', readyByNode: Record<string, number>) {
    return { externalTrafficPolicy, readyByNode };
  }
  function ipv6() {
    return { n1: { internalIPs: ['192.0.2.1', 'fd00::1'] }, n2: { internalIPs: ['192.0.2.2', 'fd00::2'] } };
  }
});
