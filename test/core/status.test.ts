import { describe, expect, it } from 'vitest';
import type { NodeFacts } from '../../src/core/inventory.ts';
import type { Mode } from '../../src/core/mode.ts';
import type { KernelSample } from '../../src/core/observation.ts';
import { planMigration } from '../../src/core/planner.ts';
import type { NodeState, RunRecord } from '../../src/core/run-state.ts';
import { type StatusFacts, statusOf } from '../../src/core/status.ts';
import { kernelSample, nodeFacts, proxySample, view } from '../gates/looks.ts';
import { makeInventory, makePlaybook, sha256 } from './cluster-data.ts';

const pod = (configMap: string, over: object = {}) => {
  const { proxyPod } = nodeFacts('x');
  if (!proxyPod) throw new Error('no pod');
  return { proxyPod: { ...proxyPod, configMap, startedAt: '2026-01-01T10:00:00Z', ...over } };
};
const served = (name: string, mode: Mode, over: Partial<NodeFacts> = {}) =>
  nodeFacts(name, { mode, ...pod('kube-proxy'), ...over });
const flipped = (name: string, over: Partial<NodeFacts> = {}) =>
  served(name, 'nftables', { label: 'nftables', ...pod('kube-proxy-nftables'), ...over });
const state = (step: NodeState['step']): NodeState => ({ run: 'r1', from: 'iptables', to: 'nftables', step });

const planned = makeInventory([served('n1', 'iptables'), served('n2', 'iptables')]);
const record: RunRecord = {
  kind: 'RunRecord',
  version: 1,
  run: 'r1',
  revision: 1,
  startedAt: '2026-01-01T09:00:00Z',
  plan: planMigration({
    inventory: planned,
    playbook: makePlaybook(),
    to: 'nftables',
    driver: 'daemonset',
    madeAt: '2026-01-01T09:00:00Z',
    hash: sha256,
  }),
  originals: {
    daemonSet: { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'kube-proxy' } },
    configMap: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kube-proxy' } },
    configKey: 'config.conf',
    configPath: '/c',
  },
};

function status(nodes: NodeFacts[], over: Partial<StatusFacts> = {}) {
  return statusOf({
    inventory: makeInventory(nodes),
    holder: '',
    states: new Map(),
    configModes: new Map<string, Mode>([['kube-proxy', 'iptables']]),
    warm: new Set(),
    watchers: [],
    objects: [],
    ...over,
  });
}
const inRun = (nodes: NodeFacts[], over: Partial<StatusFacts> = {}) =>
  status(nodes, {
    record,
    configModes: new Map<string, Mode>([
      ['kube-proxy', 'iptables'],
      ['kube-proxy-nftables', 'nftables'],
    ]),
    ...over,
  });
const codes = (made: ReturnType<typeof status>) =>
  Object.fromEntries(made.nodes.map(node => [node.name, node.notes.map(note => note.code)]));

it('says where the way back is rehearsed, and since when it is proven', () => {
  const { plan } = record;
  const [first, ...rest] = plan.batches;
  if (!first) throw new Error('no batch');
  const rehearsing = { ...record, plan: { ...plan, batches: [{ ...first, rehearses: 'n1' }, ...rest] } };
  const rehearsalIn = (one: RunRecord) => inRun([served('n1', 'iptables')], { record: one }).run?.rehearsal;
  expect(rehearsalIn(record)).toBeUndefined();
  expect(rehearsalIn(rehearsing)).toEqual({ node: 'n1' });
  const at = '2026-01-01T09:30:00Z';
  expect(rehearsalIn({ ...rehearsing, rehearsed: { node: 'n1', at } })).toEqual({ node: 'n1', provenAt: at });
});

describe('without a run', () => {
  it('one mode everywhere fits', () => {
    const made = status([served('n1', 'iptables'), served('n2', 'iptables')]);
    expect(made.unfit).toEqual([]);
    expect(made).toMatchObject({ kind: 'RunStatus', version: 1, shared: 'iptables' });
    expect(made.nodes[0]).toEqual({
      name: 'n1',
      ready: true,
      planned: 'iptables',
      mode: 'iptables',
      modeSource: 'kube-proxy log',
      since: '2026-01-01T10:00:00Z',
      nextStart: 'iptables',
      notes: [],
    });
  });

  it('names the nodes whose next restart would flip them', () => {
    const made = status([served('n1', 'iptables'), served('n2', 'iptables'), served('n3', 'nftables')], {
      configModes: new Map([['kube-proxy', 'nftables' as const]]),
    });
    expect(codes(made)).toEqual({ n1: ['latent-flip'], n2: ['latent-flip'], n3: [] });
    expect(made.unfit).toEqual([
      'nodes serve in iptables and nftables, and no run of proxyctl explains it',
      'n1, n2: serves in mode iptables, and the next start of its kube-proxy takes nftables, as its configuration says by now',
    ]);
  });

  it('names labels and annotations, objects, warm kube-proxies and watchers that nobody explains', () => {
    const made = status([served('n1', 'iptables', { label: 'nftables' }), served('n2', 'iptables')], {
      states: new Map([['n2', state('warm')]]),
      warm: new Set(['n2']),
      objects: ['daemonset kube-system/kube-proxy-nftables'],
      watchers: ['watch-host-n1'],
    });
    expect(codes(made)).toEqual({ n1: ['without-run', 'wrong-mode'], n2: ['without-run', 'warm-left'] });
    expect(made.unfit.join('\n')).toMatch(/record is gone: daemonset kube-system\/kube-proxy-nftables/);
    expect(made.unfit.join('\n')).toMatch(/1 watcher pod of a run that nobody runs: watch-host-n1/);
  });

  it('says nothing about a mode that could not be read, nor about one that another program serves', () => {
    const made = status([
      nodeFacts('n1', { mode: 'unknown', modeSource: 'not looked at' }),
      nodeFacts('n2', { mode: 'none' }),
    ]);
    expect(made.unfit).toEqual([]);
    expect(codes(made)).toEqual({ n1: ['mode-unknown'], n2: [] });
  });

  it('tells restarts, images and nodes that are not Ready aside', () => {
    const made = status([
      served('n1', 'iptables', { ready: false, ...pod('kube-proxy', { restarts: 2, image: 'other:v1' }) }),
    ]);
    expect(codes(made)).toEqual({ n1: ['not-ready', 'restarts', 'image'] });
    expect(made.unfit).toEqual([]);
  });
});

describe('in a run', () => {
  it('what the run has done and has still to do fits', () => {
    const made = inRun([flipped('n1'), served('n2', 'iptables')], { states: new Map([['n1', state('done')]]) });
    expect(made.unfit).toEqual([]);
    expect(made.nodes.map(n => [n.planned, n.batch, n.from, n.step])).toEqual([
      ['nftables', record.plan.batches.find(b => b.nodes[0]?.name === 'n1')?.id, 'iptables', 'done'],
      ['iptables', expect.any(String), 'iptables', undefined],
    ]);
  });

  it('names what serves in another mode than it should, and what is between two', () => {
    const made = inRun([flipped('n1', { mode: 'iptables' }), served('n2', 'unknown' as Mode, { label: 'none' })], {
      states: new Map([
        ['n1', state('done')],
        ['n2', state('release')],
      ]),
    });
    expect(codes(made)).toMatchObject({ n1: ['wrong-mode', 'latent-flip'], n2: ['between-modes', 'mode-unknown'] });
    expect(made.unfit[0]).toBe('n1: should serve in mode nftables and serves in iptables');
  });

  it('names nodes that joined, and how they come along', () => {
    const made = inRun([
      flipped('n1'),
      served('n2', 'iptables'),
      served('late', 'iptables'),
      served('new', 'nftables'),
    ]);
    expect(codes(made)).toMatchObject({ late: ['joined'] });
    expect(made.unfit).toContain(
      "late: joined after the plan was made and serves in mode iptables: 'proxyctl migrate' without a plan file brings it along",
    );
  });

  it('names who would be flipped when somebody edits the shared configuration', () => {
    const edited = new Map<string, Mode>([
      ['kube-proxy', 'nftables'],
      ['kube-proxy-nftables', 'nftables'],
    ]);
    expect(codes(inRun([flipped('n1'), served('n2', 'iptables')], { configModes: edited }))).toEqual({
      n1: [],
      n2: ['latent-flip'],
    });
  });

  it('a warm kube-proxy and watchers fit while somebody is at work there', () => {
    const at = { states: new Map([['n1', state('prove')]]), warm: new Set(['n1']), watchers: ['w'] };
    expect(inRun([served('n1', 'iptables'), served('n2', 'iptables')], { ...at, holder: 'laptop/1/r1' }).unfit).toEqual(
      [],
    );
    expect(inRun([served('n1', 'iptables'), served('n2', 'iptables')], at).unfit).toHaveLength(2);
  });
});

describe('with a look at the kernels', () => {
  const looked = (modes: KernelSample['modes'], mode = 'nftables') =>
    new Map([['n1', view({ proxy: { main: proxySample({ mode }) }, kernel: kernelSample({ modes }) })]]);
  const rules = (present: boolean, ...traces: string[]) => ({ present, servicePorts: 1, traces });
  const clean = { iptables: rules(false), ipvs: rules(false), nftables: rules(true) };

  it('what was not looked at has no kernel', () => {
    expect(inRun([flipped('n1')]).nodes[0]).not.toHaveProperty('kernel');
  });

  it('a clean node fits, and its kube-proxy is asked rather than its log', () => {
    const made = inRun([flipped('n1', { mode: 'unknown' })], { views: looked(clean) });
    expect(made.unfit).toEqual([]);
    expect(made.nodes[0]).toMatchObject({
      mode: 'nftables',
      modeSource: 'kube-proxy',
      kernel: { modes: ['nftables'], unread: [], residue: [] },
    });
  });

  it('names what other modes left', () => {
    const both = { ...clean, iptables: rules(true, 'nat/KUBE-SVC-1'), ipvs: rules(false, 'device kube-ipvs0') };
    const made = inRun([flipped('n1')], { views: looked(both) });
    expect(made.unfit).toEqual(['n1: holds what other modes left beside nftables: nat/KUBE-SVC-1, device kube-ipvs0']);
    const busy = { views: looked(both), holder: 'l', states: new Map([['n1', state('sweep')]]) };
    expect(inRun([flipped('n1')], busy).unfit).toEqual([]);
  });

  it('what could not be read never fits', () => {
    const { iptables: _, ...half } = clean;
    expect(codes(inRun([flipped('n1')], { views: looked(half) }))).toEqual({ n1: ['not-looked'] });
    const silent = inRun([flipped('n1')], { views: new Map([['n1', 'no pod \u001b']]) });
    expect(silent.unfit).toEqual(['n1: could not be looked at: no pod \u001b']);
  });

  it('a kernel without rules of the mode that serves does not fit', () => {
    const made = inRun([flipped('n1')], { views: looked({ ...clean, nftables: rules(false) }) });
    expect(codes(made)).toEqual({ n1: ['no-rules'] });
  });
});

describe("kube-proxy's own DaemonSet", () => {
  const nodes = [flipped('n1'), served('n2', 'iptables')];
  const of = (stands: 'kept off' | 'not kept off' | 'gone', given = nodes) =>
    inRun(given, { original: { name: 'kube-system/kube-proxy', stands } }).unfit;

  it('that is kept off flipped nodes fits', () => {
    expect(of('kept off')).toEqual([]);
  });

  it('that is not, as one that was made anew, starts a second kube-proxy there', () => {
    expect(of('not kept off')).toEqual([
      expect.stringMatching(/made anew by .* a second kube-proxy on n1; .*rollback/),
    ]);
    expect(of('not kept off', [served('n1', 'iptables'), served('n2', 'iptables')])).toEqual([]);
  });

  it('that is gone is named, with what makes it again', () => {
    expect(of('gone')).toEqual([
      expect.stringMatching(/DaemonSet kube-system\/kube-proxy is gone.*'proxyctl rollback'/),
    ]);
  });
});
