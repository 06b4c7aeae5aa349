// When gates are asked, and for how long, by a clock that only the test moves.
import { describe, expect, it } from 'vitest';
import type { Finding, Gate, Judgement, Look, Verdict } from '../../src/core/gate.ts';
import type { NewEvent } from '../../src/core/journal.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { runGates } from '../../src/gates/index.ts';
import { rememberAll } from '../../src/run/ask-gates.ts';
import { type Engine, judgeUntilPassed, Red } from '../../src/run/engine.ts';
import { look } from '../gates/looks.ts';

interface Scripted {
  id: string;
  /** What it says at a time, s. */
  says: (at: number) => Verdict;
  standsFor?: number;
  patience?: number;
  /** Seconds that an answer takes. */
  takes?: number;
}

const LEVELS = { pass: [], fail: ['error'], inconclusive: ['inconclusive'] } as const;

function bench(scripts: Scripted[]) {
  let now = 0;
  const asked: [id: string, at: number][] = [];
  const events: NewEvent[] = [];
  const gates = scripts.map(({ id, says, standsFor, patience, takes = 0 }): Gate => {
    const ask = async (): Promise<Judgement> => {
      asked.push([id, now / 1000]);
      const verdict = says(now / 1000);
      now += takes * 1000;
      const findings = LEVELS[verdict].map((level): Finding => ({ level, subject: 'cluster', message: 'is so' }));
      return { gate: id, title: id, hint: '', verdict, findings, summary: '' };
    };
    return {
      id,
      title: id,
      hint: '',
      moments: ['after-batch'],
      ...(standsFor === undefined ? {} : { standsFor }),
      ...(patience === undefined ? {} : { patience: () => patience }),
      look: ask,
    };
  });
  const clock = {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms: number) => {
      now += ms;
    },
  };
  const engine = {
    gates,
    runGates,
    journal: { run: 'r', append: (event: NewEvent) => events.push(event), subscribe() {} },
    run: { clock, signal: new AbortController().signal, plan: { playbook: Playbook.parse({}) } },
  } as unknown as Engine;
  const options = {
    moment: 'after-batch' as const,
    gates,
    look: (): Look => look('after-batch'),
    settle: 20,
    patience: 60,
  };
  const times = (id: string) => asked.filter(([gate]) => gate === id).map(([, at]) => at);
  return { engine, options, times, events, seconds: () => now / 1000, run: () => judgeUntilPassed(engine, options) };
}

const pass = () => 'pass' as const;

describe('judgeUntilPassed', () => {
  it('asks dear gates once the others pass, and not again while their word stands', async () => {
    const bed = bench([
      { id: 'cheap', says: at => (at < 3 ? 'inconclusive' : 'pass') },
      { id: 'dear', says: at => (at < 12 ? 'fail' : 'pass'), standsFor: 5 },
    ]);
    const judgements = await bed.run();
    expect(judgements.map(j => [j.gate, j.verdict])).toEqual([
      ['cheap', 'pass'],
      ['dear', 'pass'],
    ]);
    expect(bed.times('dear').map(Math.round)).toEqual([3, 8, 13]);
    expect(bed.times('cheap').length).toBeGreaterThan(50);
  });

  it('a cheap gate is asked again when the others took so long that its word is old', async () => {
    const bed = bench([
      { id: 'watched', says: at => (at < 10 ? 'pass' : 'fail') },
      { id: 'slow', says: pass, takes: 20 },
    ]);
    await expect(bed.run()).rejects.toThrow(Red);
    expect(bed.times('watched').slice(0, 2)).toEqual([0, 20]);
  });

  it('a dear gate that stays red counts after the time to settle', async () => {
    const bed = bench([
      { id: 'cheap', says: pass },
      { id: 'dear', says: () => 'fail', standsFor: 5 },
    ]);
    const red = await bed.run().catch((error: unknown) => error);
    expect(red).toBeInstanceOf(Red);
    expect((red as Red).judgements.map(j => j.verdict)).toEqual(['pass', 'fail']);
    expect((red as Red).moment).toBe('after-batch');
    expect(bed.seconds()).toBeCloseTo(20, 0);
  });

  it('red while kube-proxy starts does not count, and then takes the whole time to settle', async () => {
    const starts = (at: number) => (at < 50 ? 'inconclusive' : 'pass');
    const mended = bench([
      { id: 'convergence', says: starts },
      { id: 'residue', says: at => (at < 60 ? 'fail' : 'pass') },
    ]);
    await mended.run();
    expect(mended.seconds()).toBeCloseTo(60, 0);
    const stays = bench([
      { id: 'convergence', says: starts },
      { id: 'residue', says: () => 'fail' },
    ]);
    await expect(stays.run()).rejects.toBeInstanceOf(Red);
    expect(stays.seconds()).toBeCloseTo(60, 0);
  });

  it('asks the cheap ones again when the dear ones took long', async () => {
    const bed = bench([
      { id: 'cheap', says: at => (at > 5 && at < 40 ? 'fail' : 'pass') },
      { id: 'dear', says: pass, standsFor: 5, takes: 10 },
    ]);
    const red = await bed.run().catch((error: unknown) => error);
    expect(red).toBeInstanceOf(Red);
    expect((red as Red).judgements.map(j => j.verdict)).toEqual(['fail', 'pass']);
  });

  it('waits longer for a gate with a patience of its own; the others’ time begins anew after it', async () => {
    const bed = bench([
      { id: 'other', says: at => (at > 500 && at < 550 ? 'inconclusive' : 'pass') },
      { id: 'patient', says: at => (at < 510 ? 'inconclusive' : 'pass'), patience: 600 },
    ]);
    await bed.run();
    expect(bed.seconds()).toBeCloseTo(550, 0);
    expect(bed.events.find(e => e.event === 'waiting')).toMatchObject({ for: 'patient: cluster is so' });
  });

  it.each([
    [30, 30],
    [undefined, 60],
  ])('gives up after a patience of %s s', async (patience, seconds) => {
    const bed = bench([{ id: 'a', says: () => 'inconclusive', ...(patience === undefined ? {} : { patience }) }]);
    await expect(bed.run()).rejects.toBeInstanceOf(Red);
    expect(bed.seconds()).toBeCloseTo(seconds, 0);
  });
});

describe('rememberAll', () => {
  it('keeps what gates saw, and says which saw nothing', async () => {
    const bed = bench([{ id: 'plain', says: pass }]);
    const gates: Gate[] = [
      ...bed.options.gates,
      { ...(bed.options.gates[0] as Gate), id: 'sees', remember: async () => 7 },
      { ...(bed.options.gates[0] as Gate), id: 'blind', remember: () => Promise.reject(new Error('no answer')) },
    ];
    expect(await rememberAll(bed.engine, { ...bed.options, gates })).toEqual(new Map([['sees', 7]]));
    expect(bed.events).toEqual([{ event: 'note', text: 'gate blind has nothing to compare with: no answer' }]);
  });
});
