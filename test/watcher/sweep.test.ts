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
  fake.programs['ipset restore'] = input => {
    const gone = linesOf(input).map(line => line.replace('destroy ', ''));
    sets = sets.filter(name => !gone.includes(name));
    return {};
  };
  const starts: Record<string, string> = {
    '-D -t 10.96.0.11:80': 'TCP  0A60000B:0050',
    '-D -t 10.96.0.12:80': 'TCP  0A60000C:0050',
    '-D -u [fd00:10:96::b]:53': 'UDP  [fd00:0010:0096',
    '-D -t 192.168.7.2:30080': 'TCP  C0A80702:7580',
  };
  fake.programs['ipvsadm -R'] = input => {
    const gone = linesOf(input).map(line => starts[line] ?? 'none of them');
    servers = servers
      .split('\n')
      .filter(line => !gone.some(start => line.startsWith(start)))
      .join('\n');
    fake.files['/proc/net/ip_vs'] = servers;
    return {};
  };
  fake.files['/proc/net/ip_vs'] = servers;
  return fake;
}

const linesOf = (input: string) => input.split('\n').filter(Boolean);

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

const OPTIONS: SweepOptions = { left: 'ipvs', now: 'iptables', drainSeconds: 30, waitSeconds: 60, serving: MAIN };
const swept = (fake: FakeNode, options: Partial<SweepOptions> = {}) =>
  fake.finish(sweep(fake, { ...OPTIONS, ...options }, new AbortController().signal));
/** Commands that change something, one for each line of those that take many. */
const changes = (fake: FakeNode) =>
  fake.calls.flatMap(({ command, input }) => {
    if (command === 'ipset restore') return linesOf(input).map(line => `ipset ${line}`);
    if (command === 'ipvsadm -R') return linesOf(input).map(line => `ipvsadm ${line}`);
    return /destroy|-D|del|restore|-f -|-R/.test(command) ? [command] : [];
  });

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
        fake.http['127.0.0.1:10249/metrics'] = metricsText(2000, 1500);
      },
      'IPv4 not synced',
    ],
    [
      'its metrics know of no sync',
      fake => {
        fake.http['127.0.0.1:10249/metrics'] = 'process_start_time_seconds 5\n';
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
    expect(changes(fake).filter(c => !c.includes('-restore'))).toEqual([]);
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
    const restore = fake.programs['ipset restore'];
    fake.programs['ipset restore'] = input => {
      const at = linesOf(input).indexOf('destroy KUBE-LOOP-BACK');
      if (typeof restore === 'function') restore(at < 0 ? input : linesOf(input).slice(0, at).join('\n'));
      return at < 0
        ? {}
        : { code: 1, stderr: `ipset v7.17: Error in line ${at + 1}: Set cannot be destroyed: it is in use\n` };
    };
    expect(await swept(fake)).toBe(false);
    expect(changes(fake).filter(c => c === 'ipset destroy KUBE-LOOP-BACK')).toHaveLength(3);
    expect(fake.of('sweep').at(-1)).toMatchObject({ phase: 'done', remaining: ['ipset KUBE-LOOP-BACK'] });
    expect(fake.of('trouble')[0]?.error).toContain('in use');
  });

  it('keeps the device while a virtual server could not be removed', async () => {
    const fake = nodeAfterIpvs();
    const remove = fake.programs['ipvsadm -R'];
    fake.programs['ipvsadm -R'] = input => {
      const others = linesOf(input).filter(line => line !== '-D -t 10.96.0.12:80');
      return typeof remove === 'function' ? remove(others.join('\n')) : {};
    };
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

describe('established connections of ipvs', () => {
  const flow = (sport: number, from = '10.244.1.2') =>
    `tcp 6 299 ESTABLISHED src=10.244.1.2 dst=10.96.0.11 sport=${sport} dport=80 src=10.244.2.3 dst=${from} sport=8080 dport=${sport} [ASSURED] mark=0 use=1\n`;
  const LIST = 'conntrack -L -f ipv4 -p tcp --state ESTABLISHED';
  const LISTS = ['ipv4', 'ipv6'].flatMap(family =>
    ['ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'].map(
      state => `conntrack -L -f ${family} -p tcp --state ${state}`,
    ),
  );
  /** What is done, in order: packets held back and let go are told by their script. */
  const order = (fake: FakeNode) =>
    fake.calls.flatMap(({ command, input }) => {
      if (command === 'nft -f -')
        return [input.startsWith('delete') ? input.trim() : input.slice(0, 'table ip'.length)];
      if (command === 'ipvsadm -R') return linesOf(input).map(line => `ipvsadm ${line}`);
      return command.startsWith('conntrack -R') ? [command] : [];
    });
  const HOLD = 'table ip';
  const LET_GO = 'delete table ip proxyctl-adopt';
  const HANDED = '10.244.2.3:8080 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 86400';

  const hex = (text: string) =>
    text
      .split('.')
      .map(part => Number(part).toString(16).padStart(2, '0'))
      .join('');
  const port = (text: string) => Number(text).toString(16).padStart(4, '0');
  /** How ip_vs lists flows of conntrack. */
  const inIpVs = (flows: string, state = 'SYN_RECV') =>
    [...flows.matchAll(/src=(\S+) dst=(\S+) sport=(\S+) dport=(\S+) src=(\S+) dst=\S+ sport=(\S+) /g)]
      .map(([, src = '', dst = '', sport = '', dport = '', to = '', toPort = '']) =>
        ['TCP', hex(src), port(sport), hex(dst), port(dport), hex(to), port(toPort), state, '899\n'].join(' '),
      )
      .join('');

  /** `through`: those that ip_vs translates; it says of none that it must be waited for. */
  function withTools(flows: string, version = 'v1.4.7', through = flows): FakeNode {
    const fake = nodeAfterIpvs();
    fake.files['/proc/net/ip_vs_conn'] = inIpVs(through);
    Object.assign(fake.programs, {
      'conntrack --version': { stdout: `conntrack ${version} (conntrack-tools)\n` },
      'nft --version': {},
      ...Object.fromEntries(LISTS.map(list => [list, {}])),
      [LIST]: { stdout: flows },
      'conntrack -R /dev/stdin': {},
      'nft -f -': {},
    });
    fake.files['/proc/sys/net/netfilter/nf_conntrack_count'] = '300000\n';
    return fake;
  }

  /** What conntrack is told to insert. */
  const inserted = (fake: FakeNode) =>
    fake.calls
      .flatMap(({ command, input }) => (command.startsWith('conntrack -R') ? linesOf(input) : []))
      .filter(line => line.startsWith('-A'));

  it('are held back while their virtual server goes, and handed over by one program', async () => {
    const fake = withTools(flow(4000) + flow(4001, '10.99.0.11'));
    const removed = fake.programs['ipvsadm -R'];
    fake.programs['ipvsadm -R'] = input => {
      // The entry of one flow outlives its virtual server.
      if (input.includes('10.96.0.11')) fake.programs[LIST] = { stdout: flow(4001, '10.99.0.11') };
      return typeof removed === 'function' ? removed(input) : {};
    };
    expect(await swept(fake)).toBe(true);
    expect(order(fake)).toEqual([
      'ipvsadm -D -u [fd00:10:96::b]:53',
      'ipvsadm -D -t 10.96.0.12:80',
      'ipvsadm -D -t 192.168.7.2:30080',
      HOLD,
      'ipvsadm -D -t 10.96.0.11:80',
      'conntrack -R /dev/stdin',
      LET_GO,
    ]);
    const tuple = (sport: number) => `-p tcp -s 10.244.1.2 -d 10.96.0.11 --sport ${sport} --dport 80`;
    expect(linesOf(fake.calls.find(c => c.command.startsWith('conntrack -R'))?.input ?? '')).toEqual([
      `-D ${tuple(4001)}`,
      `-A ${tuple(4000)} --dst-nat ${HANDED}`,
      `-A ${tuple(4001)} --dst-nat 10.244.2.3:8080 --src-nat 10.99.0.11:4001${HANDED.slice(HANDED.indexOf(' '))}`,
    ]);
    expect(fake.of('sweep').find(line => line.phase === 'adopted')?.detail).toContain('2 established');
  });

  it('are left alone where the mode that serves translates them, in the same words', async () => {
    const fake = withTools(flow(4000) + flow(4001), undefined, flow(4001));
    expect(await swept(fake)).toBe(true);
    expect(inserted(fake).map(line => line.match(/--sport (\d+)/)?.[1])).toEqual(['4001']);
    expect(fake.of('sweep').find(line => line.phase === 'adopted')?.detail).toContain('1 established');
  });

  it('are looked up only in a large table', async () => {
    const fake = withTools(flow(4000));
    fake.files['/proc/sys/net/netfilter/nf_conntrack_count'] = '200\n';
    expect(await swept(fake)).toBe(true);
    expect(fake.calls.filter(c => c.command === LIST)).toHaveLength(1);
    expect(fake.calls.find(c => c.command.startsWith('conntrack -R'))?.input).toMatch(/^-D .*--sport 4000.*\n-A /);
  });

  it('are handed over some hundred at a time', async () => {
    const many = Array.from({ length: 300 }, (_, i) => flow(4000 + i)).join('');
    const fake = withTools(many + many.replaceAll('10.96.0.11', '10.96.0.12'));
    expect(await swept(fake)).toBe(true);
    const steps = [HOLD, 'ipvsadm', 'conntrack -R /dev/stdin', LET_GO];
    const seen = order(fake).slice(2);
    expect(seen.map(c => (c.startsWith('ipvsadm') ? 'ipvsadm' : c))).toEqual([...steps, ...steps]);
  });

  it('are waited for where conntrack is too old to take many entries from one file', async () => {
    const fake = withTools(flow(4000), 'v1.4.6');
    expect(await swept(fake)).toBe(true);
    expect(order(fake).filter(c => !c.startsWith('ipvsadm'))).toEqual([]);
    expect(fake.of('sweep').find(line => line.phase === 'drained')).toBeDefined();
  });

  it('leave no table behind after a sweeper that was killed while it held them', async () => {
    const fake = withTools('');
    let tables = ['table ip kube-proxy', 'table ip proxyctl-adopt', 'table ip6 proxyctl-adopt', 'table ip filter'];
    fake.programs['nft list tables'] = () => ({ stdout: tables.map(table => `${table}\n`).join('') });
    for (const family of ['ip', 'ip6'])
      fake.programs[`nft delete table ${family} proxyctl-adopt`] = () => {
        tables = tables.filter(table => table !== `table ${family} proxyctl-adopt`);
        return {};
      };
    expect(await swept(fake)).toBe(true);
    expect(tables).toEqual(['table ip kube-proxy', 'table ip filter']);
    expect(fake.of('sweep').at(-1)?.removed).toEqual(
      expect.arrayContaining(['table ip proxyctl-adopt', 'table ip6 proxyctl-adopt']),
    );
  });

  it('are told of when they could not be handed over, and the sweep goes on', async () => {
    const fake = withTools(flow(4000) + flow(5000).replace('10.96.0.11', '10.96.0.12'));
    fake.programs['conntrack -R /dev/stdin'] = { code: 1, stderr: 'Operation failed: Cannot allocate memory' };
    expect(await swept(fake)).toBe(true);
    expect(fake.of('trouble')[0]?.error).toContain('Cannot allocate memory');
    expect(fake.of('sweep').find(line => line.phase === 'adopted')?.detail).toMatch(/^0 established/);
    expect(order(fake).at(-1)).toBe(LET_GO);
  });

  it('are handed over where only the port is translated: a NodePort, to a pod on the host network', async () => {
    const line = (sport: number, from: number) =>
      `tcp 6 299 ESTABLISHED src=10.0.0.9 dst=192.168.7.2 sport=${sport} dport=30080 src=192.168.7.2 dst=10.0.0.9 sport=${from} dport=${sport} [ASSURED] mark=0 use=1\n`;
    const fake = withTools(line(4000, 443) + line(4001, 30080));
    expect(await swept(fake)).toBe(true);
    expect(inserted(fake)).toEqual([
      '-A -p tcp -s 10.0.0.9 -d 192.168.7.2 --sport 4000 --dport 30080 --dst-nat 192.168.7.2:443 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 86400',
    ]);
  });

  it('are handed over when one side has ended them, in the state they are in', async () => {
    const fake = withTools('', undefined, flow(4000) + flow(4001) + flow(4002));
    const states = ['FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'];
    for (const [index, state] of states.entries())
      fake.programs[LIST.replace('ESTABLISHED', state)] = { stdout: flow(4000 + index).replace('ESTABLISHED', state) };
    expect(await swept(fake)).toBe(true);
    expect(inserted(fake).map(line => /--sport (\d+).*--state (\S+).* -t (\d+)$/.exec(line)?.slice(1))).toEqual(
      states.map((state, index) => [String(4000 + index), state, '3600']),
    );
  });

  it('of which one side has ended are handed over only when ip_vs has forgotten them', async () => {
    const fake = withTools('');
    fake.programs[LIST.replace('ESTABLISHED', 'CLOSE_WAIT')] = {
      stdout: flow(4000).replace('ESTABLISHED', 'CLOSE_WAIT'),
    };
    fake.files['/proc/net/ip_vs_conn'] = inIpVs(flow(4000), 'CLOSE_WAIT');
    const sweeping = sweep(fake, OPTIONS, new AbortController().signal);
    await fake.pass(500);
    expect([order(fake).at(-1), inserted(fake)]).toEqual(['ipvsadm -D -t 10.96.0.11:80', []]);
    fake.files['/proc/net/ip_vs_conn'] = IP_VS_CONN.split('\n')[0] ?? '';
    expect(await fake.finish(sweeping)).toBe(true);
    expect(inserted(fake)).toHaveLength(1);
  });

  it('keep their mark', async () => {
    const fake = withTools(flow(4000).replace('mark=0', 'mark=16777216') + flow(4001).replace(' mark=0', ''));
    expect(await swept(fake)).toBe(true);
    expect(inserted(fake).map(line => line.slice(line.indexOf(' -t ')))).toEqual([
      ' -t 86400 -m 16777216',
      ' -t 86400',
    ]);
  });

  it.each<[string, string, string]>([
    ['nf_tables', 'nft -f -', 'Error: Could not process rule: Operation not supported'],
    ["conntrack's netlink", LIST, 'conntrack v1.4.7 (conntrack-tools): Operation failed: invalid parameters'],
  ])('are waited for on a kernel without %s, and then their virtual servers go', async (_what, program, stderr) => {
    const fake = withTools(flow(4000));
    fake.programs[program] = { code: 1, stderr };
    fake.files['/proc/net/ip_vs_conn'] = inIpVs(flow(4000), 'ESTABLISHED');
    const sweeping = sweep(fake, OPTIONS, new AbortController().signal);
    await fake.pass(10_000);
    expect(order(fake)).not.toContain('ipvsadm -D -t 10.96.0.11:80');
    fake.files['/proc/net/ip_vs_conn'] = IP_VS_CONN.replace('ESTABLISHED', 'CLOSE');
    expect(await fake.finish(sweeping)).toBe(true);
    expect(order(fake)).toContain('ipvsadm -D -t 10.96.0.11:80');
    expect(inserted(fake)).toEqual([]);
    expect(fake.of('trouble')[0]).toMatchObject({
      what: 'handing connections over',
      error: expect.stringContaining(stderr),
    });
    expect(fake.of('sweep').find(line => line.phase === 'drained')?.detail).toContain('0 established');
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
