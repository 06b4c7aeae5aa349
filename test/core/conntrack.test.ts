import { describe, expect, it } from 'vitest';
import { addSample, advice, configuredSize, forecast, lossesBetween, lowersSize } from '../../src/core/conntrack.ts';
import type { ConntrackSample } from '../../src/core/observation.ts';
import { conntrackSample, NOW } from '../gates/looks.ts';

/** A sample a second with these counts, the last one now. */
const series = (counts: readonly number[]): ConntrackSample[] =>
  counts.map((count, i) => conntrackSample({ count, t: new Date(NOW - (counts.length - 1 - i) * 1000).toISOString() }));

describe('history', () => {
  it('is bounded, and keeps the first sample and the last', () => {
    const all = series(Array.from({ length: 1000 }, (_, i) => i));
    const history = all.reduce<ConntrackSample[]>(addSample, []);
    expect(history.length).toBeLessThanOrEqual(120);
    expect(history.length).toBeGreaterThan(50);
    expect([history[0]?.count, history.at(-1)?.count]).toEqual([0, 999]);
    expect(history.map(s => s.t)).toEqual(history.map(s => s.t).toSorted());
  });
});

describe('forecast', () => {
  const rising = (seconds: number, rate: number) =>
    series(Array.from({ length: seconds + 1 }, (_, i) => 1000 + i * rate));

  it('tells when the limit is reached', () => {
    expect(forecast(rising(30, 100), 10_000)).toEqual({ kind: 'rises', seconds: 60, rate: expect.closeTo(100) });
  });

  it('says nothing on too little', () => {
    expect(forecast(rising(19, 100), 10_000)).toEqual({ kind: 'none', samples: 20, seconds: 19 });
    expect(
      forecast(
        [...rising(40, 100)].filter((_, i) => i % 10 === 0),
        10_000,
      ),
    ).toMatchObject({ kind: 'none' });
    expect(forecast([], 10_000)).toEqual({ kind: 'none', samples: 0, seconds: 0 });
  });

  it('does not take what levels off or falls for a rise', () => {
    const up = Array.from({ length: 15 }, (_, i) => i * 200);
    expect(forecast(series([...up, ...Array(20).fill(3000)]), 10_000)).toMatchObject({ kind: 'level' });
    expect(forecast(rising(30, -10), 10_000)).toEqual({ kind: 'level' });
    expect(forecast(rising(30, 0), 10_000)).toEqual({ kind: 'level' });
  });

  it('is not deceived by one spike', () => {
    const flat = Array<number>(30).fill(1000);
    flat[28] = 1060;
    const seen = forecast(series(flat), 90_000);
    expect(seen.kind === 'rises' ? seen.seconds : Number.POSITIVE_INFINITY).toBeGreaterThan(24 * 3600);
  });
});

describe('losses', () => {
  it('a failed insertion counts as a drop in the kernel; only the rest is want of room', () => {
    const before = conntrackSample({ drop: 10, insertFailed: 5, earlyDrop: 1 });
    const losses = lossesBetween(before, conntrackSample({ drop: 17, insertFailed: 9, earlyDrop: 3 }));
    expect(losses).toEqual({ room: 3, evicted: 2, notInserted: 4 });
  });

  it('are not known where a counter was not read or began anew', () => {
    expect(lossesBetween(conntrackSample(), conntrackSample({ earlyDrop: null }))).toBeUndefined();
    expect(lossesBetween(conntrackSample({ drop: null }), conntrackSample())).toBeUndefined();
    expect(lossesBetween(conntrackSample({ drop: 5 }), conntrackSample({ drop: 1 }))).toBeUndefined();
  });
});

describe('the size that kube-proxy sets', () => {
  it.each([
    ['the defaults on a small node', {}, 2, 131_072],
    ['the defaults on a large one', {}, 32, 1_048_576],
    ['never more by its cores', {}, 64, 1_048_576],
    ['by its cores, whatever the floor', { conntrack: { min: 3_000_000 } }, 64, 1_048_576],
    ['the floor alone may be higher', { conntrack: { min: 3_000_000 } }, 8, 3_000_000],
    ['nothing given, as kubeadm writes it', { conntrack: { maxPerCore: null, min: null } }, 8, 262_144],
    ['the floor wins', { conntrack: { maxPerCore: 1000, min: 50_000 } }, 4, 50_000],
    ['it is left alone', { conntrack: { maxPerCore: 0, min: 500_000 } }, 4, undefined],
    ['the cores are not known', {}, null, undefined],
    ['odd shapes', { conntrack: 'x' }, 4, 131_072],
  ])('%s', (_, config, cores, size) => {
    expect(configuredSize(config, cores)).toBe(size);
  });

  it('has no limit before 1.36', () => {
    expect(configuredSize({}, 64, [1, 35])).toBe(2_097_152);
    expect(configuredSize({ conntrack: { min: 3_000_000 } }, 64, [1, 35])).toBe(3_000_000);
    expect(configuredSize({}, 64, [1, 36])).toBe(1_048_576);
  });

  it.each([
    [[1, 22], true],
    [[1, 23], false],
    [[1, 28], false],
    [[1, 29], true],
    [[1, 37], true],
    [[1, 38], false],
    [undefined, true],
  ])('makes a larger table smaller in %j: %s', (version, lowers) => {
    expect(lowersSize(version)).toBe(lowers);
  });
});

describe('advice', () => {
  it('names sysctl, buckets and options in figures', () => {
    expect(advice(140_000, 4)).toBe(
      "on the node: sysctl -w net.netfilter.nf_conntrack_max=327680 net.netfilter.nf_conntrack_buckets=81920; in kube-proxy's configuration, so that its next start keeps it: conntrack.min: 327680 or conntrack.maxPerCore: 81920 (the node has 4 cores)",
    );
  });
  it('leaves a table alone that is larger than what cores may ask for', () => {
    expect(advice(1_000_000, 64, 2_097_152)).toMatch(
      /nf_conntrack_max=2097152 .*conntrack\.maxPerCore: 0, which leaves the size to the node$/,
    );
    expect(advice(1_000_000, 64, 2_097_152, [1, 35])).toMatch(
      /conntrack\.min: 2097152 or conntrack\.maxPerCore: 32768/,
    );
  });
  it('never asks for less than there was, nor for figures it does not have', () => {
    expect(advice(10, null, 262_144)).toMatch(/nf_conntrack_max=262144 .*conntrack\.min: 262144$/);
  });
});
