import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { NewEvent } from '../../src/core/journal.ts';
import { controlOf, doingOf, freshControl, lineText, stateLine } from '../../src/core/steering.ts';

const lease = (annotations?: Record<string, string>): KubeObject => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'proxyctl', ...(annotations ? { annotations } : {}) },
});
const wish = { by: 'ann@host', at: '2026-01-02T03:04:05Z' };

describe('what operators want', () => {
  it.each([undefined, lease(), lease({ other: '{}' })])('is nothing where nothing stands', given => {
    expect(controlOf(given)).toEqual({ change: 0 });
  });

  it.each(['', 'pause', '{}', '{"change":"1"}', '{"change":1,"pause":{"by":1}}'])(
    'is a pause where it cannot be read: %s',
    text => {
      expect(controlOf(lease({ 'proxyctl.dev/control': text })).pause?.by).toContain('cannot read');
    },
  );

  it('is for the runner that it was said to, but for what is to be changed', () => {
    const adjust = { ...wish, services: 5 };
    expect(freshControl({ change: 7, pause: wish, abort: wish, adjust })).toEqual({ change: 8, adjust });
  });
});

it('what a runner of another version does is not known', () => {
  expect(doingOf(lease({ 'proxyctl.dev/doing': '{"text":1}' }))).toBeUndefined();
});

describe('the state line', () => {
  const lineAfter = (...events: NewEvent[]) => {
    let line = { where: '', text: '', since: '' };
    for (const [i, event] of events.entries())
      line = stateLine(line, { t: `2026-01-02T03:04:0${i}.000Z`, run: 'r1', ...event });
    return line;
  };
  const step = { event: 'step-intended', batch: 'batch-2', node: 'n7', step: 'prove', to: 'nftables' } as const;
  const waits = (what: string) => ({ event: 'waiting', node: 'n7', for: what }) as const;

  it('names the step and what it waits for, since when that is so', () => {
    const line = lineAfter(step, waits('convergence: not yet'), waits('convergence: not yet'), {
      event: 'note',
      text: 'x',
    });
    expect(lineText(line)).toBe('batch-2 n7: prove, waits for convergence: not yet');
    expect(line.since).toBe('2026-01-02T03:04:01.000Z');
  });

  it('says that a way back is rehearsed for as long as it is', () => {
    const at = { batch: 'batch-1', node: 'n7' };
    const begun = { event: 'rehearsal-started', ...at } as const;
    const back = { ...step, ...at, to: 'iptables' } as const;
    expect(lineText(lineAfter(begun, back, waits('a pod')))).toBe(
      'batch-1 n7 (way back, rehearsed): prove, waits for a pod',
    );
    const proven = { event: 'rehearsal-done', ...at, seconds: 9 } as const;
    expect(lineText(lineAfter(begun, back, proven))).toBe('batch-1: n7 is proven to have a way back');
    expect(lineText(lineAfter(begun, back, proven, back))).toBe('batch-1 n7: prove');
    expect(lineText(lineAfter(begun, { ...back, node: 'n8' }))).toBe('batch-1 n8: prove');
  });

  it('does not pile up what was waited for before', () => {
    expect(lineText(lineAfter(step, waits('one'), waits('two')))).toBe('batch-2 n7: prove, waits for two');
    expect(lineText(lineAfter({ event: 'run-closed', outcome: 'stopped', reason: 'enough', next: '' }))).toBe(
      'stopped: enough',
    );
  });
});
