import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinedRanges } from '../../src/core/ip-ranges.ts';

describe('ranges of addresses', () => {
  it.each([
    [['198.51.100.0/24'], ['198.51.100.0/24']],
    [
      [' 198.51.100.7 ', '10.1.2.3/8'],
      ['10.0.0.0/8', '198.51.100.7/32'],
    ],
    [['10.0.0.0/25', '10.0.0.128/25', '10.0.0.9/32'], ['10.0.0.0/24']],
    [['10.0.0.1-10.0.0.4'], ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/32']],
    [
      ['fd00::1/64', '10.0.0.0/8'],
      ['10.0.0.0/8', 'fd00::/64'],
    ],
    [['FD00:0:0:0::5', 'fd00::4'], ['fd00::4/127']],
    [
      ['0.0.0.0/0', '::/0', '1.1.1.1'],
      ['0.0.0.0/0', '::/0'],
    ],
    [[], []],
  ])('%j are %j', (texts, expected) => {
    expect(joinedRanges(texts)).toEqual(expected);
  });

  it.each(['', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0', 'fd00::/129', 'fd00:::1', 'a.b.c.d', '10.0.0.256', '1::2::3'])(
    'refuse %j',
    text => {
      expect(() => joinedRanges([text])).toThrow(/^no /);
    },
  );

  it('hold the same addresses as what they were made of, in whatever order', () => {
    const cidr = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 24, max: 32 }));
    const contains = (ranges: readonly string[], last: number) =>
      ranges.some(range => {
        const [address = '', length] = range.split('/');
        const size = 2 ** (32 - Number(length));
        return Math.floor(Number(address.split('.')[3]) / size) === Math.floor(last / size);
      });
    fc.assert(
      fc.property(fc.array(cidr, { maxLength: 8 }), given => {
        const texts = given.map(([last, length]) => `10.0.0.${last}/${length}`);
        const result = joinedRanges(texts);
        expect(joinedRanges(texts.toReversed())).toEqual(result);
        expect(joinedRanges(result)).toEqual(result);
        for (let last = 0; last < 256; last++) expect(contains(result, last)).toBe(contains(texts, last));
      }),
      { numRuns: 50 },
    );
  });
});
