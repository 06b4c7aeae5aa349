// Who holds the Lease: over a store that answers at once, on time that only passes when somebody sleeps.
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import type { Cluster, KubeObject } from '../../src/core/cluster.ts';
import { takeLease } from '../../src/run/lease.ts';
import { applyJsonPatch } from '../../src/sim/json-patch.ts';

/** One Lease, held by `holder`; what sleeps do to it is `meanwhile`'s. */
function world(holder: string, meanwhile: (lease: KubeObject, ms: number) => void = () => {}) {
  let time = 0;
  let lease: KubeObject = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'proxyctl', namespace: 'proxyctl', uid: 'u1', resourceVersion: '1' },
    spec: { holderIdentity: holder, leaseDurationSeconds: 15, leaseTransitions: 4, renewTime: '0' },
  };
  const clock: Clock = {
    now: () => time,
    monotonic: () => time,
    async sleep(ms) {
      time += ms;
      meanwhile(lease, time);
    },
  };
  const cluster = {
    get: async () => structuredClone(lease),
    patch: async (_ref: unknown, ops: unknown) => (lease = applyJsonPatch(lease, ops)),
  } as unknown as Cluster;
  return { clock, cluster, holder: () => lease.spec.holderIdentity };
}

describe('the Lease', () => {
  it('is free again after who had it from a holder that gave it up while it was watched', async () => {
    const { clock, cluster, holder } = world('first', (lease, ms) => {
      if (ms > 2000) lease.spec.holderIdentity = '';
    });
    const held = await takeLease(cluster, clock, { holder: 'second' });
    expect([held.takenOver, held.epoch, holder()]).toEqual([false, 5, 'second']);
    await held.release();
    expect(holder()).toBe('');
  });

  it('is left to grow stale by who took it from a holder that did not answer, until all is sealed', async () => {
    const { clock, cluster, holder } = world('first');
    const held = await takeLease(cluster, clock, { holder: 'second' });
    expect(held.takenOver).toBe(true);
    await held.release();
    expect(holder()).toBe('second');
    held.sealed();
    await held.release();
    expect(holder()).toBe('');
  });

  it('is refused while its holder renews it', async () => {
    const { clock, cluster } = world('first', (lease, ms) => {
      lease.spec.renewTime = String(ms);
    });
    await expect(takeLease(cluster, clock, { holder: 'second' })).rejects.toMatchObject({ exitCode: 25 });
  });
});
