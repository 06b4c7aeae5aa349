import { describe, expect, it } from 'vitest';
import { CONNTRACK_STAT, conntrackStat, lookAtConntrack, toolStat } from '../../src/watcher/conntrack.ts';
import { FakeNode } from './fake-node.ts';

const STAT = `entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000003 00000000 0000000a 00000010 00000001 00000000
0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000003 00000000 00000001 00000001 00000001 00000000
`;
const TOOL = `cpu=0   \tfound=4 invalid=0 insert=0 insert_failed=10 drop=16 early_drop=1 error=0 search_restart=2
cpu=1   \tfound=0 invalid=0 insert=0 insert_failed=1 drop=1 early_drop=1 error=0 search_restart=0
`;
const SUMS = { drop: 17, earlyDrop: 2, insertFailed: 11 };

function node(): FakeNode {
  const fake = new FakeNode();
  fake.files['/proc/sys/net/netfilter/nf_conntrack_count'] = '120\n';
  fake.files['/proc/sys/net/netfilter/nf_conntrack_max'] = '262144\n';
  fake.files['/sys/devices/system/cpu/online'] = '0\n';
  fake.files[CONNTRACK_STAT] = STAT;
  return fake;
}

describe('the connection table', () => {
  it('is read from /proc', async () => {
    const counts = { count: 120, max: 262_144, cores: 1, ...SUMS };
    expect(await lookAtConntrack(node())).toEqual({ counts, troubles: [] });
  });

  it('is asked of the kernel where /proc has no counters', async () => {
    const fake = node();
    delete fake.files[CONNTRACK_STAT];
    fake.programs['conntrack -S'] = { stdout: TOOL };
    expect(await lookAtConntrack(fake)).toMatchObject({ counts: SUMS, troubles: [] });
  });

  it('has no counters rather than zeros where nobody tells them', async () => {
    const fake = node();
    delete fake.files[CONNTRACK_STAT];
    const { counts, troubles } = await lookAtConntrack(fake);
    expect(counts).toMatchObject({ count: 120, drop: null, earlyDrop: null, insertFailed: null });
    expect(troubles.map(([what]) => what)).toEqual([CONNTRACK_STAT]);
  });

  it.each([
    ['a column is missing', STAT.replace('early_drop', 'x')],
    ['a line ends early', STAT.trimEnd().slice(0, -20)],
    ['there is no line', STAT.split('\n')[0] ?? ''],
    ['the file is empty', ''],
  ])('half a table is none: %s', (_, text) => {
    expect(() => conntrackStat(text)).toThrow(/is not there for every processor/);
  });

  it('half an answer is none', () => {
    expect(() => toolStat(TOOL.replace('early_drop=1', ''))).toThrow(/early_drop/);
    expect(() => toolStat('')).toThrow(/drop/);
  });

  it('rejects when count or maximum are not there', async () => {
    const fake = node();
    delete fake.files['/proc/sys/net/netfilter/nf_conntrack_max'];
    await expect(lookAtConntrack(fake)).rejects.toThrow(/ENOENT/);
  });

  it('does without the number of processors', async () => {
    const fake = node();
    delete fake.files['/sys/devices/system/cpu/online'];
    expect(await lookAtConntrack(fake)).toMatchObject({ counts: { cores: null, ...SUMS } });
  });
});
