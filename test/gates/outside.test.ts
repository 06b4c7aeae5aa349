// The gates that ask outside the cluster: Prometheus over HTTP, and the operator's own checks.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Look, Moment } from '../../src/core/gate.ts';
import type { Mode } from '../../src/core/mode.ts';
import type { CommandEnd, Outside, OutsideAnswer, OutsideCommand, OutsideRequest } from '../../src/core/outside.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { hook } from '../../src/gates/hook.ts';
import { prometheus } from '../../src/gates/prometheus.ts';
import { makeOutside } from '../../src/run/outside.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type Given, type PrometheusServer, prometheusServer } from '../run/prometheus-server.ts';
import { inFlip, look } from './looks.ts';
import { type Row, table } from './table.ts';

const never = new AbortController().signal;

describe('prometheus', () => {
  let server: PrometheusServer;
  /** What queries give now, and what they gave before the flip. */
  const NOW: Record<string, Given> = {
    two: [2],
    none: [],
    nan: [1, Number.NaN],
    many: [1, 7, 3],
    infinite: [Number.POSITIVE_INFINITY],
    scalar: { scalar: '4' },
    range: { status: 200, body: { status: 'success', data: { resultType: 'matrix', result: [] } } },
    wrong: { status: 400, body: { status: 'error', errorType: 'bad_data', error: 'unknown function "raet"' } },
    partial: {
      status: 200,
      body: { status: 'success', data: { resultType: 'vector', result: [] }, warnings: ['store 3 is away'] },
    },
    html: { status: 200, body: '<html>sign in</html>' },
    busy: { status: 503, body: 'no server' },
    'load{node="n1",mode="nftables"}': [5],
    'load{node="n2",mode="iptables"}': [4],
    'load{node="n3",mode="iptables"}': [2],
    'load{node="n4",mode="iptables"}': [1],
    'up{node="n1"}': [2],
  };
  const BEFORE: Record<string, Given> = { two: [1], many: [7], none: [1], infinite: [1], 'up{node="n1"}': [0] };
  let before = false;
  beforeAll(async () => {
    server = await prometheusServer(query => (before ? (BEFORE[query] ?? []) : (NOW[query] ?? [])));
  });
  afterAll(() => server.close());

  const MODES_OF = new Map<string, Mode>([
    ['n1', 'iptables'],
    ['n2', 'iptables'],
    ['n3', 'iptables'],
    ['n4', 'iptables'],
    ['n5', 'nftables'],
  ]);
  /** A query's look, with what it gave before when it compares. */
  async function at(query: object, moment: Moment = 'after-node', over: Partial<Look> = {}): Promise<Look> {
    const settings = { url: server.url, queries: [{ name: 'q', ...query }] };
    const playbook = Playbook.parse({ gates: { prometheus: settings } });
    const outside = makeOutside({}, never);
    const node = moment === 'after-batch' ? {} : { node: inFlip() };
    const base = look(moment, { playbook, outside, expectedModes: MODES_OF, ...node });
    before = true;
    const seen = await prometheus.remember?.(base);
    before = false;
    return { ...base, before: new Map([['prometheus', seen]]), ...over };
  }
  const load = { query: 'load{node="$node",mode="$mode"}' };

  const rows: [string, object, Row[2], (RegExp | undefined)?, Moment?][] = [
    ['within', { query: 'two', max: 2, min: 2 }, 'pass'],
    ['above', { query: 'two', max: 1.5 }, 'fail', /^error query q is 2, more than 1\.5$/],
    ['below', { query: 'two', min: 2.5 }, 'fail', /^error query q is 2, less than 2\.5$/],
    ['the highest of several', { query: 'many', max: 6 }, 'fail', /is 7, more than 6/],
    ['the lowest of several', { query: 'many', min: 2 }, 'fail', /is 1, less than 2/],
    ['a scalar', { query: 'scalar', max: 3 }, 'fail', /is 4/],
    ['infinity', { query: 'infinite', max: 1e9 }, 'fail', /is Infinity/],
    ['no value', { query: 'none', max: 1 }, 'inconclusive', /gives no value/],
    ['NaN among others', { query: 'nan', max: 10 }, 'inconclusive', /gives NaN/],
    ['not an instant vector', { query: 'range', max: 1 }, 'inconclusive', /gives a matrix where/],
    [
      'a query that the server refuses',
      { query: 'wrong', max: 1 },
      'inconclusive',
      /bad_data: unknown function "raet"/,
    ],
    [
      'an answer that lacks something',
      { query: 'partial', max: 1 },
      'inconclusive',
      /may lack something: store 3 is away/,
    ],
    ['another server’s answer', { query: 'html', max: 1 }, 'inconclusive', /HTTP 200, and the answer is not one of/],
    ['a server that is busy', { query: 'busy', max: 1 }, 'inconclusive', /HTTP 503/],
    ['not much more than before', { query: 'two', maxIncrease: 1 }, 'pass'],
    ['more than before', { query: 'two', maxIncrease: 0.9 }, 'fail', /is 2 and was 1 before; 90 % more may be$/],
    ['the same', { query: 'many', maxIncrease: 0 }, 'pass'],
    ['from nothing', { query: 'up{node="$node"}', maxIncrease: 10 }, 'fail', /is 2 and was 0 before/],
    ['too little to count', { query: 'two', maxIncrease: 0, ignoreBelow: 2 }, 'pass'],
    [
      'none before',
      { query: 'scalar', maxIncrease: 1 },
      'inconclusive',
      /had no value before: the query gives no value/,
    ],
    ['none now', { query: 'none', maxIncrease: 1 }, 'inconclusive', /gives no value/],
    ['before a node nothing is compared', { query: 'two', maxIncrease: 0 }, 'pass', undefined, 'before-node'],
    ['but asked', { query: 'none', maxIncrease: 0 }, 'inconclusive', /gives no value/, 'before-node'],
    ['not asked at that moment', { query: 'none', max: 0, moments: ['after-batch'] }, 'pass'],
    ['asked after a batch', { query: 'two', max: 1 }, 'fail', /is 2/, 'after-batch'],
    ['a node’s query is not asked after a batch', { ...load, max: 0 }, 'pass', undefined, 'after-batch'],
    ['like the others', { ...load, maxAboveOthers: 1.5 }, 'pass'],
    [
      'above the others, the median counts',
      { ...load, maxAboveOthers: 1 },
      'fail',
      /is 5, and 2 on 3 nodes not flipped yet; 100 % more may be/,
    ],
    [
      'the others have no value',
      { query: 'up{node="$node"}', maxAboveOthers: 1 },
      'inconclusive',
      /no value of nodes that/,
    ],
  ];
  test.each(rows)('%s', async (_, query, verdict, says, moment) => {
    const judgement = await prometheus.look(await at(query, moment));
    const text = judgement.findings.map(f => `${f.level} ${f.subject} ${f.message}`).join('\n');
    expect([judgement.verdict, text]).toEqual([verdict, says ? expect.stringMatching(says) : '']);
  });

  test('no node is left to compare with: said, and no reason to stop', async () => {
    const alone = await at({ ...load, maxAboveOthers: 1 }, 'after-node', {
      expectedModes: new Map([['n1', 'iptables']]),
    });
    const judgement = await prometheus.look(alone);
    expect([judgement.verdict, judgement.findings[0]?.message]).toEqual([
      'pass',
      expect.stringMatching(/all have flipped/),
    ]);
  });

  test('nothing is known of before', async () => {
    const judgement = await prometheus.look(
      await at({ query: 'two', maxIncrease: 1 }, 'after-node', { before: new Map() }),
    );
    expect([judgement.verdict, judgement.findings[0]?.message]).toEqual([
      'inconclusive',
      'has no value of the time before',
    ]);
  });

  test('nobody to ask, and a server that is not there', async () => {
    const { outside: _, ...nobody } = await at({ query: 'two', max: 1 });
    expect((await prometheus.look(nobody)).verdict).toBe('inconclusive');
    const gone = Playbook.parse({
      gates: { prometheus: { url: 'http://127.0.0.1:1', queries: [{ name: 'q', query: 'two', max: 1 }] } },
    });
    const judgement = await prometheus.look(await at({ query: 'two', max: 1 }, 'after-node', { playbook: gone }));
    expect([judgement.verdict, judgement.findings[0]?.message]).toEqual([
      'inconclusive',
      expect.stringMatching(/^http:\/\/127\.0\.0\.1:1\/api\/v1\/query: connect ECONNREFUSED/),
    ]);
  });

  test('a playbook without queries asks nobody', async () => {
    expect((await prometheus.look(look('after-node'))).verdict).toBe('pass');
  });

  test('over TLS with an authority and a token, which no finding shows', async () => {
    const pem = (name: string) => readFileSync(new URL(`../run/tls/${name}.pem`, import.meta.url), 'utf8');
    const secure = await prometheusServer(() => [2], { key: pem('key'), cert: pem('cert') });
    const judged = async (over: object) => {
      const settings = { url: secure.url, tokenEnv: 'TOKEN', queries: [{ name: 'q', query: 'two', max: 5 }], ...over };
      const playbook = Playbook.parse({ gates: { prometheus: settings } });
      const outside = makeOutside({ TOKEN: 's3cret' }, never);
      return prometheus.look(look('after-batch', { playbook, outside }));
    };
    expect((await judged({ caFile: tempFile('ca.pem', pem('cert')) })).verdict).toBe('pass');
    expect(secure.requests[0]?.headers.authorization).toBe('Bearer s3cret');
    const unknown = await judged({});
    expect([unknown.verdict, unknown.findings[0]?.message]).toEqual([
      'inconclusive',
      expect.stringMatching(/self-signed certificate/),
    ]);
    expect(JSON.stringify(unknown)).not.toContain('s3cret');
    await secure.close();
  });
});

type Answer = CommandEnd | OutsideAnswer | Error;

/** Somebody outside who always says the same, and what was asked. */
function someone(answer: Answer) {
  const asked: (OutsideRequest | OutsideCommand)[] = [];
  const say = async <T>(question: OutsideRequest | OutsideCommand): Promise<T> => {
    asked.push(question);
    if (answer instanceof Error) throw answer;
    return answer as T;
  };
  const outside: Outside = { ask: say, run: say };
  return { outside, asked };
}

const hooked = (answer: Answer, settings: object = {}, moment: Moment = 'after-node'): Look => {
  const how = 'url' in settings ? {} : { command: ['./check', 'it'] };
  const playbook = Playbook.parse({ gates: { hooks: [{ name: 'mine', ...how, ...settings }] } });
  return look(moment, { playbook, outside: someone(answer).outside, node: inFlip() });
};
const ends = (code: number | null, output = '', timedOut = false) => hooked({ code, output, timedOut });
const answers = (status: number, body = '') => hooked({ status, body }, { url: 'https://checks.example.com/x' });
const long = `${Array.from({ length: 20 }, (_, i) => `line ${i}`).join('\n')}\n${'x'.repeat(900)}\n`;

table(hook, [
  ['passes', ends(0, 'all is well'), 'pass'],
  [
    'fails',
    ends(1, '3 of 4 checks\nshop is down\n'),
    'fail',
    /^error hook mine exits with 1: 3 of 4 checks \| shop is down$/,
  ],
  ['fails without a word', ends(2), 'fail', /^error hook mine exits with 2$/],
  ['says much', ends(1, long), 'fail', /exits with 1: line 16 \| line 17 \| line 18 \| line 19 \| x{200}$/],
  ['cannot tell yet', ends(75, 'still warming up'), 'inconclusive', /cannot tell yet: still warming up/],
  ['is killed', ends(null, 'oh'), 'inconclusive', /was killed: oh/],
  ['takes too long', ends(null, 'working', true), 'inconclusive', /did not end within 60 s: working/],
  [
    'cannot be started',
    hooked(new Error('./check cannot be started')),
    'inconclusive',
    /could not be asked: \.\/check cannot/,
  ],
  ['answers', answers(204), 'pass'],
  ['answers no', answers(500, 'no'), 'fail', /^error hook mine answers 500: no$/],
  ['answers that it is wrong', answers(422), 'fail', /answers 422/],
  ['sends elsewhere', answers(302), 'inconclusive', /answers 302/],
  ['lets nobody ask', answers(401), 'inconclusive', /answers 401/],
  ['is nowhere', answers(404), 'inconclusive', /answers 404/],
  ['has no time', answers(503, 'later'), 'inconclusive', /answers 503: later/],
  [
    'does not answer',
    hooked(new Error('no answer'), { url: 'https://x.example.com' }),
    'inconclusive',
    /could not be asked: no answer/,
  ],
  ['is not asked at that moment', hooked(new Error('asked'), {}, 'before-node'), 'pass'],
  [
    'is asked at that moment',
    hooked(new Error('asked'), { moments: ['before-node'] }, 'before-node'),
    'inconclusive',
    /asked/,
  ],
  ['there is none', look('after-node'), 'pass'],
]);

test('a hook is told where the run stands', async () => {
  const { outside, asked } = someone({ code: 0, output: '', timedOut: false });
  const base = hooked(new Error('no'), { timeout: '5s' });
  const scope = { namespaces: new Set(['shop', 'default']), services: new Set<string>() };
  await hook.look({ ...base, outside, run: 'r-1', scope });
  const env = {
    PROXYCTL_HOOK: 'mine',
    PROXYCTL_MOMENT: 'after-node',
    PROXYCTL_RUN: 'r-1',
    PROXYCTL_NODE: 'n1',
    PROXYCTL_MODE: 'nftables',
    PROXYCTL_FROM: 'iptables',
    PROXYCTL_TO: 'nftables',
    PROXYCTL_CONTEXT: base.inventory.cluster.context,
    PROXYCTL_SERVER: base.inventory.cluster.server,
  };
  const [command] = asked as OutsideCommand[];
  expect(command).toMatchObject({ argv: ['./check', 'it'], env, seconds: 5 });
  expect(JSON.parse(command?.input ?? '')).toMatchObject({ node: 'n1', namespaces: ['default', 'shop'] });
  const posted = someone({ status: 200, body: '' });
  await hook.look({
    ...hooked(new Error('no'), { url: 'https://x.example.com', tokenEnv: 'T' }),
    outside: posted.outside,
  });
  expect(posted.asked[0]).toMatchObject({ method: 'POST', tokenEnv: 'T', body: { node: 'n1', mode: 'nftables' } });
});
