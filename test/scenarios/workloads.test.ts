// Gates that look at what runs behind the Services, on the embedded cluster.
import { describe, expect, it, type TestContext } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { RunEvent } from '../../src/core/journal.ts';
import { modeLabel } from '../../src/core/run-state.ts';
import { tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';

const TIMEOUT = 120_000;
const MIGRATE = ['migrate', '--to', 'nftables', '--batch', '100', '--yes', '--format', 'json'];

async function fresh({ onTestFinished }: TestContext, seed: number): Promise<EmbeddedTestbed> {
  const bed = await embeddedTestbed('iptables', seed);
  onTestFinished(() => bed.close());
  return bed;
}

const playbook = (gates: string) =>
  tempFile('playbook.yaml', `gates: { soak: 1s, settle: 2s, convergence: 25s, drain: 3s, ${gates} }\n`);

function eventsOf(stdout: string): RunEvent[] {
  const lines = stdout.split('\n').filter(line => line.startsWith('{'));
  return lines.map(line => JSON.parse(line));
}

/** Calls `strike` once, when the first node serves in the new mode. */
function afterHandOver(bed: EmbeddedTestbed, strike: (node: string) => void): void {
  let struck = false;
  bed.sim.store.subscribe(({ kind, object }) => {
    if (struck || kind !== 'Node' || modeLabel(object) !== 'nftables') return;
    struck = true;
    strike(object.metadata.name);
  });
}

function teamPods(bed: EmbeddedTestbed): KubeObject[] {
  return bed.sim.store.list('Pod').filter(pod => pod.metadata.labels?.app && pod.metadata.namespace !== 'kube-system');
}

/** A Service that the node reaches and that has several pods, and these. */
function reachedFrom(bed: EmbeddedTestbed, node: string): { service: string; pods: KubeObject[] } {
  const pods = teamPods(bed).filter(isReady);
  const namespaces = new Set(pods.filter(pod => pod.spec.nodeName === node).map(pod => pod.metadata.namespace));
  const services = Map.groupBy(pods, pod => `${pod.metadata.namespace}/${pod.metadata.labels?.app}`);
  const [service, same] =
    [...services].find(([key, list]) => namespaces.has(key.split('/')[0]) && list.length > 1) ?? [];
  return { service: service ?? '', pods: same ?? [] };
}

function change(bed: EmbeddedTestbed, { metadata }: KubeObject, how: (copy: KubeObject) => void): void {
  bed.sim.store.mutate('Pod', metadata.namespace, metadata.name, how);
}

function isReady({ status }: KubeObject): boolean {
  return status.conditions.some((c: { type: string; status: string }) => c.type === 'Ready' && c.status === 'True');
}

function setReady(bed: EmbeddedTestbed, pod: KubeObject, ready: boolean): void {
  change(bed, pod, copy => {
    for (const condition of copy.status.conditions)
      if (condition.type === 'Ready') condition.status = ready ? 'True' : 'False';
  });
}

describe.concurrent('after a flip', () => {
  it('a Service that loses its endpoints stops the run, and is named', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 31);
    let service = '';
    afterHandOver(bed, node => {
      const reached = reachedFrom(bed, node);
      service = reached.service;
      for (const pod of reached.pods.slice(1)) setReady(bed, pod, false);
    });
    const halted = await bed.proxyctl(
      ...MIGRATE,
      '--playbook',
      playbook('readyEndpoints: { fail: 0.4 }, settings: { workloads: { enabled: false } }'),
    );
    expect([halted.code, service], halted.stderr).toEqual([21, expect.stringMatching('/')]);
    const last = eventsOf(halted.stdout).at(-1);
    expect(last).toMatchObject({
      event: 'run-closed',
      reason: expect.stringContaining(`ready-endpoints: service ${service} has 1 of`),
    });
  });

  it('pods that restart stop the run, and are counted', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 31);
    afterHandOver(bed, node => {
      for (const { metadata } of reachedFrom(bed, node).pods) {
        bed.sim.store.mutate('Pod', metadata.namespace, metadata.name, copy => {
          for (const status of copy.status.containerStatuses) status.restartCount++;
        });
      }
    });
    const halted = await bed.proxyctl(...MIGRATE, '--playbook', playbook('workloads: { restarts: { fail: 1 } }'));
    expect(halted.code, halted.stderr).toBe(21);
    expect(eventsOf(halted.stdout).at(-1)).toMatchObject({
      reason: expect.stringMatching(/workloads: namespace \S+ \d pods? restarted: /),
    });
  });
});

describe.concurrent('what happens for its own reasons', () => {
  it('a crash loop of before and a Service scaled to nothing stop nobody, and are said', {
    timeout: TIMEOUT,
  }, async context => {
    const bed = await fresh(context, 31);
    const loops = [...Map.groupBy(teamPods(bed), pod => pod.metadata.namespace).values()].flatMap(pods => {
      const app = pods.at(-1)?.metadata.labels?.app;
      return pods.filter(pod => pod.metadata.labels?.app === app);
    });
    for (const pod of loops) setReady(bed, pod, false);
    const restart = () => {
      for (const pod of loops)
        change(bed, pod, copy => {
          for (const status of copy.status.containerStatuses) status.restartCount++;
        });
    };
    restart();
    let service = '';
    afterHandOver(bed, node => {
      restart();
      const reached = reachedFrom(bed, node);
      service = reached.service;
      const [namespace, name = ''] = service.split('/');
      bed.sim.store.mutate('Deployment', namespace, name, copy => {
        copy.spec.replicas = 0;
      });
      for (const pod of reached.pods) bed.sim.store.remove(pod);
    });
    const done = await bed.proxyctl(...MIGRATE, '--playbook', playbook('workloads: { restarts: { fail: 1 } }'));
    expect(done.code, done.stderr).toBe(0);
    const warnings = eventsOf(done.stdout).flatMap(e =>
      e.event === 'gate-judged' ? e.findings.filter(f => f.level === 'warning') : [],
    );
    expect(warnings).toContainEqual(
      expect.objectContaining({
        subject: `service ${service}`,
        message: expect.stringMatching(/^has 0 of \d ready endpoints left; it was scaled down to 0 meanwhile$/),
      }),
    );
    expect(warnings.map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/^\d pods? restarted that w(as|ere) not ready before either: /),
    );
  });
});

describe.concurrent('a rollout in a namespace that the node reaches', () => {
  const begin = (bed: EmbeddedTestbed) => {
    bed.sim.store.mutate('Deployment', 'kube-system', 'kube-dns', copy => {
      copy.metadata.generation = (copy.metadata.generation ?? 0) + 1;
      copy.status = { ...copy.status, observedGeneration: copy.metadata.generation, updatedReplicas: 1 };
    });
  };

  it('is waited for, and said', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 32);
    begin(bed);
    const end = () =>
      bed.sim.store.mutate('Deployment', 'kube-system', 'kube-dns', copy => {
        copy.status.updatedReplicas = 2;
      });
    bed.sim.store.subscribe(({ kind, object }) => {
      // The watchers of the first node look: some seconds later the rollout is over.
      if (kind === 'Pod' && object.metadata.name.startsWith('watch-host-')) setTimeout(end, 9_000);
    });
    const done = await bed.proxyctl(...MIGRATE, '--playbook', playbook(''));
    expect(done.code, done.stderr).toBe(0);
    const waits = eventsOf(done.stdout).filter(e => e.event === 'waiting' && e.for.startsWith('churn: '));
    expect(waits[0]).toMatchObject({
      for: 'churn: deployment kube-system/kube-dns is rolling out: 1 of 2 pods updated',
      node: expect.any(String),
    });
    const first = eventsOf(done.stdout).findIndex(e => e.event === 'step-intended' && e.step === 'warm');
    expect(eventsOf(done.stdout).indexOf(waits[0] as RunEvent)).toBeLessThan(first);
  });

  it('that does not end halts the run before the node is touched', { timeout: TIMEOUT }, async context => {
    const bed = await fresh(context, 33);
    begin(bed);
    const halted = await bed.proxyctl(...MIGRATE, '--playbook', playbook('churn: { wait: 6s }'));
    expect(halted.code, halted.stderr).toBe(21);
    expect(eventsOf(halted.stdout).at(-1)).toMatchObject({
      outcome: 'halted',
      reason: expect.stringMatching(/^churn: deployment kube-system\/kube-dns is rolling out/),
    });
    expect((await bed.truth()).map(t => t.mode)).toEqual(['iptables', 'iptables', 'iptables']);
    expect(bed.sim.store.list('Node').map(modeLabel)).toEqual([undefined, undefined, undefined]);
  });
});
