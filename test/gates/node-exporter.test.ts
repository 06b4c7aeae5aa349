// What node_exporter tells of a node's connection table, beside what the watcher read there.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Look } from '../../src/core/gate.ts';
import type { ConntrackSample } from '../../src/core/observation.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { nodeExporter, queryFor, type Told } from '../../src/gates/node-exporter.ts';
import { makeOutside } from '../../src/run/outside.ts';
import { type PrometheusServer, prometheusServer } from '../run/prometheus-server.ts';
import { conntrackSample, inventory, NOW, nodeFacts, seen } from './looks.ts';

const at = (ago: number, over: Partial<ConntrackSample> = {}) =>
  conntrackSample({ t: new Date(NOW - ago * 1000).toISOString(), ...over });
/** Two minutes, a sample every two seconds: 4,000 connections, until 40 s ago 9,000. */
const HISTORY = Array.from({ length: 61 }, (_, i) => at(120 - 2 * i, { count: 120 - 2 * i >= 40 ? 9000 : 4000 }));
const node = (conntrack: ConntrackSample[] = HISTORY): Look => seen({ conntrack });

const told = (entries: number | undefined, age = 5, limit: number | undefined = 131_072): Told => ({
  instance: '10.0.0.1:9100',
  ...(entries === undefined ? {} : { count: { entries, age } }),
  ...(limit === undefined ? {} : { limit }),
});
const withoutLimit = (entries: number): Told => ({ instance: '', count: { entries, age: 5 } });

describe('node-exporter', () => {
  type Seen = Parameters<typeof nodeExporter.judge>[0];
  /** What was seen, and either all of the warning, or all of the summary. */
  const rows: [string, Seen, { warns: RegExp } | { says: RegExp }, Look?][] = [
    ['the same', { told: [told(4000)] }, { says: /^limit 131072 and count 4000 as in the kernel$/ }],
    ['as far as it may be', { told: [told(5100)] }, { says: /count 5100 as/ }],
    ['farther', { told: [told(5101)] }, { warns: /tells of 5101 connections where the kernel had 4000:/ }],
    ['as low as it may be', { told: [told(2900)] }, { says: /count 2900 as/ }],
    ['lower', { told: [told(2899)] }, { warns: /tells of 2899 connections where the kernel had 4000:/ }],
    [
      'another network namespace: the limit is shared, the count is not',
      { told: [told(12)] },
      {
        warns:
          /^warning node n1 node_exporter at 10\.0\.0\.1:9100 tells of 12 connections where the kernel had 4000: alerts on these series do not tell of this table \(an exporter in another network namespace, a relabelled instance, or a stale scrape\)$/,
      },
    ],
    ['what was so when it was scraped', { told: [told(9000, 90)] }, { says: /count 9000 as/ }],
    ['what was not so then', { told: [told(4000, 90)] }, { warns: /tells of 4000 .* where the kernel had 9000:/ }],
    ['while it fell', { told: [told(6000, 40)] }, { says: /count 6000 as/ }],
    ['outside of all that it fell through', { told: [told(1, 40)] }, { warns: /the kernel had 4000 to 9000:/ }],
    [
      'scraped before anybody looked',
      { told: [told(1, 150)] },
      { says: /^limit 131072 as in the kernel; not compared: the count was scraped while the watcher did not look$/ },
    ],
    ['the watcher is silent', { told: [told(1, 5)] }, { says: /watcher did not look$/ }, node([at(60)])],
    ['nearly as long as it looked', { told: [told(1, 140)] }, { warns: /where the kernel had 9000:/ }],
    ['few connections', { told: [told(3)] }, { says: /count 3 as/ }, node([at(1, { count: 130 })])],
    [
      'another limit',
      { told: [told(4000, 5, 65_536)] },
      { warns: /tells of a limit of 65536 connections where the kernel's is 131072: alerts/ },
    ],
    [
      'another table altogether',
      { told: [told(12, 5, 65_536)] },
      { warns: /limit of 65536 .* is 131072 and of 12 connections where the kernel had 4000: alerts/ },
    ],
    [
      'the limit of before it was changed',
      { told: [told(4000, 70, 65_536)] },
      { says: /^limit 65536 and count 4000 as/ },
      node([at(90, { count: 4000, max: 65_536 }), at(50, { count: 4000, max: 65_536 }), at(30), at(1)]),
    ],
    [
      'the limit of long before',
      { told: [told(1000, 5, 65_536)] },
      { warns: /limit of 65536 .* is 131072:/ },
      node([at(90, { max: 65_536 }), at(60), at(30), at(1)]),
    ],
    ['late', { told: [told(9000, 181)] }, { warns: /tells of what was so 181 s ago: alerts/ }],
    ['just not late', { told: [told(9000, 180)] }, { says: /^limit 131072 as/ }],
    [
      'no limit',
      { told: [withoutLimit(4000)] },
      { says: /^count 4000 as in the kernel; not compared: there is no node_nf_conntrack_entries_limit$/ },
    ],
    [
      'no limit, and another table',
      { told: [withoutLimit(12)] },
      { warns: /n1 node_exporter tells of 12 connections where/ },
    ],
    [
      'no count',
      { told: [told(undefined)] },
      { says: /^limit 131072 as in the kernel; not compared: there is no node_nf_conntrack_entries$/ },
    ],
    ['no count, and another limit', { told: [told(undefined, 0, 1)] }, { warns: /tells of a limit of 1 connections/ }],
    ['one of two is right', { told: [told(12), told(4000)] }, { says: /^limit 131072 and count 4000 as/ }],
    ['none of two is', { told: [told(12), told(13)] }, { warns: /tells of 12 .*\n.* tells of 13 / }],
    ['none is there', { told: [] }, { says: /^not compared, node_exporter is not there:/ }],
    ['nobody answers', { trouble: 'no answer' }, { says: /^not compared, Prometheus gives no answer: no answer$/ }],
    ['the table was not read', { told: [told(1)] }, { says: /table has not been read$/ }, node([])],
    ['nor its limit', { told: [told(1)] }, { says: /table has not been read$/ }, node([at(1, { max: 0 })])],
  ];
  test.each(rows)('%s', (_, what, wanted, where = node()) => {
    const { findings, summary } = nodeExporter.judge(what, where);
    const text = findings.map(f => `${f.level} ${f.subject} ${f.message}`).join('\n');
    if ('warns' in wanted) expect([text, summary]).toEqual([expect.stringMatching(wanted.warns), '']);
    else expect([text, summary]).toEqual(['', expect.stringMatching(wanted.says)]);
  });

  test('times are those of the node, whose clock is an hour behind', () => {
    const behind = HISTORY.map(s => ({ ...s, t: new Date(Date.parse(s.t) - 3_600_000).toISOString() }));
    const there = seen({ conntrack: behind, offset: 3_600_000 });
    expect(nodeExporter.judge({ told: [told(9000, 90)] }, there).summary).toMatch(/count 9000 as/);
    expect(nodeExporter.judge({ told: [told(4000, 90)] }, there).findings).toHaveLength(1);
  });

  test('nobody asks where no Prometheus is given', () => {
    const prometheus = { url: 'http://127.0.0.1:1', queries: [{ name: 'q', query: 'up', max: 1 }] };
    expect(nodeExporter.wanted?.(Playbook.parse({}))).toBe(false);
    expect(nodeExporter.wanted?.(Playbook.parse({ gates: { prometheus } }))).toBe(true);
  });
});

/** What a query's matchers are, read as Prometheus reads them: whole texts, in strings with Go's escapes. */
function matchersOf(query: string) {
  const given = (before: string) => {
    const texts = new Set([...query.matchAll(new RegExp(`${before}("(?:[^"\\\\]|\\\\.)*")`, 'g'))].map(m => m[1]));
    expect(texts.size, before).toBe(1);
    return JSON.parse([...texts][0] ?? '') as string;
  };
  const whole = (before: string) => {
    const pattern = new RegExp(`^(?:${given(before)})$`);
    return (text: string) => pattern.test(text);
  };
  const node = given('[{]node=');
  return {
    instance: whole('[{]instance=~'),
    nodename: whole('node_uname_info[{]nodename=~'),
    node: (text: string) => text === node,
  };
}

describe('series of a node', () => {
  const nodes = (...names: string[]) => ({
    inventory: inventory({
      nodes: names.map(name =>
        nodeFacts(name, { internalIPs: ['10.0.0.1', 'fd00::1'], externalIPs: ['198.51.100.7'] }),
      ),
    }),
  });
  const N1 = nodes('n1', 'n2');
  const LONG = nodes('n1.a.example', 'n2.a.example');
  const rows: [string, ReturnType<typeof nodes>, 'instance' | 'nodename' | 'node', string[], string[]][] = [
    [
      'n1',
      N1,
      'instance',
      [
        'n1',
        'n1:9100',
        'N1:9100',
        'n1.example.com:9100',
        '10.0.0.1:9100',
        '10.0.0.1',
        '[fd00::1]:9100',
        '198.51.100.7',
      ],
      ['n10:9100', 'xn1', '10.0.0.11:9100', '10x0.0.1', '110.0.0.1', 'n1:9100:1', '', ':9100', 'n1-exporter:9100'],
    ],
    ['n1', N1, 'nodename', ['n1', 'N1', 'n1.example.com'], ['n2', 'n1x', 'n1x.example.com', '10.0.0.1', '']],
    ['n1', N1, 'node', ['n1'], ['n1.example.com', 'N1', '']],
    ['n1.a.example', LONG, 'nodename', ['n1', 'n1.a.example', 'N1.A.example'], ['n1xa.example', 'n', 'n2']],
    ['n1.a', nodes('n1.a', 'n1.b'), 'nodename', ['n1.a'], ['n1', 'n1.b', 'n1xa']],
    ['n1', nodes('n1', 'n1.b'), 'nodename', ['n1'], ['n1.b']],
    ['10.0.0.7', nodes('10.0.0.7'), 'nodename', ['10.0.0.7'], ['10', '10.0.0.8', '10x0.0.7']],
    ['a|b"c\\d$(', nodes('a|b"c\\d$('), 'nodename', ['a|b"c\\d$('], ['a', 'b"c\\d$(', 'b']],
    ['a"} or {x="', nodes('a"} or {x="'), 'node', ['a"} or {x="'], ['a']],
  ];
  test.each(rows)('%s, %#', (name, among, label, its, others) => {
    const matches = matchersOf(queryFor(name, among))[label];
    expect([its.filter(text => !matches(text)), others.filter(matches)]).toEqual([[], []]);
  });
});

describe('over HTTP', () => {
  interface Exporter {
    labels: Record<string, string>;
    uname?: string;
    entries?: number;
    limit?: number;
  }
  let server: PrometheusServer;
  let exporters: Exporter[] = [];
  /** When it evaluates, by a clock that is none of ours, and how long before that it scraped. */
  const [NOW_THERE, AGE] = [1_000_000.5, 8];
  beforeAll(async () => {
    server = await prometheusServer(query => {
      const is = matchersOf(query);
      const chosen = exporters.filter(
        ({ labels: { instance = '', node: label = '' }, uname = '' }) =>
          is.instance(instance) || is.node(label) || is.nodename(uname),
      );
      const result = chosen.flatMap(({ labels, entries, limit }) => {
        const series = (figure: string, value: number | undefined, name?: string) =>
          value === undefined
            ? []
            : [{ metric: { ...(name && { __name__: name }), ...labels, figure }, value: [NOW_THERE, String(value)] }];
        return [
          ...series('scraped', entries === undefined ? undefined : NOW_THERE - AGE),
          ...series('entries', entries, 'node_nf_conntrack_entries'),
          ...series('limit', limit, 'node_nf_conntrack_entries_limit'),
        ];
      });
      return { status: 200, body: { status: 'success', data: { resultType: 'vector', result } } };
    });
  });
  afterAll(() => server.close());

  const ask = (given: Exporter[], settings: object = {}) => {
    exporters = given;
    const queries = [{ name: 'q', query: 'up', max: 1 }];
    const playbook = Playbook.parse({ gates: { prometheus: { url: server.url, queries, ...settings } } });
    return nodeExporter.look({
      ...node(),
      playbook,
      outside: makeOutside({ TOKEN: 's3cret' }, new AbortController().signal),
    });
  };
  const other: Exporter = { labels: { instance: '10.9.9.9:9100', job: 'node' }, uname: 'n2', entries: 7, limit: 9 };
  const table = { entries: 4000, limit: 131_072 };

  test.each<[string, Exporter]>([
    ['address', { labels: { instance: '10.0.0.1:9100' } }],
    ['label', { labels: { instance: '10.244.0.9:9100', node: 'n1' } }],
    ['uname', { labels: { instance: 'exporter:9100' }, uname: 'n1.example.com' }],
  ])('is found by its %s, and no other is', async (_, exporter) => {
    const judgement = await ask([other, { ...exporter, ...table }], { tokenEnv: 'TOKEN' });
    expect([judgement.verdict, judgement.findings]).toEqual(['pass', []]);
    expect(judgement.summary).toBe('limit 131072 and count 4000 as in the kernel');
    expect(server.requests.at(-1)?.headers.authorization).toBe('Bearer s3cret');
  });

  test('another table is a warning, which lets pass', async () => {
    const judgement = await ask([{ labels: { instance: 'n1:9100' }, entries: 3, limit: 131_072 }]);
    expect([judgement.verdict, judgement.findings.map(f => [f.level, f.message])]).toEqual([
      'pass',
      [['warning', expect.stringMatching(/^node_exporter at n1:9100 tells of 3 connections .* kernel had 4000:/)]],
    ]);
  });

  test.each<[string, Exporter[], RegExp]>([
    ['only other nodes', [other], /^not compared, node_exporter is not there/],
    ['an exporter without the collector', [{ labels: { instance: 'n1:9100' } }], /^not compared, node_exporter is not/],
    ['no number', [{ labels: { node: 'n1' }, entries: Number.NaN, limit: 131_072 }], /there is no .*_entries$/],
  ])('%s', async (_, given, says) => {
    const judgement = await ask(given);
    expect([judgement.verdict, judgement.findings]).toEqual(['pass', []]);
    expect(judgement.summary).toMatch(says);
  });

  test('no answer, and nobody to ask: said, and no reason to pause', async () => {
    const gone = await ask([], { url: 'http://127.0.0.1:1' });
    expect([gone.verdict, gone.findings]).toEqual(['pass', []]);
    expect(gone.summary).toMatch(/^not compared, Prometheus gives no answer: .*ECONNREFUSED/);
    const nobody = await nodeExporter.look(node());
    expect([nobody.verdict, nobody.findings, nobody.summary]).toEqual([
      'pass',
      [],
      expect.stringMatching(/^not compared, .*nobody is there to ask/),
    ]);
  });
});
