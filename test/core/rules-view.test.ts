import { describe, expect, it } from 'vitest';
import { emptyView, observe } from '../../src/core/node-view.ts';
import { parseObservation, type RulesSample } from '../../src/core/observation.ts';

const rule = (name: string, ...endpoints: string[]) => ({ key: `${name}:80/TCP`, endpoints });
let second = 0;
const line = (seq: number, over: Partial<RulesSample> = {}): RulesSample => {
  const began = new Date(Date.UTC(2026, 0, 1) + ++second * 1000).toISOString();
  const whole = { kind: 'rules', t: began, began, mode: 'nftables', seq, full: false, last: true, set: [], gone: [] };
  const parsed = parseObservation(JSON.stringify({ ...whole, ...over }));
  if (parsed?.kind !== 'rules') throw new Error('not a rules line');
  return parsed;
};
const first = (over: Partial<RulesSample> = {}) =>
  line(1, { full: true, set: [rule('a', 'x'), rule('b', 'y')], ...over });
const view = (...lines: RulesSample[]) =>
  lines.reduce((known, next) => observe(known, 'host', next, 0), emptyView('n1'));
const known = (...lines: RulesSample[]) => view(...lines).rules.nftables;

describe('what the rules do', () => {
  it('is what a whole look says', () => {
    const look = first();
    expect(known(look)).toEqual({
      t: look.began,
      rules: new Map([rule('a', 'x'), rule('b', 'y')].map(r => [r.key, r])),
    });
    expect(view(look).rules.iptables).toBeUndefined();
  });

  it('changes by what was set and what is gone', () => {
    const change = line(2, { set: [rule('a', 'x', 'z')], gone: ['b:80/TCP'] });
    const result = known(first(), change);
    expect([...(result?.rules.values() ?? [])]).toEqual([rule('a', 'x', 'z')]);
    expect(result?.t).toBe(change.began);
  });

  it('is confirmed without being copied by a look that saw no change', () => {
    const before = view(first());
    const same = line(1);
    const after = observe(before, 'host', same, 0);
    expect(after.rules.nftables?.t).toBe(same.began);
    expect(after.rules.nftables?.rules).toBe(before.rules.nftables?.rules);
  });

  it('never is half a look', () => {
    const before = view(first());
    const half = observe(before, 'host', line(2, { last: false, set: [rule('c')], gone: ['a:80/TCP'] }), 0);
    expect(half.rules).toEqual(before.rules);
    const whole = observe(half, 'host', line(3, { set: [rule('d')] }), 0);
    expect([...(whole.rules.nftables?.rules.keys() ?? [])]).toEqual(['b:80/TCP', 'c:80/TCP', 'd:80/TCP']);
    expect(before.rules.nftables?.rules.size).toBe(2);
    expect(known(first({ last: false }))).toBeUndefined();
  });

  it.each([
    ['the line of a look was lost', [first(), line(3, { set: [rule('c')] })]],
    ['a look was lost and the next one saw no change', [first(), line(2)]],
    ['the last line of a look was lost', [first(), line(2, { last: false, gone: ['a:80/TCP'] }), line(3)]],
    ['the first line never came', [line(2, { set: [rule('c')] }), line(2)]],
    ['the first look never ended', [first({ last: false }), line(1)]],
    ['the watcher began anew and that was lost', [first(), line(2, { gone: ['a:80/TCP'] }), line(1)]],
  ])('is not known when %s', (_why, lines) => {
    expect(known(...lines)).toBeUndefined();
  });

  it('is known again with the next whole look', () => {
    const lost = [first(), line(3, { gone: ['a:80/TCP'] }), line(4, { set: [rule('c')] })];
    expect(known(...lost)).toBeUndefined();
    expect([...(known(...lost, line(5, { full: true, set: [rule('e')] }))?.rules.keys() ?? [])]).toEqual(['e:80/TCP']);
  });
});
