// What renderers are given, one example of each, as it is when nobody means harm.
import type { Judgement } from '../../src/core/gate.ts';
import type { Inventory } from '../../src/core/inventory.ts';
import type { NewEvent, RunEvent } from '../../src/core/journal.ts';
import type { Plan } from '../../src/core/plan.ts';
import { planMigration } from '../../src/core/planner.ts';
import { Playbook } from '../../src/core/playbook.ts';
import type { ServicePath } from '../../src/core/service-path.ts';
import type { RunStatus } from '../../src/core/status.ts';
import type { ServiceTrace } from '../../src/core/trace.ts';
import { verification } from '../../src/core/verification.ts';
import { preflightReport } from '../../src/report/preflight-json.ts';
import { sha256 } from '../core/cluster-data.ts';
import { inventory as exampleInventory, nodeFacts } from '../gates/looks.ts';

const inventory: Inventory = exampleInventory({
  nodes: [nodeFacts('n1', { ready: false, label: 'none', zone: 'a' }), nodeFacts('n2', { pods: { shop: 3 } })],
});
const plan: Plan = planMigration({
  inventory: exampleInventory(),
  playbook: Playbook.parse({ title: 'title' }),
  to: 'nftables',
  driver: 'daemonset',
  madeAt: '2026-01-01T00:00:00.000Z',
  hash: sha256,
  notes: ['mode: note'],
});
const finding = { level: 'error', subject: 'node n1', message: 'is bad', fix: 'mend it' } as const;
const judgements: Judgement[] = (['fail', 'inconclusive', 'pass'] as const).map(verdict => ({
  gate: 'gate',
  title: 'title',
  hint: 'hint',
  verdict,
  summary: 'summary',
  findings: verdict === 'pass' ? [] : [{ ...finding, level: verdict === 'fail' ? 'error' : 'inconclusive' }],
}));
const at = { batch: 'b1', node: 'n1' };
const events: RunEvent[] = (
  [
    {
      event: 'run-opened',
      v: 1,
      action: 'migrate',
      cluster: inventory.cluster,
      to: 'nftables',
      epoch: 1,
      batches: [{ id: 'b1', nodes: ['n1'], services: 1 }],
    },
    { event: 'phase-started', phase: 'prepare', title: 'objects' },
    { event: 'batch-started', batch: 'b1' },
    { event: 'step-intended', ...at, step: 'warm', to: 'nftables' },
    { event: 'waiting', node: 'n1', for: 'something' },
    { event: 'waiting', for: 'something' },
    { event: 'step-failed', ...at, step: 'warm', error: 'it said no' },
    { event: 'gate-judged', gate: 'g', moment: 'prove', node: 'n1', verdict: 'fail', findings: [finding], summary: '' },
    { event: 'node-done', ...at, mode: 'nftables', seconds: 1, proxySeconds: 1, attempts: 1, failed: 0 },
    { event: 'node-restarted', ...at, mode: 'iptables', seconds: 1, proxySeconds: 1 },
    { event: 'node-back', ...at, mode: 'iptables' },
    { event: 'rehearsal-started', ...at },
    { event: 'rehearsal-done', ...at, seconds: 1 },
    { event: 'note', text: 'a note' },
    { event: 'run-closed', outcome: 'halted', reason: 'reason', next: 'next' },
  ] satisfies NewEvent[]
).map(event => ({ ...event, t: '2026-01-01T00:00:00.000Z', run: 'r1' }));
const status: RunStatus = {
  kind: 'RunStatus',
  version: 1,
  cluster: inventory.cluster,
  run: { id: 'r1', to: 'nftables', startedAt: '2026-01-01T00:00:00.000Z', holder: 'me' },
  nodes: [
    {
      name: 'n1',
      mode: 'iptables',
      modeSource: 'kube-proxy log',
      ready: false,
      batch: 'b1',
      from: 'iptables',
      label: 'none',
      step: 'warm',
      to: 'nftables',
      kernel: { modes: ['iptables'], unread: [], residue: ['KUBE-X'] },
      notes: [{ level: 'unfit', code: 'residue', text: 'holds something' }],
    },
    { name: 'n2', mode: 'iptables', modeSource: 'kube-proxy log', ready: true, notes: [] },
  ],
  unfit: ['n1 is odd'],
};
const report = preflightReport({
  madeAt: '2026-01-01T00:00:00.000Z',
  cluster: inventory.cluster,
  to: 'nftables',
  judgements,
});
const traffic = {
  udp: { failed: 0 },
  attempted: 3,
  failed: 1,
  keptBroken: 0,
  failedByService: new Map([['shop/web', 1]]),
};
const demo = { plan, there: events, back: events, traffic, broken: { what: 'shop/web', node: 'n1', failed: 3 } };
const path = (outcome: ServicePath['outcome']): ServicePath => ({
  key: 'k',
  client: 'pod',
  hops: [{ kind: 'chain', name: 'KUBE-SERVICES', does: 'finds' }],
  outcome,
  ends: [{ address: '10.1.0.1:80', chain: 'KUBE-SEP-X' }],
  endpoints: 1,
  masquerade: 'all',
  sourceRanges: ['10.0.0.0/8'],
});
const trace: ServiceTrace = {
  kind: 'ServiceTrace',
  version: 1,
  madeAt: '2026-01-01T00:00:00.000Z',
  cluster: inventory.cluster,
  service: 'shop/web',
  type: 'ClusterIP',
  unserved: 'it is headless',
  verdict: 'fail',
  wrong: ['something is wrong'],
  nodes: [
    {
      name: 'n1',
      why: 'the first',
      verdict: 'fail',
      reason: 'a reason',
      mode: 'iptables',
      besides: ['ipvs'],
      extras: ['10.0.0.1:80/TCP'],
      frontends: [
        {
          kind: 'ClusterIP',
          family: 'IPv4',
          key: '10.0.0.1:80/TCP',
          port: 'shop/web:80/TCP',
          portName: 'http',
          flaw: { difference: 'missing', detail: 'has no rule' },
          paths: [path('endpoints'), path('nothing')],
          commands: ['iptables-save -t nat'],
          elsewhere: [{ mode: 'nftables', commands: ['nft list ruleset'] }],
        },
      ],
    },
  ],
};
const found = verification({
  madeAt: '2026-01-01T00:00:00.000Z',
  cluster: inventory.cluster,
  gates: judgements,
  notProbed: ['shop/api'],
  nodes: [{ name: 'n1', mode: 'iptables', gates: judgements }],
});
const playbook = Playbook.parse({
  gates: {
    prometheus: { url: 'https://p', tokenEnv: 'TOKEN', queries: [{ name: 'q', query: 'up', max: 1 }] },
    hooks: [{ name: 'h', moments: ['prove'], command: ['echo', 'x'] }],
  },
});

export const EXAMPLES = { demo, events, found, inventory, plan, playbook, report, status, trace };
