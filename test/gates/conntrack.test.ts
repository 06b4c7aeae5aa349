import { describe, expect, test } from 'vitest';
import type { Look, Moment } from '../../src/core/gate.ts';
import type { ConntrackSample } from '../../src/core/observation.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { conntrack } from '../../src/gates/conntrack.ts';
import { conntrackSample, inventory, look, NOW, nodeFacts, seen, view } from './looks.ts';
import { table } from './table.ts';

const at = (seconds: number, over: Partial<ConntrackSample> = {}) =>
  conntrackSample({ t: new Date(NOW - seconds * 1000).toISOString(), ...over });

/** A minute and a half before it was flipped, and now. */
const flipped = (now: Partial<ConntrackSample>, then: Partial<ConntrackSample> = {}): Look => {
  const before = at(90, then);
  return seen({ conntrack: [before, at(1, now)] }, { baseline: view({ conntrack: [at(100, then), before] }) });
};
const first = (samples: ConntrackSample[], over: Partial<Look> = {}): Look => ({
  ...seen({ conntrack: samples }, { baseline: view({ conntrack: [] }) }, 'before-node'),
  ...over,
});
/** With kube-proxy's image of that version. */
const of = (version: string, at: Look): Look => {
  const { proxy } = at.inventory;
  const daemonSet = proxy.daemonSet && { ...proxy.daemonSet, image: `registry.k8s.io/kube-proxy:${version}` };
  return { ...at, inventory: { ...at.inventory, proxy: { ...proxy, ...(daemonSet ? { daemonSet } : {}) } } };
};
/** A sample a second since the flip, from a thousand up. */
const rising = (rate: number, seconds = 60): Look => {
  const samples = Array.from({ length: seconds + 1 }, (_, i) => at(seconds - i, { count: 1000 + i * rate }));
  return seen({ conntrack: samples }, { baseline: view({ conntrack: samples.slice(0, 1) }) });
};

table(conntrack, [
  ['room', flipped({}), 'pass'],
  ['just below the warning', flipped({ count: 599, max: 1000 }, { max: 1000 }), 'pass'],
  [
    '60 %',
    flipped({ count: 600, max: 1000 }, { max: 1000 }),
    'pass',
    /warning node n1 600 of 1000 .*60 %; the limit is 70 %.*nf_conntrack_max=131072 .*buckets=32768.*min: 131072 or conntrack\.maxPerCore: 32768/,
  ],
  ['70 %', flipped({ count: 140_000, max: 200_000 }, { max: 200_000 }), 'fail', /70 %.*nf_conntrack_max=327680/],
  ['it shrank', flipped({ max: 65_536 }), 'fail', /shrank from 131072 to 65536.*nf_conntrack_max=131072/],
  ['it grew', flipped({ max: 262_144 }), 'pass'],
  [
    'a drop for want of room',
    flipped({ drop: 11 }, { drop: 10 }),
    'fail',
    /1 packet was dropped for want of room since the flip/,
  ],
  ['an early drop', flipped({ earlyDrop: 2 }), 'fail', /2 connections were evicted early since the flip/],
  [
    'losses of long ago',
    flipped({ drop: 5000, earlyDrop: 3, insertFailed: 9 }, { drop: 5000, earlyDrop: 3, insertFailed: 9 }),
    'pass',
  ],
  [
    'a few races, which the kernel counts as drops, too',
    flipped({ drop: 20, insertFailed: 20 }),
    'pass',
    /^warning node n1 20 connections could not be inserted since the flip began \(89 s\)$/,
  ],
  ['more than is usual', flipped({ insertFailed: 21 }), 'fail', /21 connections could not be inserted/],
  ['no counters', flipped({ earlyDrop: null }), 'inconclusive', /drops and failed insertions could not be read/],
  ['no counters before', flipped({}, { drop: null }), 'inconclusive', /could not be read/],
  ['counters began anew', flipped({ drop: 1 }, { drop: 5 }), 'inconclusive', /began anew/],
  ['full all the same, though nothing is counted', flipped({ drop: null, count: 131_072 }), 'fail', /100 %/],
  ['no limit was read', flipped({ max: 0 }, { max: 0 }), 'inconclusive', /not been read/],
  [
    'nothing was read',
    seen({ conntrack: [], troubles: ['conntrack: ENOENT'] }),
    'inconclusive',
    /not been read: conntrack: ENOENT/,
  ],
  ['not for a while', seen({ conntrack: [at(30)] }), 'inconclusive', /last read 30 s ago/],
  [
    'not since it was started',
    seen({ conntrack: [at(10)] }, { askedAt: NOW / 1000 - 5 }),
    'inconclusive',
    /not read since/,
  ],
  ['nothing of the time before', seen({}, { baseline: view({ conntrack: [] }) }), 'inconclusive', /before the flip/],
  [
    'it will be full within the horizon',
    rising(150),
    'fail',
    /at 150\.0 connections a second .* 70 % .*in 10 min.*nf_conntrack_max=/,
  ],
  ['it will be full later', rising(50), 'pass', /^warning .*at 50\.0 .*in 30 min/],
  ['it will be full in days', rising(0.5), 'pass'],
  ['it rises, and too little was seen', rising(1000, 15), 'pass'],
  ['already red, so no forecast', rising(2000), 'fail', /^error node n1 121000 of 131072[^\n]*$/],
]);

describe('outside runs', () => {
  const verified = (max: number, proxyConfig?: Look['proxyConfig'], cores: number | null = 4): Look => {
    const samples = [at(5, { max, cores }), at(1, { max, cores })];
    const found = seen({ conntrack: samples }, { baseline: view({ conntrack: samples.slice(0, 1) }) }, 'verify');
    return { ...found, ...(proxyConfig ? { proxyConfig } : {}) };
  };
  table(conntrack, [
    ['as kube-proxy sets it', verified(131_072, {}), 'pass'],
    ['larger', verified(262_144, {}), 'pass'],
    ['made smaller since', verified(65_536, {}), 'fail', /room for 65536 connections, kube-proxy had set 131072/],
    ['as kube-proxy sets it on many cores', verified(1_048_576, {}, 64), 'pass'],
    ['left alone by kube-proxy', verified(65_536, { conntrack: { maxPerCore: 0 } }), 'pass'],
    ['on nobody knows how many cores', verified(65_536, {}, null), 'pass'],
    ['under an unknown configuration', verified(65_536), 'pass'],
  ]);
});

describe('before a node is touched', () => {
  table(conntrack, [
    ['room', first([at(5), at(1)]), 'pass'],
    ['full', first([at(1, { count: 100_000 })]), 'fail', /100000 of 131072/],
    [
      'it loses already',
      first([at(5), at(1, { earlyDrop: 4 })]),
      'fail',
      /4 connections were evicted early while nothing was touched/,
    ],
    [
      'the next start will shrink it',
      first([at(1, { max: 262_144 })], { proxyConfig: { conntrack: { min: 131_072 } } }),
      'fail',
      /next start of kube-proxy makes the table smaller, 131072 instead of 262144.*conntrack\.min: 262144/,
    ],
    [
      'the next start leaves it alone',
      first([at(1, { max: 262_144 })], { proxyConfig: { conntrack: { maxPerCore: 0 } } }),
      'pass',
    ],
    [
      'the next start leaves a larger one alone',
      of('v1.38.0', first([at(1, { max: 262_144 })], { proxyConfig: {} })),
      'pass',
    ],
    [
      'the next start will shrink it on many cores',
      of('v1.36.3', first([at(1, { max: 2_097_152, cores: 64 })], { proxyConfig: {} })),
      'fail',
      /smaller, 1048576 instead of 2097152.*maxPerCore: 0/,
    ],
    [
      'the next start sets the same on many cores',
      of('v1.35.1', first([at(1, { max: 2_097_152, cores: 64 })], { proxyConfig: {} })),
      'pass',
    ],
    ['it rises: nothing was flipped yet', { ...rising(150), moment: 'before-node' }, 'pass'],
  ]);
});

test('while the warm kube-proxy proves itself, a table that shrank stops the flip', async () => {
  const warm = { ...flipped({ max: 65_536 }), moment: 'prove' as Moment };
  expect((await conntrack.look(warm)).verdict).toBe('fail');
});

test('a node that races all the time is not blamed for it', async () => {
  const earlier = [at(150, { insertFailed: 0 }), at(90, { insertFailed: 60 })];
  const many = seen({ conntrack: [at(1, { insertFailed: 200 })] }, { baseline: view({ conntrack: earlier }) });
  expect((await conntrack.look(many)).verdict).toBe('pass');
  const more = seen({ conntrack: [at(1, { insertFailed: 300 })] }, { baseline: view({ conntrack: earlier }) });
  expect((await conntrack.look(more)).verdict).toBe('fail');
});

test('thresholds are the playbook’s', async () => {
  const playbook = Playbook.parse({ gates: { conntrack: { horizon: '5m', insertFailures: 0 } } });
  expect((await conntrack.look({ ...rising(150), playbook })).verdict).toBe('pass');
  expect((await conntrack.look({ ...flipped({ insertFailed: 1 }), playbook })).verdict).toBe('fail');
  const strict = Playbook.parse({ gates: { conntrack: { fail: 0.5 } } });
  const half = flipped({ count: 500, max: 1000 }, { max: 1000 });
  expect((await conntrack.look({ ...half, playbook: strict })).verdict).toBe('fail');
});

test('it says what it could not foresee', async () => {
  expect((await conntrack.look(rising(0, 15))).summary).toMatch(
    /no forecast, 15 s and 16 samples are too few \(20 s\)/,
  );
  expect((await conntrack.look(rising(0))).summary).toMatch(/1 % of 131072 .*70 % is not in sight/);
});

describe('at preflight', () => {
  const nodes = [nodeFacts('n1', { cpus: 4 }), nodeFacts('n2', { cpus: 2 })];
  const config = (conntrackSection: object): Look =>
    look('preflight', { inventory: inventory({ nodes }), proxyConfig: { conntrack: conntrackSection } });
  table(conntrack, [
    ['the defaults', config({ maxPerCore: null, min: null }), 'pass'],
    [
      'small tables',
      config({ maxPerCore: 40_000, min: 1000 }),
      'pass',
      /warning configuration .*less than 131072 connections on n2$/,
    ],
    ['left to the node', config({ maxPerCore: 0 }), 'pass'],
    ['no configuration', look('preflight'), 'inconclusive', /not read/],
  ]);
});
