import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import type { KubeObject } from '../../src/core/cluster.ts';
import { PodWillNotStart } from '../../src/core/errors.ts';
import type { NewEvent } from '../../src/core/journal.ts';
import { waiter } from '../../src/run/engine.ts';
import { Troubles } from '../../src/run/troubles.ts';

const pod = (reason: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'n' },
  spec: {},
  status: { phase: 'Pending', containerStatuses: [{ state: { waiting: { reason } }, restartCount: 1 }] },
});
const well: KubeObject = { ...pod(''), status: { phase: 'Running', containerStatuses: [{ state: { running: {} } }] } };

describe('troubles', () => {
  it('are hopeless once the same kind has lasted', () => {
    const troubles = new Troubles();
    troubles.see(pod('ErrImagePull'), 0);
    troubles.see(pod('ImagePullBackOff'), 40_000);
    expect(troubles.isHopeless(45_000)).toBe(false);
    expect(troubles.isHopeless(45_001)).toBe(true);
    troubles.see(pod('CrashLoopBackOff'), 46_000);
    expect(troubles.isHopeless(46_000)).toBe(false);
  });

  it('of a container that runs for moments between its crashes are one', () => {
    const troubles = new Troubles();
    troubles.see(pod('CrashLoopBackOff'), 0);
    troubles.see(well, 9_000);
    troubles.see(pod('CrashLoopBackOff'), 18_000);
    troubles.see(well, 20_000);
    troubles.see(pod('CrashLoopBackOff'), 31_000);
    expect(troubles.isHopeless(31_000)).toBe(true);
  });

  it('are over when they are not seen any more', () => {
    const troubles = new Troubles();
    troubles.see(pod('ImagePullBackOff'), 0);
    troubles.see(well, 11_000);
    expect([troubles.text, troubles.isHopeless(100_000)]).toEqual([undefined, false]);
  });

  it('are told once each; that a pod is being created is told late, and is never hopeless', () => {
    const troubles = new Troubles();
    troubles.see(pod('ContainerCreating'), 0);
    expect(troubles.news(14_000)).toBeUndefined();
    expect(troubles.news(15_000)).toContain('still ContainerCreating');
    expect(troubles.news(16_000)).toBeUndefined();
    expect(troubles.isHopeless(1e9)).toBe(false);
    troubles.see(pod('ErrImagePull'), 17_000);
    // Another pod of the same wait.
    troubles.see(pod('ContainerCreating'), 17_000);
    expect(troubles.news(17_000)).toContain('ErrImagePull');
  });
});

describe('waiting for a pod', () => {
  const start = (seenAt: (now: number) => KubeObject | undefined, seconds: number) => {
    let now = 0;
    const told: string[] = [];
    const clock: Clock = {
      now: () => now,
      monotonic: () => now,
      sleep: async ms => {
        now += ms;
      },
    };
    const journal = { append: (event: NewEvent) => void (event.event === 'waiting' && told.push(event.for)) };
    const wait = waiter(journal, clock, new AbortController().signal)<string>('the pod', seconds, async seen => {
      seen(seenAt(now));
      return seenAt(now) === well ? 'runs' : undefined;
    });
    return { wait, told, now: () => now };
  };

  it('says why it does not start, and gives up early', async () => {
    const { wait, told, now } = start(() => pod('ImagePullBackOff'), 300);
    await expect(wait).rejects.toThrow(PodWillNotStart);
    await expect(wait).rejects.toThrow(
      /^gave up waiting for the pod: pod n\/p: ImagePullBackOff; see 'proxyctl status'/,
    );
    expect(told).toEqual(['the pod', 'the pod: pod n/p: ImagePullBackOff']);
    expect(now()).toBeLessThan(50_000);
  });

  it('goes on when the trouble is over in time', async () => {
    const { wait, told } = start(now => (now < 20_000 ? pod('ErrImagePull') : well), 300);
    await expect(wait).resolves.toBe('runs');
    expect(told).toHaveLength(2);
  });

  it('says what it was when time is up', async () => {
    const { wait } = start(() => pod('ContainerCreating'), 60);
    await expect(wait).rejects.toThrow(/^waited 60 s for the pod: pod n\/p: still ContainerCreating/);
  });
});
