// What a watcher dials from where it stands, and what it takes for a right answer.
import { describe, expect, it } from 'vitest';
import type { Dial } from '../../src/core/node-io.ts';
import type { ProbeTarget } from '../../src/core/observation.ts';
import { ECHO_PORTS } from '../../src/core/probe-service.ts';
import { WARM } from '../../src/core/proxy-address.ts';
import { clusterDomain } from '../../src/watcher/dns.ts';
import { echoText, type Place, probesOf, tryOnce } from '../../src/watcher/probes.ts';
import { watch } from '../../src/watcher/watch.ts';
import { FakeNode, MAIN } from './fake-node.ts';

const target = (id: string, address: string, more: Partial<ProbeTarget> = {}): ProbeTarget => ({
  id,
  address,
  port: 80,
  protocol: 'TCP',
  endpoints: true,
  ...more,
});
const own = { name: 'proxyctl/probe-1', address: '10.96.7.7' };
const HOST: Place = { node: 'n1', vantage: 'host', addresses: ['10.0.0.1', 'fd00::1'], own };
const POD: Place = { ...HOST, vantage: 'pod' };
const NODE_PORTS = [
  target('shop/web:80/TCP@node-port:node IPv4', 'node IPv4', { port: 30080 }),
  target('shop/web:80/TCP@node-port:node IPv6', 'node IPv6', { port: 30080 }),
];
const of = (targets: ProbeTarget[], place: Place, io = new FakeNode()) => probesOf({ version: 1, targets }, place, io);

describe('NodePorts', () => {
  it('are dialled on every address of the node from itself, those of container networks and Services apart', () => {
    const io = new FakeNode();
    io.devices = [
      { device: 'eth0', address: '10.0.0.1' },
      { device: 'eth1', address: '172.20.0.1' },
      { device: 'eth1', address: 'fd01::1' },
      { device: 'kube-ipvs0', address: '10.96.0.1' },
      { device: 'cni0', address: '10.244.1.1' },
      { device: 'vethabc', address: '10.244.1.2' },
      ...Array.from({ length: 9 }, (_, n) => ({ device: 'vlan7', address: `172.30.0.${n}` })),
    ];
    expect(of(NODE_PORTS, { ...HOST, addresses: ['10.0.0.1', 'fd00::1'] }, io).served.map(p => p.id)).toEqual([
      'shop/web:80/TCP@node-port:10.0.0.1',
      'shop/web:80/TCP@node-port:172.20.0.1',
      'shop/web:80/TCP@node-port:172.30.0.0',
      'shop/web:80/TCP@node-port:127.0.0.1',
      'shop/web:80/TCP@node-port:fd00::1',
      'shop/web:80/TCP@node-port:fd01::1',
      'proxyctl/probe-1:80/TCP@affinity',
    ]);
  });

  it('are dialled on the addresses that the API names from a pod', () => {
    const io = new FakeNode();
    io.devices = [{ device: 'eth0', address: '10.244.1.9' }];
    expect(of(NODE_PORTS, POD, io).served.map(p => [p.kind, p.address, p.port])).toEqual([
      ['node-port', '10.0.0.1', 30080],
      ['node-port', 'fd00::1', 30080],
      ['hairpin', '10.96.7.7', 80],
      ['affinity', '10.96.7.7', 80],
    ]);
  });
});

describe('health check node ports', () => {
  const TARGETS = [
    target('shop/edge:80/TCP@health-check:node IPv4', 'node IPv4', { port: 32_000 }),
    target('shop/edge:80/TCP@health-check:node IPv6', 'node IPv6', { port: 32_000 }),
  ];

  it('are asked where balancers do, on the first address of each family, and from the pod alone', () => {
    const addresses = ['10.0.0.1', '203.0.113.1', 'fd00::1', '2001:db8::1'];
    const asked = (place: Place) => of(TARGETS, { ...place, addresses }).served.filter(p => p.kind === 'health-check');
    expect(asked(POD).map(p => [p.id, p.address, p.port])).toEqual([
      ['shop/edge:80/TCP@health-check:10.0.0.1', '10.0.0.1', 32_000],
      ['shop/edge:80/TCP@health-check:fd00::1', 'fd00::1', 32_000],
    ]);
    expect(asked(HOST)).toEqual([]);
  });

  const json = (localEndpoints: number) =>
    `\r\nContent-Type: application/json\r\nX-Load-Balancing-Endpoint-Weight: ${localEndpoints}\r\n\r\n{\n\t"localEndpoints": ${localEndpoints},\n\t"serviceProxyHealthy": true\n}`;
  it.each([
    ['200', 'ok', `HTTP/1.0 200 OK${json(2)}`],
    ['503 without endpoints', 'ok', `HTTP/1.0 503 Service Unavailable${json(0)}`],
    ['503 with endpoints', 'wrong answer', `HTTP/1.0 503 Service Unavailable${json(1)}`],
    ['404', 'wrong answer', 'HTTP/1.1 404 Not Found\r\n\r\n'],
    ['no HTTP', 'wrong answer', 'SSH-2.0-OpenSSH'],
  ] as const)('%s is %s', async (_what, outcome, said) => {
    const io = new FakeNode();
    const asked: string[] = [];
    io.dials = async ({ question }) => {
      asked.push(Buffer.from(question ?? []).toString('latin1'));
      return { outcome: 'ok', answer: Buffer.from(said) };
    };
    const [v4, v6] = of(TARGETS, POD).served;
    if (!v4 || !v6) throw new Error('no probes');
    expect([await tryOnce(io, v4, trying), await tryOnce(io, v6, trying)]).toEqual([outcome, outcome]);
    expect(asked.map(text => text.split('\r\n').slice(0, 2))).toEqual([
      ['GET / HTTP/1.0', 'Host: 10.0.0.1:32000'],
      ['GET / HTTP/1.0', 'Host: [fd00::1]:32000'],
    ]);
    io.dials = async () => 'refused';
    expect(await tryOnce(io, v4, trying)).toBe('refused');
  });
});

const trying = { timeoutMs: 100, domain: 'cluster.local' };
const probe = (id: string, address = '10.96.0.10', more: Partial<ProbeTarget> = {}, place = POD) => {
  const { served } = of([target(id, address, more)], place);
  const [first] = served;
  if (!first) throw new Error('no probe');
  return first;
};
/** A DNS message to the question within `dial`, with these flags and so many records. */
function dnsAnswer({ question, protocol }: Dial, flags: number, records: number, id?: number): Uint8Array {
  const asked = Buffer.from(question ?? []).subarray(protocol === 'TCP' ? 2 : 0);
  const message = Buffer.from(asked);
  message.writeUInt16BE(id ?? asked.readUInt16BE(0), 0);
  message.writeUInt16BE(flags, 2);
  message.writeUInt16BE(records, 6);
  return protocol === 'TCP' ? Buffer.concat([Buffer.from([0, message.length]), message]) : message;
}

describe.each(['UDP', 'TCP'] as const)('DNS by name over %s', protocol => {
  it.each([
    ['an address', 'ok', 0x8580, 1, undefined],
    ['no record', 'wrong answer', 0x8580, 0, undefined],
    ['NXDOMAIN', 'wrong answer', 0x8583, 0, undefined],
    ['SERVFAIL', 'wrong answer', 0x8582, 1, undefined],
    ['what is no response', 'wrong answer', 0x0100, 1, undefined],
    ['an answer to another question', 'wrong answer', 0x8580, 1, 0x10001 >> 1],
  ] as const)('%s is %s', async (_what, outcome, flags, records, id) => {
    const io = new FakeNode();
    io.dials = async dial => {
      const asked = Buffer.from(dial.question ?? []).readUInt16BE(protocol === 'TCP' ? 2 : 0);
      return {
        outcome: 'ok',
        answer: dnsAnswer(dial, flags, records, id === undefined ? asked : (asked + 1) & 0xffff),
      };
    };
    const dns = probe('kube-system/kube-dns:53/UDP@dns', '10.96.0.10', { port: 53, protocol });
    expect(await tryOnce(io, dns, trying)).toBe(outcome);
  });

  it('asks for the API by the cluster’s own domain, in the family of the server', async () => {
    const io = new FakeNode();
    const asked: Buffer[] = [];
    io.dials = async ({ question }) => {
      asked.push(Buffer.from(question ?? []).subarray(protocol === 'TCP' ? 2 : 0));
      return 'timeout';
    };
    const more = { port: 53, protocol };
    const domain = clusterDomain('search default.svc.k8s.example svc.k8s.example k8s.example\nnameserver 10.96.0.10\n');
    const dials = ['10.96.0.10', 'fd00::a'].map(a =>
      tryOnce(io, probe('kube-system/kube-dns:53/UDP@dns', a, more), { ...trying, domain }),
    );
    expect(await Promise.all(dials)).toEqual(['timeout', 'timeout']);
    const name = '\x0akubernetes\x07default\x03svc\x03k8s\x07example\x00';
    expect(asked.map(q => q.subarray(12).toString('latin1'))).toEqual([
      `${name}\x00\x01\x00\x01`,
      `${name}\x00\x1c\x00\x01`,
    ]);
  });
});

it('takes the usual domain where resolv.conf names none', () => {
  expect(clusterDomain('nameserver 10.0.0.2\nsearch corp.example\n')).toBe('cluster.local');
});

describe('a UDP port', () => {
  it('is asked for a name on 53, behind a NodePort too, and for the host name elsewhere', async () => {
    const io = new FakeNode();
    const asked: string[] = [];
    io.dials = async ({ question }) => {
      asked.push(Buffer.from(question ?? []).toString('latin1'));
      return 'ok';
    };
    const more = { port: 30053, protocol: 'UDP' as const };
    await tryOnce(io, probe('x/dns:53/UDP@node-port:node IPv4', 'node IPv4', more), trying);
    await tryOnce(io, probe('x/game:81/UDP', '10.96.0.4', { port: 81, protocol: 'UDP' }), trying);
    expect(asked[0]).toContain('kubernetes');
    expect(asked[1]).toBe('hostname');
  });
});

const [first = 0, second = 0] = ECHO_PORTS;
const hairpin = () => of([], POD).served[0];
const affinity = () => of([], POD).served[1];
const texts = (...said: string[]) => {
  const io = new FakeNode();
  io.dials = async () => ({ outcome: 'ok', answer: Buffer.from(said.shift() ?? echoText(own.name, first)) });
  return io;
};
const me = (port: number) => echoText(own.name, port);

describe('the own Service', () => {
  it.each([
    ['itself', 'hairpin', [me(first)], 'ok'],
    ['somebody else', 'hairpin', [echoText('proxyctl/probe-2', first)], 'wrong answer'],
    ['the same endpoint each time', 'affinity', [me(second), me(second), me(second), me(second)], 'ok'],
    ['another endpoint once', 'affinity', [me(first), me(first), me(second), me(first)], 'moved'],
    ['somebody else once', 'affinity', [me(first), 'nginx', me(first), me(first)], 'wrong answer'],
  ] as const)('that reaches %s: %s', async (_what, kind, said, outcome) => {
    const probed = kind === 'hairpin' ? hairpin() : affinity();
    if (!probed) throw new Error('no probe of the own Service');
    expect(await tryOnce(texts(...said), probed, trying)).toBe(outcome);
  });
});

async function watched(fake: FakeNode, place: Place, targets: ProbeTarget[], ms: number): Promise<FakeNode> {
  const abort = new AbortController();
  const options = { ...place, targets: { version: 1 as const, targets }, main: MAIN, warm: WARM };
  const ended = watch(fake, { ...options, probeIntervalMs: 1000 }, abort.signal);
  await fake.pass(ms);
  abort.abort();
  await fake.finish(ended);
  return fake;
}

describe('the pod watcher', () => {
  it('answers for its own Service on its pod’s address alone, and says where', async () => {
    const fake = new FakeNode();
    fake.devices = [
      { device: 'net1', address: '192.0.2.9' },
      { device: 'eth0', address: 'fd02::9' },
      { device: 'eth0', address: '10.244.1.9' },
    ];
    await watched(fake, POD, [], 100);
    expect(fake.echoes).toEqual(ECHO_PORTS.map(port => ({ address: '10.244.1.9', port, text: me(port) })));
    expect(fake.lines[0]).toMatchObject({ kind: 'hello', echo: '10.244.1.9' });
  });

  it('does not count its own Service before that has answered, and counts every failure afterwards', async () => {
    const fake = new FakeNode();
    fake.devices = [{ device: 'eth0', address: '10.244.1.9' }];
    let up = false;
    let broken = false;
    fake.dials = async ({ address }) => {
      if (address !== own.address) return 'ok';
      if (!up) return 'refused';
      return broken ? 'timeout' : { outcome: 'ok', answer: Buffer.from(me(first)) };
    };
    const abort = new AbortController();
    const options = { ...POD, targets: { version: 1 as const, targets: [] }, main: MAIN, warm: WARM };
    const ended = watch(fake, { ...options, probeIntervalMs: 1000 }, abort.signal);
    await fake.pass(1500);
    up = true;
    await fake.pass(1000);
    broken = true;
    await fake.pass(1000);
    abort.abort();
    await fake.finish(ended);
    expect(fake.of('round').map(r => [r.dialled, r.bad.length])).toEqual([
      [{}, 0],
      [{}, 0],
      [{ hairpin: 1, affinity: 1 }, 0],
      [{ hairpin: 1, affinity: 1 }, 2],
    ]);
  });

  it('counts a client that moves from the first round on: who reaches both endpoints has its rules', async () => {
    const fake = new FakeNode();
    fake.devices = [{ device: 'eth0', address: '10.244.1.9' }];
    let dials = 0;
    fake.dials = async () => ({ outcome: 'ok', answer: Buffer.from(me(dials++ % 2 === 0 ? first : second)) });
    await watched(fake, POD, [], 1500);
    const [round] = fake.of('round');
    expect(round).toMatchObject({ dialled: { affinity: 1 }, bad: [['proxyctl/probe-1:80/TCP@affinity', 'moved']] });
  });

  it('says so when it cannot answer', async () => {
    const fake = await watched(new FakeNode(), POD, [], 100);
    expect(fake.of('hello')).toMatchObject([{ vantage: 'pod' }]);
    expect(fake.of('hello')[0]?.echo).toBeUndefined();
    expect(fake.of('trouble')[0]).toMatchObject({ what: 'echo' });
  });
});

describe('Services without endpoints', () => {
  it('are asked one a round, in turn, and count for themselves', async () => {
    const fake = new FakeNode();
    const dialled: string[] = [];
    fake.dials = async ({ address }) => {
      dialled.push(address);
      return address === '10.96.0.2' ? 'timeout' : 'refused';
    };
    const targets = [1, 2, 3].map(n => target(`a/void-${n}:80/TCP`, `10.96.0.${n}`, { endpoints: false }));
    const udp = target('a/void:80/UDP', '10.96.0.9', { endpoints: false, protocol: 'UDP' });
    await watched(fake, { ...POD, addresses: [] }, [...targets, udp], 3500);
    expect(dialled.filter(address => address !== own.address)).toEqual([
      '10.96.0.1',
      '10.96.0.2',
      '10.96.0.3',
      '10.96.0.1',
    ]);
    expect(fake.of('round').map(r => [r.refusal, r.bad, r.dialled])).toEqual([
      ['refused', [], {}],
      ['timeout', [], {}],
      ['refused', [], {}],
      ['refused', [], {}],
    ]);
  });
});
