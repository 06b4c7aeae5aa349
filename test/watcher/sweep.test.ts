import { describe, expect, it } from 'vitest';
import { type SweepOptions, sweep } from '../../src/watcher/sweep.ts';
import { IP_VS, IP_VS_CONN, IPSETS, IPTABLES_SAVE, IPVS_SAVE, KUBE_IPVS0, NFT_JSON } from '../kernel/dumps.ts';
import { FakeNode, MAIN, metricsText, serve } from './fake-node.ts';

const NO_TABLE = { code: 1, stderr: 'Error: No such file or directory' };
const NO_DEVICE = { code: 1, stderr: 'Device "kube-ipvs0" does not exist.' };

/** A node with both modes' chains, ipvs' objects and no nftables; what the sweeper removes is gone when it looks again. */
function nodeAfterIpvs(now: 'iptables' | 'nftables' = 'iptables'): FakeNode {
  const fake = new FakeNode();
  serve(fake, now);
  let servers = IP_VS;
  let device = true;
  let sets = IPSETS.trim().split('\n');
  const saves: Record<string, string> = { 'iptables-nft': IPVS_SAVE };
  // Of the shared chains, what the live iptables mode has made of them.
  if (now === 'iptables') saves['iptables-nft'] = merged();
  fake.programs = {
    'nft -j list table ip kube-proxy': now === 'nftables' ? { stdout: NFT_JSON } : NO_TABLE,
    'nft -j list table ip6 kube-proxy': NO_TABLE,
    'iptables-nft-save': () => ({ stdout: saves['iptables-nft'] ?? '' }),
    'iptables-nft-restore --noflush': input => {
      saves['iptables-nft'] = restored(saves['iptables-nft'] ?? '', input);
      return {};
    },
    'ipset list -n': () => ({ stdout: `${sets.join('\n')}\n` }),
    'ip -o addr show dev kube-ipvs0': () => (device ? { stdout: KUBE_IPVS0 } : NO_DEVICE),
    'ip link del kube-ipvs0': () => {
      device = false;
      return {};
    },
  };
  for (const name of sets) {
    fake.programs[`ipset destroy ${name}`] = () => {
      sets = sets.filter(s => s !== name);
      return {};
    };
  }
  const lines: Record<string, string> = {
    '-t 10.96.0.11:80': 'TCP  0A60000B:0050',
    '-t 10.96.0.12:80': 'TCP  0A60000C:0050',
    '-u [fd00:10:96::b]:53': 'UDP  [fd00:0010:0096',
    '-t 192.168.7.2:30080': 'TCP  C0A80702:7580',
  };
  for (const [args, start] of Object.entries(lines)) {
    fake.programs[`ipvsadm -D ${args}`] = () => {
      servers = servers
        .split('\n')
        .filter(line => !line.startsWith(start))
        .join('\n');
      fake.files['/proc/net/ip_vs'] = servers;
      return {};
    };
  }
  fake.files['/proc/net/ip_vs'] = servers;
  return fake;
}

/** ipvs' own chains and jumps beside iptables mode's. */
function merged(): string {
  const own = /KUBE-(IPVS|NODE-PORT\b|LOAD-BALANCER |SOURCE-RANGES)|kube-proxy firewall rules/;
  const mine = IPVS_SAVE.split('\n').filter(line => own.test(line) && !/^-A KUBE-(SERVICES|PROXY-FIREWALL)/.test(line));
  const table = (name: string) => IPVS_SAVE.slice(IPVS_SAVE.indexOf(`*${name}`)).split('COMMIT')[0] ?? '';
  return ['nat', 'filter'].reduce((save, name) => {
    const lines = mine.filter(line => table(name).includes(line));
    return save
      .replace(`*${name}\n`, `*${name}\n${lines.filter(l => l.startsWith(':')).join('\n')}\n`)
      .replace(
        new RegExp(`(\\*${name}\\n[^]*?)COMMIT`),
        (_, body: string) => `${body}${lines.filter(l => l.startsWith('-A')).join('\n')}\nCOMMIT`,
      );
  }, IPTABLES_SAVE);
}

/** The save after a restore of -D and -X lines; throws where iptables would refuse. */
function restored(save: string, script: string): string {
  const [, table = ''] = /^\*(\w+)/.exec(script) ?? [];
  const [head = '', rest = ''] = save.split(`*${table}\n`);
  const [body = '', ...tail] = rest.split('COMMIT');
  let lines = body.split('\n');
  for (const line of script.split('\n')) {
    const [command = '', chain = ''] = line.split(' ');
    if (command === '-D') {
      const rule = line.replace('-D', '-A');
      if (!lines.includes(rule)) throw new Error(`no such rule: ${rule}`);
      lines = lines.filter(l => l !== rule);
    } else if (command.startsWith(':')) {
      lines = lines.filter(l => !l.startsWith(`-A ${command.slice(1)} `));
    } else if (command === '-X') {
      if (lines.some(l => l.endsWith(`-j ${chain}`))) throw new Error(`still referenced: ${chain}`);
      lines = lines.filter(l => !l.startsWith(`:${chain} `));
    }
  }
  return `${head}*${table}\n${lines.join('\n')}COMMIT${tail.join('COMMIT')}`;
}

const OPTIONS: SweepOptions = { left: 'ipvs', now: 'iptables', drainSeconds: 30, waitSeconds: 60, servingPorts: MAIN };
const swept = (fake: FakeNode, options: Partial<SweepOptions> = {}) =>
  fake.finish(sweep(fake, { ...OPTIONS, ...options }, new AbortController().signal));
const changes = (fake: FakeNode) =>
  fake.calls.map(call => call.command).filter(command => /destroy|-D|del|restore/.test(command));

describe('before the new mode serves', () => {
  it.each<[string, (fake: FakeNode) => void, string]>([
    [
      'nothing answers',
      fake => {
        fake.http = {};
      },
      'does not answer',
    ],
    ['the old mode answers', fake => serve(fake, 'ipvs'), 'in mode ipvs, not iptables'],
    [
      'it has not synced since its start',
      fake => {
        fake.http['10249/metrics'] = metricsText(2000, 1500);
      },
      'IPv4 not synced',
    ],
    [
      'its metrics know of no sync',
      fake => {
        fake.http['10249/metrics'] = 'process_start_time_seconds 5\n';
      },
      'do not tell of a sync',
    ],
    [
      'its rules are not in the kernel',
      fake => {
        fake.programs['iptables-nft-save'] = { stdout: IPVS_SAVE };
      },
      'not in the kernel',
    ],
    [
      'the kernel cannot be read',
      fake => {
        fake.programs['iptables-nft-save'] = { code: 1, stderr: 'no' };
      },
      'could not be read',
    ],
  ])('refuses and touches nothing: %s', async (_why, prepare, detail) => {
    const fake = nodeAfterIpvs();
    prepare(fake);
    expect(await swept(fake)).toBe(false);
    expect(changes(fake)).toEqual([]);
    expect(fake.of('sweep').at(-1)).toMatchObject({ phase: 'refused', detail: expect.stringContaining(detail) });
    expect(fake.of('sweep')[0]).toMatchObject({ phase: 'waiting' });
  });

  it('waits, and goes on when it does', async () => {
    const fake = nodeAfterIpvs();
    serve(fake, 'ipvs');
    const sweeping = sweep(fake, OPTIONS, new AbortController().signal);
    await fake.pass(20_000);
    expect(changes(fake)).toEqual([]);
    serve(fake, 'iptables');
    expect(await fake.finish(sweeping)).toBe(true);
  });

  it('never removes the mode that is to stay', async () => {
    const fake = nodeAfterIpvs();
    expect(await swept(fake, { left: 'iptables' })).toBe(false);
    expect(changes(fake)).toEqual([]);
  });
});

describe('after ipvs', () => {
  it('removes what is its own and nothing else', async () => {
    const fake = nodeAfterIpvs();
    expect(await swept(fake)).toBe(true);
    const last = fake.of('sweep').at(-1);
    expect(last).toMatchObject({ phase: 'done', remaining: [] });
    expect(last?.removed).toEqual(
      expect.arrayContaining([
        'filter/KUBE-IPVS-FILTER',
        'device kube-ipvs0',
        'virtual server 192.168.7.2:30080/TCP',
        'ipset KUBE-CLUSTER-IP',
      ]),
    );
    const scripts = fake.calls.map(call => call.input).join('');
    expect(scripts).not.toMatch(/:KUBE-(SERVICES|POSTROUTING|MARK-MASQ|FORWARD|PROXY-FIREWALL|FIREWALL) /);
    expect(scripts).toContain('-D INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL');
    expect(changes(fake)).not.toContain('ipset destroy KUBE-SRC-7WSNKQ');
    expect(fake.files['/proc/net/ip_vs']).toContain('C0A80763:192B');
    // The device tells which virtual servers are ours.
    const order = changes(fake);
    expect(order.indexOf('ip link del kube-ipvs0')).toBeGreaterThan(order.findLastIndex(c => c.startsWith('ipvsadm')));
    expect(order.indexOf('ip link del kube-ipvs0')).toBeLessThan(order.findIndex(c => c.startsWith('ipset')));
  });

  it('has nothing to do the second time', async () => {
    const fake = nodeAfterIpvs();
    await swept(fake);
    fake.calls.length = 0;
    expect(await swept(fake)).toBe(true);
    expect(changes(fake)).toEqual([]);
  });

  it('removes the shared chains as well when nftables serves', async () => {
    const fake = nodeAfterIpvs('nftables');
    expect(await swept(fake, { now: 'nftables' })).toBe(true);
    expect(fake.of('sweep').at(-1)?.removed).toEqual(
      expect.arrayContaining(['nat/KUBE-SERVICES', 'nat/KUBE-MARK-MASQ']),
    );
    expect((await fake.run('iptables-nft-save', [])).stdout).toContain(':KUBE-FIREWALL');
  });

  it('waits for connections before it removes their virtual servers', async () => {
    const fake = nodeAfterIpvs();
    fake.files['/proc/net/ip_vs_conn'] = IP_VS_CONN;
    const sweeping = sweep(fake, OPTIONS, new AbortController().signal);
    await fake.pass(10_000);
    expect(changes(fake).filter(c => !c.includes('restore'))).toEqual([]);
    fake.files['/proc/net/ip_vs_conn'] = IP_VS_CONN.replace('ESTABLISHED', 'CLOSE');
    expect(await fake.finish(sweeping)).toBe(true);
    expect(fake.of('sweep').find(line => line.phase === 'drained')?.detail).toContain('0 established');
  });

  it('goes on after the time for it, and says how many were left', async () => {
    const fake = nodeAfterIpvs();
    fake.files['/proc/net/ip_vs_conn'] = IP_VS_CONN;
    expect(await swept(fake)).toBe(true);
    expect(fake.of('sweep').find(line => line.phase === 'drained')?.detail).toContain('1 established');
  });

  it('spares excluded ranges', async () => {
    const fake = nodeAfterIpvs();
    expect(await swept(fake, { excludeCIDRs: ['192.168.7.0/24', 'fd00:10:96::/112'] })).toBe(true);
    const commands = changes(fake);
    expect(commands).toContain('ipvsadm -D -t 10.96.0.11:80');
    expect(commands.filter(c => c.includes('192.168') || c.includes('fd00'))).toEqual([]);
  });

  it('tries three times, then says what remains and why', async () => {
    const fake = nodeAfterIpvs();
    fake.programs['ipset destroy KUBE-LOOP-BACK'] = { code: 1, stderr: 'Set cannot be destroyed: it is in use\n' };
    expect(await swept(fake)).toBe(false);
    expect(changes(fake).filter(c => c === 'ipset destroy KUBE-LOOP-BACK')).toHaveLength(3);
    expect(fake.of('sweep').at(-1)).toMatchObject({ phase: 'done', remaining: ['ipset KUBE-LOOP-BACK'] });
    expect(fake.of('trouble')[0]?.error).toContain('in use');
  });

  it('keeps the device while a virtual server could not be removed', async () => {
    const fake = nodeAfterIpvs();
    delete fake.programs['ipvsadm -D -t 10.96.0.12:80'];
    expect(await swept(fake)).toBe(false);
    expect(changes(fake)).not.toContain('ip link del kube-ipvs0');
    expect(fake.of('sweep').at(-1)?.remaining).toEqual(['virtual server 10.96.0.12:80/TCP', 'device kube-ipvs0']);
  });

  it('waits for the lock of the legacy tables', async () => {
    const fake = nodeAfterIpvs();
    const restore = fake.programs['iptables-nft-restore --noflush'];
    let locked = 3;
    fake.programs['iptables-nft-restore --noflush'] = input => {
      if (locked-- > 0) return { code: 4, stderr: 'Another app is currently holding the xtables lock.' };
      return typeof restore === 'function' ? restore(input) : {};
    };
    expect(await swept(fake)).toBe(true);
    expect(fake.of('trouble')).toEqual([]);
  });

  it('does not call it done when the kernel cannot be read again', async () => {
    const fake = nodeAfterIpvs();
    fake.programs['ip link del kube-ipvs0'] = () => {
      fake.programs['ipset list -n'] = { code: 1, stderr: 'segfault' };
      return {};
    };
    expect(await swept(fake)).toBe(false);
    expect(fake.of('sweep').at(-1)?.remaining).toEqual(['the kernel could not be read']);
  });
});

describe('after nftables', () => {
  it('removes its tables', async () => {
    const fake = nodeAfterIpvs();
    fake.programs['nft -j list table ip kube-proxy'] = { stdout: NFT_JSON };
    fake.programs['nft delete table ip kube-proxy'] = () => {
      fake.programs['nft -j list table ip kube-proxy'] = NO_TABLE;
      return {};
    };
    expect(await swept(fake, { left: 'nftables' })).toBe(true);
    expect(changes(fake)).toEqual(['nft delete table ip kube-proxy']);
  });
});
