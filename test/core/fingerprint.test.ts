import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/core/canonical.ts';
import { capStillHolds, compareFingerprints, fingerprintOf, planIdOf, verifyPlan } from '../../src/core/fingerprint.ts';
import type { Inventory } from '../../src/core/inventory.ts';
import { planMigration } from '../../src/core/planner.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES, sha256 } from './cluster-data.ts';

const before = makeInventory(
  [makeNode('node1', { zone: 'a', pods: { shop: 1 } }), makeNode('node2', { pods: { pay: 1 } })],
  [...SYSTEM_SERVICES, makeService('shop/web'), makeService('pay/api')],
);

const plan = planMigration({
  inventory: before,
  playbook: makePlaybook({ batch: { services: 3 } }),
  to: 'nftables',
  driver: 'daemonset',
  madeAt: '2026-01-02T03:04:05Z',
  hash: sha256,
});

function changed(change: (inventory: Inventory) => void): string[] {
  const now = structuredClone(before);
  change(now);
  return verifyPlan(plan, now, sha256);
}

describe('verifyPlan', () => {
  it('has nothing to say when nothing changed', () => {
    expect(changed(() => {})).toEqual([]);
  });

  it('has nothing to say about what a run and an ordinary day change', () => {
    expect(
      changed(now => {
        for (const node of now.nodes) {
          node.mode = 'nftables';
          node.label = 'nftables';
          node.pods = { ...node.pods, other: 3 };
          node.ready = false;
        }
        now.services.push(makeService('shop/new', { proxied: false }));
        now.takenAt = '2026-02-01T00:00:00Z';
      }),
    ).toEqual([]);
  });

  it('names nodes that came, went, were made anew, or changed place', () => {
    const lines = changed(now => {
      now.nodes = [
        makeNode('node1', { uid: 'another', role: 'control-plane', zone: 'b c', pods: { shop: 1 } }),
        ...Array.from({ length: 7 }, (_, i) => makeNode(`new${i}`)),
      ];
    });
    expect(lines).toEqual([
      'nodes: added new0, new1, new2, new3, new4 and 2 more; removed node2; recreated node1; role changed of node1 (worker to control-plane); zone changed of node1 (a to b c)',
    ]);
  });

  const { daemonSet, configMap } = before.proxy;
  it.each<[string, Partial<Inventory['proxy']>, string]>([
    [
      'image',
      daemonSet ? { daemonSet: { ...daemonSet, image: 'x:2' } } : {},
      'daemonset kube-system/kube-proxy image: was registry.k8s.io/kube-proxy:v1.36.3, is x:2',
    ],
    [
      'template',
      daemonSet ? { daemonSet: { ...daemonSet, templateHash: sha256('b') } } : {},
      'daemonset kube-system/kube-proxy template: changed',
    ],
    [
      'strategy',
      daemonSet ? { daemonSet: { ...daemonSet, updateStrategy: 'OnDelete' } } : {},
      'daemonset kube-system/kube-proxy update strategy: was RollingUpdate, is OnDelete',
    ],
    [
      'configuration',
      configMap ? { configMap: { ...configMap, hash: sha256('b') } } : {},
      'configmap kube-system/kube-proxy: changed',
    ],
  ])('names a change of %s', (_, change, line) => {
    expect(changed(now => Object.assign(now.proxy, change))).toEqual([line]);
  });

  it('names a new version, and a ConfigMap that is gone', () => {
    const lines = changed(now => {
      now.cluster.kubernetes = 'v1.37.0';
      delete now.proxy.configMap;
    });
    expect(lines).toEqual(['kubernetes: was v1.36.3, is v1.37.0', 'configmap kube-system/kube-proxy: is gone']);
  });

  it('names a part that is new', () => {
    expect(compareFingerprints({}, { 'configmap a/b': 'x' })).toEqual([
      'configmap a/b: was not there when the plan was made',
    ]);
  });

  it('refuses another cluster in one line', () => {
    expect(
      changed(now => {
        now.cluster.uid = 'cluster-2';
      }),
    ).toEqual(['cluster: the plan is for test (https://10.0.0.1:6443), another cluster than this one']);
  });

  it('refuses an edited plan before anything else', () => {
    const edited = { ...plan, batches: plan.batches.slice(1) };
    expect(verifyPlan(edited, before, sha256)).toEqual([
      'plan: was edited after it was made (its content and its id differ)',
    ]);
  });
});

describe('capStillHolds', () => {
  it('names the batch that grew over the cap', () => {
    const now = structuredClone(before);
    for (let i = 0; i < 3; i++) now.services.push(makeService(`shop/more${i}`));
    const grown = plan.batches.findIndex(batch => batch.services.includes('shop/web'));
    expect(capStillHolds(plan, now)).toEqual([
      `batch-${grown + 1}: would expose ${(plan.batches[grown]?.services.length ?? 0) + 3} Services first (${plan.batches[grown]?.services.length} when planned), the cap is 3`,
    ]);
  });

  it('holds a batch over the cap to what was accepted', () => {
    const over = planMigration({
      inventory: before,
      playbook: makePlaybook({ batch: { services: 1 } }),
      to: 'ipvs',
      driver: 'd',
      madeAt: '2026-01-02T03:04:05Z',
      hash: sha256,
    });
    expect(over.batches[0]?.overCap).toBe(true);
    expect(capStillHolds(over, before)).toEqual([]);
    const now = structuredClone(before);
    now.services.push(makeService('kube-system/coredns'));
    expect(capStillHolds(over, now)).toEqual([
      'batch-1: would expose 4 Services first (3 when planned), 3 were accepted',
    ]);
  });
});

describe('planIdOf', () => {
  it('does not depend on the order of fields, and depends on every value', () => {
    const reordered = Object.fromEntries(Object.entries(plan).toReversed()) as typeof plan;
    expect(planIdOf(reordered, sha256)).toBe(plan.id);
    expect(planIdOf({ ...plan, madeAt: '2026-01-02T03:04:06Z' }, sha256)).not.toBe(plan.id);
  });

  it('is made from JSON whose order is settled', () => {
    expect(canonicalJson({ b: [1, undefined, { d: 'x', c: null }], a: undefined })).toBe(
      '{"b":[1,null,{"c":null,"d":"x"}]}',
    );
  });

  it('keeps a fingerprint of each node by name', () => {
    expect(fingerprintOf(before)['node/node1']).toBe('uid-node1 worker a');
  });
});
