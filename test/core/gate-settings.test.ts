import { describe, expect, it } from 'vitest';
import { defineGate, type Finding, type Judgement, type Verdict } from '../../src/core/gate.ts';
import { configuredGates, onRedOf, settingsMistake } from '../../src/core/gate-settings.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { GATES, runGates } from '../../src/gates/index.ts';
import { look } from '../gates/looks.ts';

const playbook = (gates: object) => Playbook.parse({ gates });

function gate(id: string, findings: Finding[]) {
  return defineGate({
    id,
    title: id,
    hint: '',
    moments: ['before-node', 'after-node'],
    observe: () => findings,
    judge: seen => ({ findings: seen, summary: '' }),
  });
}

const bad: Finding = { level: 'error', subject: 's', message: 'is bad' };
const unseen: Finding = { level: 'inconclusive', subject: 's', message: 'is not seen' };

describe('configuredGates', () => {
  const gates = [gate('a', [bad]), gate('b', [unseen])];
  const judged = async (settings: object) =>
    (await runGates(configuredGates(gates, playbook({ settings })), look('after-node'))).map(j => [j.gate, j.verdict]);

  it('leaves alone what the playbook does not name', async () => {
    expect(configuredGates(gates, playbook({}))).toEqual(gates);
    expect(await judged({})).toEqual([
      ['a', 'fail'],
      ['b', 'inconclusive'],
    ]);
  });

  it('does not ask a gate that is switched off, or not at that moment', async () => {
    expect(await judged({ a: { enabled: false } })).toEqual([['b', 'inconclusive']]);
    expect(await judged({ a: { moments: ['before-node'] }, b: { moments: ['after-node'] } })).toEqual([
      ['b', 'inconclusive'],
    ]);
  });

  it('does not ask outside when nobody is to be asked there', () => {
    const ids = (given: object) => configuredGates(GATES, playbook(given)).map(g => g.id);
    expect(ids({})).not.toContain('hook');
    expect(ids({})).not.toContain('prometheus');
    expect(ids({ hooks: [{ name: 'a', command: ['b'] }] })).toContain('hook');
    expect(ids({ prometheus: { url: 'https://x', queries: [{ name: 'a', query: 'b', max: 1 }] } })).toContain(
      'prometheus',
    );
  });

  it('names what a gate finds that only warns, and lets pass', async () => {
    const asked = configuredGates(
      gates,
      playbook({ settings: { a: { severity: 'warning' }, b: { severity: 'warning' } } }),
    );
    const judgements = await runGates(asked, look('after-node'));
    expect(judgements.map(j => j.verdict)).toEqual(['pass', 'pass']);
    expect(judgements.flatMap(j => j.findings)).toEqual([
      { level: 'warning', subject: 's', message: 'is bad (only warns)' },
      { level: 'warning', subject: 's', message: 'is not seen (only warns)' },
    ]);
  });
});

describe('onRedOf', () => {
  const said = (id: string, verdict: Verdict): Judgement => ({
    gate: id,
    title: '',
    hint: '',
    verdict,
    findings: [],
    summary: '',
  });
  const settings = { a: { onRed: 'halt' }, b: { onRed: 'batch' }, c: { onRed: 'run' } };

  it.each([
    ['the default', {}, [said('a', 'fail')], 'node'],
    ['the playbook’s own default', { onRed: 'run' }, [said('a', 'fail')], 'run'],
    ['the gate’s own answer', { onRed: 'run', settings }, [said('a', 'fail')], 'halt'],
    ['the most far-reaching of those that failed', { settings }, [said('b', 'fail'), said('d', 'fail')], 'batch'],
    ['not of those that could not see', { settings }, [said('c', 'inconclusive'), said('b', 'fail')], 'batch'],
    ['nothing failed', { onRed: 'run', settings }, [said('c', 'inconclusive'), said('a', 'pass')], 'halt'],
  ])('%s', (_, gates, judgements, answer) => {
    expect(onRedOf(judgements, playbook(gates))).toBe(answer);
  });
});

describe('settingsMistake', () => {
  const mistake = (settings: object) => settingsMistake(GATES, playbook({ settings }))?.message;

  it('knows every gate of the registry', () => {
    expect(
      mistake(Object.fromEntries(GATES.map(g => [g.id, { moments: [g.moments[0]] }]).slice(0, 3))),
    ).toBeUndefined();
    expect(mistake(Object.fromEntries(GATES.map(g => [g.id, { onRed: 'run' }])))).toBeUndefined();
  });

  it('names the gates there are', () => {
    const ids = GATES.map(g => g.id).join(', ');
    expect(mistake({ contrack: {} })).toBe(`is no gate; there are ${ids}`);
    const accept = Playbook.parse({ preflight: { accept: ['driver', 'nope'] } });
    expect(settingsMistake(GATES, accept)).toEqual({
      path: ['preflight', 'accept', 1],
      atKey: false,
      message: `is no gate; there are ${ids}`,
    });
  });

  it('refuses moments that a gate does not have', () => {
    expect(mistake({ residue: { moments: ['after-node', 'preflight'] } })).toMatch(
      /is no moment of this gate; it has after-node, verify$/,
    );
  });

  it.each(['effective-mode', 'convergence', 'kernel-rules'])('does not let %s be taken away', id => {
    for (const settings of [{ enabled: false }, { severity: 'warning' }, { moments: ['prove'] }]) {
      expect(mistake({ [id]: settings })).toMatch(/cannot be taken away/);
    }
    expect(mistake({ [id]: { onRed: 'run' } })).toBeUndefined();
  });
});
