import { describe, expect, it } from 'vitest';
import { emptyView, type NodeView } from '../../src/core/node-view.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import type { ServiceRule } from '../../src/core/service-rules.ts';
import { chooseNodes, type TraceFacts, traceOf } from '../../src/core/trace.ts';
import { commandsFor } from '../../src/core/trace-commands.ts';
import { traceText } from '../../src/report/trace-text.ts';
import { inventory } from '../gates/looks.ts';
import { reduced, reducedSlice, service, slice } from './api-objects.ts';

const { cluster, nodes } = inventory();
const [some] = nodes;
if (!some) throw new Error('an inventory without nodes');
const node = { ...some, name: 'n1', mode: 'nftables' as const, ready: true, os: 'linux' };
const version = (...ips: string[]) => ({
  service: reduced(service()),
  slices: [reducedSlice(slice(ips.map(ip => ({ ip, ready: true }))))],
});
const KEY = '10.96.0.10:80/TCP';

function traced(held: readonly ServiceRule[], over: Partial<TraceFacts> = {}) {
  const rules = new Map(held.map(rule => [rule.key, rule]));
  const view: NodeView = { ...emptyView('n1'), rules: { nftables: { t: '2026-01-01T00:00:00Z', rules } } };
  return traceOf({
    madeAt: '2026-01-01T00:00:00.000Z',
    cluster,
    type: 'ClusterIP',
    service: reduced(service()),
    versions: [version('10.244.0.5'), version('10.244.0.6')],
    choices: [{ node, why: 'asked for' }],
    views: new Map([['n1', view]]),
    options: ruleOptions({}),
    modes: ['iptables', 'nftables'],
    ...over,
  });
}

describe('what is wrong with a node', () => {
  it.each([
    ['as the API said it before the look', [{ key: KEY, endpoints: ['10.244.0.5:8080'] }], 'pass', undefined],
    ['as it said it after', [{ key: KEY, endpoints: ['10.244.0.6:8080'] }], 'pass', undefined],
    ['as it never said it', [{ key: KEY, endpoints: ['10.244.0.7:8080'] }], 'fail', 'stale'],
    ['without a rule', [], 'fail', 'missing'],
  ])('%s', (_what, held, verdict, difference) => {
    const made = traced(held);
    expect(made.verdict).toBe(verdict);
    expect(made.nodes[0]?.frontends[0]?.flaw?.difference).toBe(difference);
    expect(made.wrong).toHaveLength(verdict === 'pass' ? 0 : 1);
  });

  it('is a port that the Service does not have', () => {
    const made = traced([
      { key: KEY, endpoints: ['10.244.0.6:8080'] },
      { key: '10.96.0.10:81/TCP', endpoints: ['10.244.0.6:8080'] },
    ]);
    expect(made.wrong).toEqual(['node n1: 10.96.0.10:81/TCP has a rule, and the Service has no such port']);
  });

  it('is inconclusive where nobody could look, and says why', () => {
    const made = traced([], { views: new Map([['n1', 'no image']]) });
    expect(made).toMatchObject({ verdict: 'inconclusive', wrong: ['node n1: could not be looked at: no image'] });
    const unread = traced([], { views: new Map([['n1', { ...emptyView('n1'), troubles: ['nft: denied'] }]]) });
    expect(unread.wrong).toEqual(['node n1: its nftables rules could not be read: nft: denied']);
  });

  it('reaches a terminal as text', () => {
    const text = traceText(traced([], { views: new Map([['n1', '\u001b[2Jgone']]) }));
    expect(text).not.toContain('\u001b');
    expect(text).toContain('\\u{1b}[2Jgone');
  });
});

describe('nodes to look at', () => {
  const many = [
    { ...node, name: 'c', mode: 'iptables' as const },
    { ...node, name: 'b', mode: 'iptables' as const },
    { ...node, name: 'a', mode: 'iptables' as const, ready: false },
    { ...node, name: 'd' },
    { ...node, name: 'e', mode: 'none' as const },
  ];
  it('are the first Ready one in each mode', () => {
    expect(chooseNodes(many).map(c => c.node.name)).toEqual(['b', 'd']);
    expect(chooseNodes(many.map(n => ({ ...n, mode: 'none' as const })))).toEqual([]);
    expect(chooseNodes(many.map(n => ({ ...n, mode: 'unknown' as const }))).map(c => c.node.name)).toEqual(['b']);
  });
});

describe('commands', () => {
  const asking = { service: 'kube-system/dns', paths: [], nodeAddress: '192.168.7.2' };
  const frontend = { kind: 'ClusterIP', family: 'IPv6', port: 'kube-system/dns:53/UDP', portName: '' } as const;
  it('fit family and protocol, where nobody looked', () => {
    const at = { ...asking, frontend: { ...frontend, key: '[fd00::a]:53/UDP' } };
    expect(commandsFor('iptables', at)).toEqual(['ip6tables-save -t nat | grep kube-system/dns']);
    expect(commandsFor('ipvs', at)).toEqual([
      "ipvsadm -L -n -u '[fd00::a]:53'",
      'ip -6 route show table local dev kube-ipvs0 | grep -w fd00::a',
    ]);
    expect(commandsFor('nftables', at)).toEqual([
      "nft get element ip6 kube-proxy service-ips '{ fd00::a . udp . 53 }'",
      'nft list table ip6 kube-proxy | grep kube-system/dns/udp/',
    ]);
  });

  it('ask for NodePorts on the node', () => {
    const nodePort = { ...frontend, kind: 'NodePort', family: 'IPv4', key: '0.0.0.0:30080/TCP' } as const;
    expect(commandsFor('ipvs', { ...asking, frontend: nodePort })).toEqual(['ipvsadm -L -n -t 192.168.7.2:30080']);
    expect(commandsFor('nftables', { ...asking, frontend: nodePort })[0]).toBe(
      "nft get element ip kube-proxy service-nodeports '{ tcp . 30080 }'",
    );
  });
});
