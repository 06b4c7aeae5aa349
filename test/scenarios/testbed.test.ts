import { describe, expect, it } from 'vitest';
import { columns } from './columns.ts';
import { lostBeyond, type Witnessed } from './testbed.ts';

const SEEN: Witnessed = {
  tcp: 1000,
  tcpFailed: 0,
  udp: 400,
  udpFailed: 0,
  keptBroken: 0,
  blind: 0,
  losses: ['one: x'],
};
const NOISE = { share: 0.005, kept: 1, blind: 0 };

describe('what was lost beyond the noise', () => {
  it.each<[string, Partial<Witnessed>, string[]]>([
    ['nothing', {}, []],
    ['as much as the noise', { tcpFailed: 5, udpFailed: 2, keptBroken: 1 }, []],
    ['more TCP', { tcpFailed: 6 }, ['6 TCP connections failed, 5 are allowed', 'one: x']],
    ['more UDP', { udpFailed: 3 }, ['3 UDP exchanges failed, 2 are allowed', 'one: x']],
    ['more kept', { keptBroken: 2 }, ['2 kept connections broke, 1 are allowed', 'one: x']],
    ['no result', { blind: 1 }, ['1 stretches brought no result, 0 are allowed', 'one: x']],
    ['hardly anything tried', { tcp: 50 }, ['only 50 TCP connections were tried']],
  ])('%s', (_what, more, lines) => {
    expect(lostBeyond({ ...SEEN, ...more }, NOISE)).toEqual(lines);
  });

  it('allows twice what a fault costs by itself', () => {
    const cost = { ...SEEN, tcpFailed: 10, udpFailed: 4, keptBroken: 2 };
    const lost = { ...SEEN, tcpFailed: 25, udpFailed: 10, keptBroken: 5 };
    expect(lostBeyond(lost, NOISE, cost)).toEqual([]);
    expect(lostBeyond({ ...lost, tcpFailed: 26 }, NOISE, cost)).toHaveLength(2);
  });
});

describe('columns', () => {
  it('stand figures right and words left', () => {
    const rows = [
      ['one', '5', '0 of 12'],
      ['a longer one', '1200', ''],
    ];
    expect(columns(['', 'n', 'past'], rows)).toEqual([
      '                 n     past',
      'one              5  0 of 12',
      'a longer one  1200',
    ]);
  });
});
