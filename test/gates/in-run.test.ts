import { describe, expect, test } from 'vitest';
import type { Gate, Look } from '../../src/core/gate.ts';
import { configuredGates } from '../../src/core/gate-settings.ts';
import type { Mode } from '../../src/core/mode.ts';
import { emptyView } from '../../src/core/node-view.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { conntrack } from '../../src/gates/conntrack.ts';
import { convergence } from '../../src/gates/convergence.ts';
import { effectiveMode } from '../../src/gates/effective-mode.ts';
import { GATES } from '../../src/gates/index.ts';
import { kernelRules } from '../../src/gates/kernel-rules.ts';
import { residue } from '../../src/gates/residue.ts';
import { serviceProbes } from '../../src/gates/service-probes.ts';
import { virtualServers } from '../../src/gates/virtual-servers.ts';
import { ASKED, inFlip, kernelSample, look, NOW, proxySample, seen, view } from './looks.ts';
import { table } from './table.ts';

const old = new Date((ASKED - 5) * 1000).toISOString();
const main = (over: Parameters<typeof proxySample>[0]) => seen({ proxy: { main: proxySample(over) } });

describe('a view that cannot carry a verdict never passes', () => {
  const fromViews = [effectiveMode, convergence, kernelRules, serviceProbes, conntrack, residue, virtualServers];
  const dead = { host: NOW - 20_000, pod: NOW - 20_000 };
  const inRun = (gate: Gate) => gate.moments.filter(moment => moment !== 'preflight');
  test.each(fromViews.flatMap(gate => inRun(gate).map(moment => ({ gate, moment, id: gate.id }))))(
    '$id at $moment',
    async ({ gate, moment }) => {
      const verdictOf = async (at: Look) => (await gate.look(at)).verdict;
      expect(await verdictOf(seen(emptyView('n1'), {}, moment))).toBe('inconclusive');
      expect(await verdictOf(seen({ seenAt: dead }, {}, moment))).toBe('inconclusive');
      expect(await verdictOf(look(moment))).toBe('inconclusive');
      expect(
        (await gate.look(seen({ seenAt: dead, troubles: ['nft: not found'] }, {}, moment))).findings[0]?.message,
      ).toMatch(/silent for 20 s; last trouble: nft: not found/);
    },
  );

  test('every gate of the registry is inconclusive, not green, when it is given nothing to look at in a run', async () => {
    const verdicts = await Promise.all(
      configuredGates(GATES, Playbook.parse({}))
        .filter(g => g.moments.includes('after-node'))
        .map(async g => (await g.look(seen(emptyView('n1')))).verdict),
    );
    expect(new Set(verdicts)).toEqual(new Set(['inconclusive']));
  });
});

describe('virtual-servers', () => {
  const names = ['192.168.7.99:6443/TCP', '[fd00::99]:6443/TCP', 'firewall mark 0x1'];
  const holds = (foreignServers: string[], to: Mode, excludeCIDRs: string[] = []): Look => ({
    ...seen({ kernel: kernelSample({ foreignServers }) }, { to }, 'before-node'),
    proxyConfig: { ipvs: { excludeCIDRs } },
  });
  table(virtualServers, [
    ['before a run', look('preflight'), 'pass'],
    ['none', holds([], 'nftables'), 'pass'],
    [
      'not known',
      seen({ kernel: kernelSample() }, { to: 'nftables' }, 'before-node'),
      'inconclusive',
      /not known yet whose/,
    ],
    [
      'to nftables, whatever is excluded',
      holds(names, 'nftables', ['192.168.7.0/24', 'fd00::/64']),
      'fail',
      /^error node n1 kube-proxy in nftables removes 3 virtual servers of somebody else at each of its starts: 192\.168\.7\.99:6443\/TCP, \[fd00::99\]:6443\/TCP, firewall mark 0x1$/,
    ],
    ['to iptables', holds(names, 'iptables'), 'pass'],
    ['to ipvs, excluded', holds(names, 'ipvs', ['192.168.7.0/24', 'fd00::/64']), 'pass'],
    [
      'to ipvs, one not excluded',
      holds(names, 'ipvs', ['192.168.7.0/24']),
      'fail',
      /removes 1 virtual server of somebody else unless ipvs\.excludeCIDRs has their addresses: \[fd00::99\]:6443\/TCP$/,
    ],
  ]);
});

describe('effective-mode', () => {
  const warm = { slot: 'warm', expected: 'iptables' } as const;
  table(effectiveMode, [
    ['the new mode', seen({}), 'pass'],
    ['another mode', main({ mode: 'iptables' }), 'fail', /in mode iptables, not nftables/],
    ['nothing answers', main({ up: false }), 'inconclusive', /does not answer/],
    ['the mode is not told', main({ mode: null }), 'inconclusive', /does not tell/],
    ['asked before it was started', main({ t: old }), 'inconclusive', /not asked since/],
    ['the old process answers', main({ processStart: ASKED - 3 }), 'inconclusive', /old kube-proxy/],
    ['started in the second of the question', main({ processStart: ASKED - 1 }), 'pass'],
    [
      'warm: the target counts, whatever serves',
      seen({ proxy: { warm: proxySample({ slot: 'warm' }) } }, warm, 'prove'),
      'pass',
    ],
    [
      'warm: the main one does not count',
      seen({ proxy: { main: proxySample() } }, warm, 'prove'),
      'inconclusive',
      /warm/,
    ],
    [
      'before: the old mode counts',
      seen({ proxy: { main: proxySample({ mode: 'iptables' }) } }, {}, 'before-node'),
      'pass',
    ],
    ['before: the new mode is wrong', seen({}, {}, 'before-node'), 'fail', /nftables, not iptables/],
  ]);
});

describe('convergence', () => {
  const v4 = (over: object) => main({ families: { IPv4: { lastSync: ASKED + 30, lastQueued: ASKED + 29, ...over } } });
  const was = (then: Parameters<typeof proxySample>[0]) => ({ baseline: view({ proxy: { main: proxySample(then) } }) });
  const only4 = { proxy: { main: proxySample({ families: { IPv4: { lastSync: ASKED + 30, lastQueued: null } } }) } };
  const verified = (then: Parameters<typeof proxySample>[0], now: Parameters<typeof proxySample>[0]) =>
    seen({ proxy: { main: proxySample(now) } }, was(then), 'verify');
  const gathering = (minSyncPeriod: string, at: Look): Look => ({
    ...at,
    truth: {
      history: new ServiceHistory(),
      options: ruleOptions({ iptables: { minSyncPeriod } }),
      trouble: () => undefined,
    },
  });
  table(convergence, [
    ['all families in sync', seen({}), 'pass'],
    [
      'no series yet',
      seen({ proxy: { main: proxySample({ families: {} }) } }, was({ families: {} })),
      'inconclusive',
      /no address family/,
    ],
    ['one family not yet', v4({ lastSync: null }), 'inconclusive', /IPv4 has not been synced/],
    ['a family of before is not back', seen(only4), 'inconclusive', /IPv6 has not been synced/],
    ['a family that never was', seen(only4, was({ families: { IPv4: { lastSync: 1, lastQueued: 1 } } })), 'pass'],
    [
      'one series for all, before 1.33',
      main({ families: { any: { lastSync: ASKED + 30, lastQueued: null } } }),
      'pass',
    ],
    ['synced before it started', v4({ lastSync: ASKED }), 'inconclusive', /since kube-proxy started/],
    [
      'two seconds behind',
      seen({ proxy: { main: proxySample({ families: { any: { lastSync: ASKED + 30, lastQueued: ASKED + 32 } } }) } }),
      'pass',
    ],
    ['three seconds behind', v4({ lastQueued: ASKED + 33 }), 'inconclusive', /3\.0 s behind/],
    [
      'behind, but its syncs are slow',
      main({ syncSeconds: 2, families: { any: { lastSync: ASKED + 30, lastQueued: ASKED + 34 } } }),
      'pass',
    ],
    [
      'behind, but kube-proxy gathers changes for so long',
      gathering('10s', main({ families: { any: { lastSync: ASKED + 30, lastQueued: ASKED + 40 } } })),
      'pass',
    ],
    [
      'behind for longer than it gathers them',
      gathering('10s', main({ families: { any: { lastSync: ASKED + 30, lastQueued: ASKED + 41 } } })),
      'inconclusive',
      /11\.0 s behind/,
    ],
    [
      'failures, though the time stamp is young',
      main({ failures: 1 }),
      'fail',
      /failed to write its rules 1 time since/,
    ],
    [
      'one part that failed, made good by a full sync',
      main({ partialFailures: 1 }),
      'pass',
      /^warning node n1 the main kube-proxy failed 1 time to write a change since it started, upon which it writes all rules anew$/,
    ],
    [
      'one part that failed, not made good yet',
      main({ partialFailures: 1, families: { IPv4: { lastSync: ASKED + 30, lastQueued: ASKED + 33 } } }),
      'inconclusive',
      /3\.0 s behind/,
    ],
    ['parts that fail again and again', main({ partialFailures: 2 }), 'fail', /failed 2 times to write a change/],
    [
      'a part, and a full sync after it',
      main({ partialFailures: 1, failures: 1 }),
      'fail',
      /^error .*failed to write its rules 1 time since it started\nwarning .*a change/,
    ],
    [
      'verify: failures of long ago',
      verified({ failures: 3 }, { failures: 3 }),
      'pass',
      /warning .*failed to write its rules 3 times/,
    ],
    [
      'verify: one more just now',
      verified({ failures: 2 }, { failures: 3 }),
      'fail',
      /failed to write its rules 3 times/,
    ],
    [
      'verify: parts of long ago',
      verified({ partialFailures: 9 }, { partialFailures: 10 }),
      'pass',
      /^warning .*failed 10 times to write a change/,
    ],
    [
      'verify: two more parts just now',
      verified({ partialFailures: 9 }, { partialFailures: 11 }),
      'fail',
      /failed 11 times to write a change/,
    ],
    [
      'verify: of the process before',
      verified({ failures: 3, processStart: ASKED - 9 }, { failures: 3 }),
      'fail',
      /failed to write its rules 3 times/,
    ],
    ['metrics not read', main({ failures: null }), 'inconclusive', /could not be read/],
    ['start not known', main({ processStart: null }), 'inconclusive', /could not be read/],
    ['the old process', main({ processStart: ASKED - 3 }), 'inconclusive', /old kube-proxy/],
    ['not healthy', main({ healthz: 503 }), 'inconclusive', /503, not 200/],
    ['healthz gone', main({ healthz: null }), 'inconclusive', /says nothing/],
    ['healthz was never on', seen({ proxy: { main: proxySample({ healthz: null }) } }, was({ healthz: null })), 'pass'],
    ['nothing answers', main({ up: false }), 'inconclusive', /does not answer/],
  ]);
});

test('a look without a node says so', async () => {
  const judgement = await effectiveMode.look(look('after-node'));
  expect(judgement.findings[0]?.message).toBe('could not look: no node is looked at at the moment after-node');
  expect(inFlip().name).toBe('n1');
});
