import { describe, expect, it } from 'vitest';
import type { ProbeTarget } from '../../src/core/observation.ts';
import { WARM } from '../../src/core/proxy-address.ts';
import { type WatchOptions, watch } from '../../src/watcher/watch.ts';
import { IP_VS, IP_VS_CONN, IPTABLES_SAVE, NFT_JSON } from '../kernel/dumps.ts';
import { FakeNode, MAIN, metricsText, serve } from './fake-node.ts';

const target = (name: string, address: string): ProbeTarget => ({
  id: `shop/${name}:80/TCP`,
  address,
  port: 80,
  protocol: 'TCP',
  endpoints: true,
});
const TARGETS = [target('web', '10.96.0.11'), target('none', '10.96.0.200')];
const STAT = `entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000010  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a 00000001 00000000 00000000  00000000 00000000 00000000 00000000
00000010  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000010 00000002 00000000  00000000 00000000 00000000 00000000
`;

/** A node in iptables mode with a warm nftables kube-proxy's rules beside. */
function node(): FakeNode {
  const fake = new FakeNode();
  serve(fake, 'iptables');
  fake.files['/proc/sys/net/netfilter/nf_conntrack_count'] = '120\n';
  fake.files['/proc/sys/net/netfilter/nf_conntrack_max'] = '262144\n';
  fake.files['/proc/net/stat/nf_conntrack'] = STAT;
  fake.files['/sys/devices/system/cpu/online'] = '0-2,5\n';
  fake.programs = {
    'nft -j list table ip kube-proxy': { stdout: NFT_JSON },
    'nft -j list table ip6 kube-proxy': { code: 1, stderr: 'Error: No such file or directory' },
    'iptables-nft-save': { stdout: IPTABLES_SAVE },
    'ip6tables-nft-save': {},
    'ipset list -n': {},
    'ip -o addr show dev kube-ipvs0': { code: 1, stderr: 'Device "kube-ipvs0" does not exist.' },
  };
  return fake;
}

/** Watches for `ms` and ends. */
async function watched(fake: FakeNode, ms: number, options: Partial<WatchOptions> = {}): Promise<FakeNode> {
  const abort = new AbortController();
  const targets = { version: 1 as const, targets: TARGETS };
  const ended = watch(
    fake,
    {
      node: 'node1',
      vantage: 'host',
      addresses: ['10.0.0.1'],
      targets,
      main: MAIN,
      warm: WARM,
      probeIntervalMs: 1000,
      ...options,
    },
    abort.signal,
  );
  await fake.pass(ms);
  abort.abort();
  await fake.finish(ended);
  return fake;
}

describe('the watcher on the host network', () => {
  it('tells the ways that it is asked for, in each mode and before the look is whole', async () => {
    const fake = await watched(node(), 10, { trace: ['10.96.0.11:80/TCP'] });
    const told = fake.of('path').map(({ mode, path }) => [mode, path.client, path.key, path.endpoints]);
    const ways = (mode: string, endpoints: number) =>
      ['pod', 'node', 'outside'].map(client => [mode, client, '10.96.0.11:80/TCP', endpoints]);
    expect(told).toEqual([...ways('iptables', 2), ...ways('ipvs', 0), ...ways('nftables', 2)]);
    const kinds = fake.lines.map(line => line.kind);
    expect(kinds.indexOf('kernel')).toBeGreaterThan(kinds.lastIndexOf('path'));
  });

  it('says first who it is, then what it sees', async () => {
    const fake = await watched(node(), 10);
    expect(fake.lines[0]).toMatchObject({ kind: 'hello', v: 1, node: 'node1', vantage: 'host' });
    expect(fake.of('proxy')).toMatchObject([
      {
        slot: 'main',
        up: true,
        mode: 'iptables',
        processStart: 1000,
        families: { IPv4: { lastSync: 1002.5, lastQueued: 1001.5 } },
        failures: 0,
        healthz: 200,
        syncSeconds: 0.5,
      },
      { slot: 'warm', up: false, mode: null, processStart: null, families: {}, failures: null, healthz: null },
    ]);
    expect(fake.of('conntrack')).toMatchObject([
      { count: 120, max: 262144, drop: 17, earlyDrop: 2, insertFailed: 11, cores: 4 },
    ]);
    const [kernel] = fake.of('kernel');
    expect(kernel?.modes).toEqual({
      iptables: { present: true, servicePorts: 8, missing: ['shop/none:80/TCP'], traces: [] },
      ipvs: { present: false, servicePorts: 0, traces: [] },
      nftables: { present: true, servicePorts: 8, missing: ['shop/none:80/TCP'], traces: ['table ip kube-proxy'] },
    });
    expect(fake.of('trouble')).toEqual([]);
  });

  it('prints what did not change once in 2 s, and every round', async () => {
    const fake = await watched(node(), 10_500);
    expect(fake.of('proxy').filter(line => line.slot === 'main')).toHaveLength(6);
    expect(fake.of('kernel')).toHaveLength(6);
    expect(fake.of('round').map(line => line.round)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it('prints a change at the next look, with the length of the last full sync', async () => {
    const fake = node();
    fake.programs['ipset list -n'] = () => {
      fake.http['127.0.0.1:10249/metrics'] = metricsText(1000, 1100)
        .replace('_sum{ip_family="IPv4"} 0.5', '_sum{ip_family="IPv4"} 2')
        .replace('_count{ip_family="IPv4"} 1', '_count{ip_family="IPv4"} 3');
      return {};
    };
    await watched(fake, 1500);
    const mine = fake.of('proxy').filter(line => line.slot === 'main');
    expect(mine.map(line => [line.families.IPv4?.lastSync, line.syncSeconds])).toEqual([
      [1002.5, 0.5],
      [1100, 0.75],
    ]);
  });

  it('goes by the warm kube-proxy between two main ones, and after it while nothing answers', async () => {
    const fake = node();
    const looks = [{ '127.0.0.1:10349/proxyMode': 'nftables' }, {}];
    fake.programs['ipset list -n'] = () => {
      fake.http = looks.shift() ?? {};
      return {};
    };
    await watched(fake, 12_000);
    const [first, ...later] = fake.of('kernel').map(({ modes }) => modes);
    expect([first?.iptables?.traces, first?.nftables?.traces]).toEqual([[], ['table ip kube-proxy']]);
    expect(later.length).toBeGreaterThan(1);
    for (const { iptables, nftables } of later) {
      expect(iptables?.traces).toContain('nat/KUBE-SERVICES');
      expect(nftables?.traces).toEqual([]);
    }
  });

  it('goes by the mode that answered last while nothing answers', async () => {
    const fake = node();
    fake.programs['ipset list -n'] = () => {
      fake.http = {};
      return {};
    };
    await watched(fake, 6000);
    expect(fake.of('kernel').at(-1)?.modes.iptables?.traces).toEqual([]);
    expect(
      fake
        .of('proxy')
        .filter(line => line.slot === 'main')
        .at(-1),
    ).toMatchObject({ up: false, mode: null });
  });

  it('names virtual servers that no Service has, once it is known which mode serves', async () => {
    const fake = node();
    // This node's rules are of IPv4 alone.
    fake.files['/proc/net/ip_vs'] = IP_VS.replace(/^UDP .*\n.*\n/m, '');
    await watched(fake, 10);
    // What has a Service's address or NodePort, though without kube-ipvs0, is what ipvs mode left.
    expect(fake.of('kernel')[0]?.foreignServers).toEqual(['192.168.7.99:6443/TCP', 'firewall mark 0x1']);
    const silent = node();
    silent.http = {};
    await watched(silent, 10);
    expect(silent.of('kernel')[0]).not.toHaveProperty('foreignServers');
  });

  it('counts the connections of ip_vs', async () => {
    const fake = node();
    fake.files['/proc/net/ip_vs_conn'] = IP_VS_CONN;
    expect((await watched(fake, 10)).of('kernel')[0]?.ipvsConnections).toBe(3);
  });

  it('looks at the kernel no more than a tenth of the time, and probes all the while', async () => {
    const fake = node();
    let looks = 0;
    const quick = fake.run.bind(fake);
    fake.run = async (program, ...others) => {
      if (program === 'iptables-nft-save') {
        looks++;
        await fake.sleep(2000);
      }
      return quick(program, ...others);
    };
    await watched(fake, 45_500);
    expect(looks).toBe(3);
    expect(fake.of('round')).toHaveLength(46);
  });

  it('looks at the kernel at once when a kube-proxy has first written its rules, not while it starts', async () => {
    const fake = node();
    const [first, starting] = metricsText(2000, 0).split('\n').slice(0, 2);
    const looks = await looksAtKernel(fake, 20_000, [
      [5500, () => serve(fake, 'nftables', WARM, `${first}\n${starting}\n`)],
      [7500, () => serve(fake, 'nftables', WARM, metricsText(2000, 0))],
      [15_500, () => serve(fake, 'nftables', WARM, metricsText(2000, 2003))],
    ]);
    expect(looks).toEqual([0, 16_000]);
  });

  it('looks at the kernel soon after a kube-proxy fell silent, and twice more, though a look takes long', async () => {
    const fake = node();
    const looks = await looksAtKernel(fake, 30_000, [[9500, () => (fake.http = {})]]);
    expect(looks).toEqual([0, 12_000, 16_000, 22_000]);
  });

  it('looks at the kernel again for at most a quarter of the time when kube-proxy writes', async () => {
    const fake = node();
    const looks = await looksAtKernel(fake, 35_000, [
      [13_500, () => serve(fake, 'iptables', MAIN, metricsText(1000, 1013))],
      [14_500, () => serve(fake, 'iptables', MAIN, metricsText(1000, 1014))],
    ]);
    // The second write comes while the first is looked at.
    expect(looks).toEqual([0, 14_000, 26_000]);
  });
});

/** When looks at the kernel begin, ms, each of 3 s, while at some times something happens. */
async function looksAtKernel(
  fake: FakeNode,
  ms: number,
  happenings: readonly [number, () => void][],
): Promise<number[]> {
  const looks: number[] = [];
  const began = fake.now();
  const quick = fake.run.bind(fake);
  fake.run = async (program, ...others) => {
    if (program === 'iptables-nft-save') {
      looks.push(fake.now() - began);
      await fake.sleep(3000);
    }
    return quick(program, ...others);
  };
  const happened = happenings.map(async ([at, happen]) => {
    await fake.sleep(at);
    happen();
  });
  await watched(fake, ms);
  await Promise.all(happened);
  return looks;
}

describe('what the watcher cannot do', () => {
  it('is said, at most every 2 s, and the other modes are still looked at', async () => {
    const fake = node();
    fake.programs['nft -j list table ip kube-proxy'] = { code: 1, stderr: 'Error: Operation not permitted\n' };
    delete fake.programs['ipset list -n'];
    await watched(fake, 1500);
    expect(fake.of('trouble').map(({ what, error }) => [what, error])).toEqual([
      ['nft -j list table ip kube-proxy', 'Error: Operation not permitted'],
      ['ipset list -n', 'the program is not there'],
    ]);
    expect(Object.keys(fake.of('kernel')[0]?.modes ?? {})).toEqual(['iptables']);
  });

  it('makes no kernel line out of half a dump', async () => {
    const fake = node();
    fake.programs['iptables-nft-save'] = { stdout: IPTABLES_SAVE.slice(0, 4000) };
    await watched(fake, 100);
    expect(fake.of('kernel')).toEqual([]);
    expect(fake.of('trouble')[0]).toMatchObject({ what: 'kernel' });
  });

  it('goes by what a program says that fails, whatever it printed before', async () => {
    const fake = node();
    fake.programs['nft -j list table ip kube-proxy'] = { code: 124, stdout: NFT_JSON.slice(0, 4000) };
    fake.programs['iptables-nft-save'] = { code: 1, stdout: '*nat\n-A NONE -j X\n', stderr: 'no memory' };
    await watched(fake, 100);
    expect(fake.of('trouble').map(({ what, error }) => [what, error])).toEqual([
      ['nft -j list table ip kube-proxy', 'exit code 124'],
      ['iptables-nft-save', 'no memory'],
      ['iptables-save', 'no backend can be read'],
    ]);
    expect(fake.of('kernel')[0]?.modes).toEqual({});
  });

  it('says so when no iptables can be read at all', async () => {
    const fake = node();
    delete fake.programs['iptables-nft-save'];
    await watched(fake, 100);
    expect(fake.of('kernel')[0]?.modes).not.toHaveProperty('iptables');
    expect(fake.of('trouble')[0]?.what).toBe('iptables-save');
  });

  it('tells a kernel without conntrack counters, and metrics that are none', async () => {
    const fake = node();
    delete fake.files['/proc/net/stat/nf_conntrack'];
    fake.http['127.0.0.1:10249/metrics'] = '<html>';
    await watched(fake, 100);
    expect(fake.of('conntrack')).toMatchObject([{ count: 120, drop: null, earlyDrop: null, insertFailed: null }]);
    expect(
      fake
        .of('trouble')
        .map(line => line.what)
        .toSorted(),
    ).toEqual(['/proc/net/stat/nf_conntrack', 'main kube-proxy /metrics']);
    expect(fake.of('proxy')[0]).toMatchObject({ up: true, mode: 'iptables', failures: null, processStart: null });
  });
});

describe('probe rounds', () => {
  it('list what was not ok, from the pod network without looking at anything else', async () => {
    const fake = node();
    fake.dials = async ({ address }) => (address === '10.96.0.11' ? 'ok' : 'refused');
    await watched(fake, 100, { vantage: 'pod' });
    expect(fake.of('round')).toMatchObject([
      { vantage: 'pod', round: 1, dialled: { 'cluster-ip-tcp': 2 }, bad: [['shop/none:80/TCP', 'refused']] },
    ]);
    expect(fake.calls).toEqual([]);
    expect(fake.lines.map(line => line.kind)).toEqual(['hello', 'round']);
  });

  it('dial at most 16 targets at once', async () => {
    const fake = new FakeNode();
    let open = 0;
    let most = 0;
    fake.dials = async () => {
      most = Math.max(most, ++open);
      await fake.sleep(10);
      open--;
      return 'ok';
    };
    const targets = {
      version: 1 as const,
      targets: Array.from({ length: 100 }, (_, n) => target(`s${n}`, '10.0.0.1')),
    };
    await watched(fake, 100, { vantage: 'pod', targets });
    expect(most).toBe(16);
    expect(fake.of('round')[0]?.dialled).toEqual({ 'cluster-ip-tcp': 100 });
  });

  it('do not count a dial that this side could not make', async () => {
    const fake = new FakeNode();
    fake.dials = async ({ address }) => {
      if (address === '10.96.0.200') throw new Error('EMFILE');
      return 'ok';
    };
    await watched(fake, 100, { vantage: 'pod' });
    expect(fake.of('round')).toMatchObject([{ dialled: { 'cluster-ip-tcp': 1 }, bad: [] }]);
    expect(fake.of('trouble')).toMatchObject([{ what: 'dial', error: 'EMFILE' }]);
  });
});
