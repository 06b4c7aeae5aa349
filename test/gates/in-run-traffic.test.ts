import { describe, expect, test } from 'vitest';
import type { Look } from '../../src/core/gate.ts';
import { emptyView } from '../../src/core/node-view.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { residue } from '../../src/gates/residue.ts';
import { serviceProbes } from '../../src/gates/service-probes.ts';
import { ASKED, inventory, kernelSample, NOW, seen, service, tally, view } from './looks.ts';
import { table } from './table.ts';

const old = new Date((ASKED - 5) * 1000).toISOString();
const nft = (over: object) =>
  kernelSample({ modes: { nftables: { present: true, servicePorts: 2, missing: [], traces: [], ...over } } });

/** An API without Services. */
const nothing = (trouble?: string) => ({
  history: new ServiceHistory(),
  options: ruleOptions({}),
  trouble: () => trouble,
});

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
      { ...pod(failing(2)), truth: nothing() },
      'pass',
      /warning .*deleted or changed/,
    ],
    [
      'the API is in doubt: whose fault it is cannot be told',
      { ...pod(failing(2)), truth: nothing('no word from the API') },
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
  ]);

  test('the threshold is the playbook’s', async () => {
    const at = pod(failing(4));
    const patient = {
      ...at,
      playbook: { ...at.playbook, gates: { ...at.playbook.gates, probes: { services: 10, failures: 5 } } },
    };
    expect((await serviceProbes.look(patient)).verdict).toBe('inconclusive');
  });
});

describe('residue', () => {
  const traces = (mode: 'iptables' | 'ipvs', names: string[]) => {
    const sample = kernelSample();
    return {
      kernel: { ...sample, modes: { ...sample.modes, [mode]: { present: true, servicePorts: 1, traces: names } } },
    };
  };
  const { iptables: _, ...unread } = kernelSample().modes;
  table(residue, [
    ['nothing left', seen({}), 'pass'],
    [
      'the old mode',
      seen(traces('iptables', ['chain KUBE-SVC-1', 'chain KUBE-SEP-1'])),
      'fail',
      /iptables is left behind: chain KUBE-SVC-1, chain KUBE-SEP-1/,
    ],
    ['a third mode', seen(traces('ipvs', ['device kube-ipvs0'])), 'fail', /ipvs is left behind: device kube-ipvs0/],
    [
      'the mode itself is no residue',
      seen({ kernel: nft({ traces: ['table ip kube-proxy'] }) }),
      'inconclusive',
      /iptables could not be read/,
    ],
    [
      'the old mode was not read',
      seen({ kernel: kernelSample({ modes: unread }) }),
      'inconclusive',
      /iptables could not be read/,
    ],
    ['read before the flip', seen({ kernel: kernelSample({ t: old }) }), 'inconclusive', /not read since/],
    ['on the way back the target is residue', seen({}, { expected: 'iptables', from: 'iptables' }), 'pass'],
  ]);
});
