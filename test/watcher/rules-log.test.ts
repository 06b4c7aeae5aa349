import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyView, observe } from '../../src/core/node-view.ts';
import type { ServiceRule } from '../../src/core/service-rules.ts';
import { Report } from '../../src/watcher/report.ts';
import { RulesLog } from '../../src/watcher/rules-log.ts';
import { FakeNode } from './fake-node.ts';

const rules = (...all: ServiceRule[]) => new Map(all.map(rule => [rule.key, rule]));
const rule = (n: number, endpoints = 1): ServiceRule => ({
  key: `10.96.${n >> 8}.${n & 255}:80/TCP`,
  endpoints: Array.from({ length: endpoints }, (_, i) => `10.244.${i >> 8}.${i & 255}:8080`),
});

/** Container runtimes split longer lines. */
const SPLIT_AT = 16_384;

function log() {
  const fake = new FakeNode();
  const own = new RulesLog(fake, new Report(fake), 'ipvs');
  const print = (all: ReadonlyMap<string, ServiceRule>) => own.print(all, fake.now());
  const known = () => fake.lines.reduce((view, line) => observe(view, 'host', line, 0), emptyView('n')).rules.ipvs;
  return { fake, print, known };
}

describe('rules lines', () => {
  it('say first everything, then what changed', async () => {
    const { fake, print } = log();
    print(rules(rule(1), rule(2), rule(3)));
    await fake.pass(1000);
    print(rules(rule(1), rule(2, 5), rule(4)));
    expect(fake.of('rules')).toMatchObject([
      { mode: 'ipvs', seq: 1, full: true, last: true, set: [rule(1), rule(2), rule(3)], gone: [] },
      { mode: 'ipvs', seq: 2, full: false, last: true, set: [rule(2, 5), rule(4)], gone: [rule(3).key] },
    ]);
  });

  it('say once in 2 s that nothing changed, and everything again after five minutes', async () => {
    const { fake, print, known } = log();
    for (let second = 0; second <= 301; second++) {
      print(rules(rule(1)));
      await fake.pass(1000);
    }
    const lines = fake.of('rules');
    expect(lines.filter(line => line.full).map(line => line.seq)).toEqual([1, 2]);
    const short = lines.filter(line => !line.full);
    expect(short.every(line => line.set.length === 0 && line.gone.length === 0 && line.last)).toBe(true);
    expect(short).toHaveLength(151);
    expect(known()?.t).toBe(lines.at(-1)?.began);
  });

  it('are there for a mode without rules, and for one that lost them', () => {
    const { fake, print, known } = log();
    print(new Map());
    expect(fake.of('rules')).toMatchObject([{ full: true, last: true, set: [], gone: [] }]);
    expect(known()?.rules.size).toBe(0);
    print(rules(rule(1)));
    print(new Map());
    expect(known()?.rules.size).toBe(0);
  });

  it('are cut, but not within a rule', () => {
    const { fake, print, known } = log();
    const all = rules(...Array.from({ length: 2000 }, (_, n) => rule(n, 10)), rule(5000, 8000));
    const lengths: number[] = [];
    const own = fake.print.bind(fake);
    fake.print = line => {
      lengths.push(line.length);
      own(line);
    };
    print(all);
    expect(lengths.length).toBeGreaterThan(5);
    expect(Math.max(...lengths.slice(0, -1))).toBeLessThan(SPLIT_AT);
    expect(fake.of('rules').map(line => line.full)).toEqual(lengths.map((_, index) => index === 0));
    expect(fake.of('rules').map(line => line.last)).toEqual(lengths.map((_, index) => index === lengths.length - 1));
    expect(known()?.rules).toEqual(all);
    lengths.length = 0;
    print(new Map());
    expect(Math.max(...lengths)).toBeLessThan(SPLIT_AT);
    expect(known()?.rules.size).toBe(0);
  });

  it('give the reader what the watcher saw, look after look', () => {
    const some = fc.uniqueArray(fc.tuple(fc.nat(12), fc.nat(3)), { selector: ([n]) => n, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 8 }), looks => {
        const { print, known } = log();
        for (const look of looks) {
          const all = rules(...look.map(([n, endpoints]) => rule(n, endpoints)));
          print(all);
          expect(known()?.rules).toEqual(all);
        }
      }),
    );
  });

  it('give the reader what the watcher saw or nothing, whichever lines are lost', () => {
    const looks = [[1, 2, 3], [1, 2], [1, 2, 4], [1, 2, 4], [5]].map(look => rules(...look.map(n => rule(n))));
    fc.assert(
      fc.property(fc.subarray([0, 1, 2, 3, 4]), kept => {
        const { fake, print } = log();
        for (const look of looks) print(look);
        let view = emptyView('n');
        for (const index of kept) {
          const line = fake.lines[index];
          if (line) view = observe(view, 'host', line, 0);
          const known = view.rules.ipvs;
          if (known) expect(known.rules).toEqual(looks[index]);
        }
      }),
    );
  });
});
