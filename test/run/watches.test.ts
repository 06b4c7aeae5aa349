// Watchers that could not be started once: nothing of them stays, and whoever needs them later has others.
import { expect, it } from 'vitest';
import type { Cluster, KubeObject, Ref } from '../../src/core/cluster.ts';
import type { Runner } from '../../src/core/driver.ts';
import { realClock } from '../../src/run/clock.ts';
import { Watches } from '../../src/run/watches.ts';
import { makeInventory, makeNode } from '../core/cluster-data.ts';

it('that could not be started are taken away, and others are started when they are needed', async () => {
  const pods = new Set<string>();
  let full = true;
  const cluster = {
    get: async () => undefined,
    create: async (object: KubeObject) => {
      if (object.kind !== 'Pod') throw new Error('no Services here');
      if (full && object.metadata.name.startsWith('watch-pod')) throw new Error('exceeded quota');
      pods.add(object.metadata.name);
      return { ...object, metadata: { ...object.metadata, uid: object.metadata.name } };
    },
    delete: async ({ name }: Ref) => void pods.delete(name),
    followLog: (_pod: unknown, _onLine: unknown, signal: AbortSignal) =>
      new Promise<void>(resolve => signal.addEventListener('abort', () => resolve())),
  } as unknown as Cluster;
  const run = { id: 'r-1', cluster, clock: realClock } as unknown as Runner;
  const inventory = makeInventory([makeNode('worker-1')], []);
  const notes: unknown[] = [];
  const journal = { append: (event: unknown) => void notes.push(event) };
  const watches = new Watches({ run, inventory, proxyConfig: {}, watcherImage: 'w', journal });
  await expect(watches.of('worker-1')).rejects.toThrow('exceeded quota');
  expect([...pods]).toEqual(['watch-host-worker-1']);
  full = false;
  await watches.alive('worker-1');
  expect([...pods]).toEqual(['watch-host-worker-1', 'watch-pod-worker-1']);
  await watches.closed();
  expect([[...pods], notes]).toEqual([[], []]);
});
