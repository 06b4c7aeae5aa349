// The run's record in the cluster: how large it is, and what is not taken for one.
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Cluster, KubeObject } from '../../src/core/cluster.ts';
import { ApiError } from '../../src/core/errors.ts';
import { LABEL_PART, NAMESPACE, PARTS } from '../../src/core/names.ts';
import type { Plan } from '../../src/core/plan.ts';
import { planMigration } from '../../src/core/planner.ts';
import type { RunRecord } from '../../src/core/run-state.ts';
import { findRecord, recordIn, refuseTooLarge, tooLarge, writeRecord } from '../../src/run/record.ts';
import { Random } from '../../src/sim/random.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES, sha256 } from '../core/cluster-data.ts';

const KEY = 'record.json.gz';
const REFUSED = 'ConfigMap proxyctl/run-x is no run record of this version of proxyctl; use the version that wrote it';

/** Names and ids as clouds give them: little in them repeats. */
function planOf(nodes: number, services: number): Plan {
  const random = new Random(1);
  const names = Array.from({ length: 400 }, (_, i) => `team-${random.suffix()}-${i}`);
  const facts = Array.from({ length: nodes }, (_, i) =>
    makeNode(`ip-10-${random.int(256)}-${random.int(256)}-${random.int(256)}.eu-central-1.compute.internal-${i}`, {
      uid: random.uuid(),
      zone: `eu-central-1${'abc'[i % 3]}`,
      pods: Object.fromEntries(Array.from({ length: 30 }, () => [random.pick(names), 1])),
    }),
  );
  const made = Array.from({ length: services }, () =>
    makeService(`${random.pick(names)}/svc-${random.suffix()}${random.suffix()}`),
  );
  return planMigration({
    inventory: makeInventory(facts, [...SYSTEM_SERVICES, ...made]),
    playbook: makePlaybook({ batch: { services: 500, nodes: 50 } }),
    to: 'nftables',
    driver: 'daemonset',
    madeAt: '2026-01-02T03:04:05Z',
    hash: sha256,
  });
}

function recordOf(plan: Plan): RunRecord {
  const metadata = { name: 'kube-proxy', namespace: 'kube-system' };
  const daemonSet = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata,
    spec: { template: { spec: { containers: [] } } },
  };
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'config.conf': 'mode: iptables' } };
  const originals = { daemonSet, configMap, configKey: 'config.conf', configPath: '/var/lib/kube-proxy/config.conf' };
  return { kind: 'RunRecord', version: 1, run: 'r-1', revision: 1, startedAt: '2026-01-02T03:04:05Z', plan, originals };
}

/** A cluster of ConfigMaps in our namespace. */
function clusterOf(maps: KubeObject[]): Cluster {
  const refuse = () => {
    throw new Error('not asked for');
  };
  return {
    get: async () => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }),
    list: async function* () {
      yield* maps;
    },
    create: async (object: KubeObject) => {
      maps.push(object);
      return object;
    },
    patch: refuse,
    delete: refuse,
  } as unknown as Cluster;
}

const small = planOf(3, 4);
const mapOf = (more: object): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'run-x', namespace: NAMESPACE, labels: { [LABEL_PART]: PARTS.record } },
  ...more,
});
const gz = (data: string | Buffer) => ({ binaryData: { [KEY]: gzipSync(data).toString('base64') } });

describe('the record of a run', () => {
  it('is read as it was written, the highest revision of it', async () => {
    const maps: KubeObject[] = [];
    const record = recordOf(small);
    for (const revision of [1, 3, 2]) await writeRecord(clusterOf(maps), { ...record, revision });
    expect(await findRecord(clusterOf(maps))).toEqual({ ...record, revision: 3 });
    expect(maps.map(map => map.immutable)).toEqual([true, true, true]);
  });

  it('is written when the answer was lost and its create is told that it is there, and not over another one', async () => {
    const maps: KubeObject[] = [];
    const cluster: Cluster = {
      ...clusterOf(maps),
      create: async object => {
        if (maps.length === 0) maps.push(object);
        throw new ApiError('configmaps "run-r-1" already exists', 409, 'AlreadyExists');
      },
      get: async () => maps[0],
    };
    await writeRecord(cluster, recordOf(small));
    await expect(writeRecord(cluster, { ...recordOf(small), startedAt: '2026-01-02T03:04:06Z' })).rejects.toThrow(
      'already exists',
    );
  });

  it('takes 0.4 MiB for 5,000 nodes and 10,000 Services', async () => {
    const maps: KubeObject[] = [];
    const record = recordOf(planOf(5000, 10_000));
    expect(JSON.stringify(record).length).toBeGreaterThan(1.5 * 2 ** 20);
    expect(tooLarge(record)).toBeUndefined();
    await writeRecord(clusterOf(maps), record);
    const size = Buffer.byteLength(maps[0]?.binaryData[KEY], 'base64') / 2 ** 20;
    expect(size).toBeGreaterThan(0.35);
    expect(size).toBeLessThan(0.45);
  });

  it('that does not fit is refused in one line', () => {
    const notes = [randomBytes(1_000_000).toString('base64')];
    const large = recordOf({ ...small, notes });
    expect(tooLarge(large)).toMatch(
      /^the run's record would take 1\.0 MiB, compressed, and a ConfigMap holds 1 MiB; [^\n]*$/,
    );
    expect(() => refuseTooLarge(large)).toThrow(expect.objectContaining({ exitCode: 20 }));
    expect(() =>
      refuseTooLarge(recordOf({ ...small, notes: [randomBytes(900_000).toString('base64')] })),
    ).not.toThrow();
  });

  it.each([
    ['of another version', gz(JSON.stringify({ ...recordOf(small), version: 2 }))],
    ['that is not compressed', { data: { 'record.json': JSON.stringify(recordOf(small)) } }],
    ['that is no gzip', { binaryData: { [KEY]: 'AAAA' } }],
    ['that was cut off', { binaryData: { [KEY]: gzipSync(randomBytes(5000)).subarray(0, 3000).toString('base64') } }],
    ['that is no JSON', gz('{')],
    ['without a bottom', gz('['.repeat(200_000))],
    ['that is a bomb', gz(Buffer.alloc(300 << 20))],
    ['of no shape', { binaryData: 7 }],
  ])('%s is refused', async (_what, more) => {
    const refused = expect.objectContaining({ exitCode: 24, message: REFUSED });
    expect(() => recordIn(mapOf(more))).toThrow(refused);
    await expect(findRecord(clusterOf([mapOf(more)]))).rejects.toThrow(refused);
  });
});
