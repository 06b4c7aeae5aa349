// DaemonSet controller, kubelet and logs.
import { afterEach, describe, expect, it } from 'vitest';
import type { NodeIo } from '../../src/core/node-io.ts';
import type { RunWatcher, Sim, SimOptions } from '../../src/sim/sim.ts';
import { ask, type Body, get, jsonPatch, KUBE_SYSTEM, PROXY, proxyPods, smallSim, until } from './bench.ts';

let sim: Sim;
const start = async (options: SimOptions = {}) => {
  sim = await smallSim(options);
};
afterEach(() => sim.close());

const label = (node: string, value: string | null) =>
  jsonPatch(sim, `/api/v1/nodes/${node}`, [
    value === null
      ? { op: 'remove', path: '/metadata/labels/team~1x' }
      : { op: 'add', path: '/metadata/labels/team~1x', value },
  ]);
const template = (image: string) =>
  jsonPatch(sim, PROXY, [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: image }]);
const allProxies = async (): Promise<Body[]> => (await Promise.all(sim.nodes.map(n => proxyPods(sim, n.name)))).flat();
const imagesOf = (pods: Body[]) => [...new Set(pods.map(p => p.spec.containers[0].image))];
const NEW = 'registry.k8s.io/kube-proxy:v1.36.4';
const POD = (name: string, more: object, container: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: {
    nodeName: 'node-1',
    containers: [{ name: 'c', image: 'example.com/proxyctl/watcher:1', ...container }],
    ...more,
  },
});
const PODS = '/api/v1/namespaces/default/pods';

describe('the DaemonSet controller', () => {
  it('replaces pods one by one under RollingUpdate, and tells when it is done', async () => {
    await start();
    await template(NEW);
    await until('all pods to be new', async () => {
      const pods = await allProxies();
      return pods.length === 3 && imagesOf(pods).join() === NEW;
    });
    const status = await until('the status', async () => {
      const { body } = await get(sim, PROXY);
      return body.status.numberReady === 3 && body.status.updatedNumberScheduled === 3 ? body : undefined;
    });
    expect(status.status.observedGeneration).toBe(status.metadata.generation);
    expect(status.metadata.generation).toBe(2);
  });

  it('leaves pods alone under OnDelete until they are deleted', async () => {
    await start();
    await jsonPatch(sim, PROXY, [
      { op: 'replace', path: '/spec/updateStrategy', value: { type: 'OnDelete' } },
      { op: 'replace', path: '/spec/template/spec/containers/0/image', value: NEW },
    ]);
    await until('the controller', async () => (await get(sim, PROXY)).body.status.observedGeneration === 2);
    const pods = await allProxies();
    expect(imagesOf(pods)).toEqual(['registry.k8s.io/kube-proxy:v1.36.3']);
    const [pod] = await proxyPods(sim, 'node-1');
    await ask(sim, 'DELETE', `${KUBE_SYSTEM}/pods/${pod.metadata.name}`);
    const [fresh] = await until('the new pod', async () => {
      const now = await proxyPods(sim, 'node-1');
      return now.length === 1 && now[0].metadata.uid !== pod.metadata.uid ? now : undefined;
    });
    expect(imagesOf([fresh])).toEqual([NEW]);
  });

  it('gives a template that was there before its old revision under the highest number', async () => {
    await start();
    const revisions = async () => {
      const { body } = await get(sim, '/apis/apps/v1/namespaces/kube-system/controllerrevisions');
      return body.items.map((r: Body) => [r.metadata.name, r.revision]).sort((a: Body, b: Body) => a[1] - b[1]);
    };
    const [[first]] = await revisions();
    await template(NEW);
    const [, [second]] = await until('a second revision', async () => {
      const now = await revisions();
      return now.length === 2 ? now : undefined;
    });
    await template('registry.k8s.io/kube-proxy:v1.36.3');
    await until('the first revision to be the newest', async () => {
      const now = await revisions();
      return now.at(-1)[0] === first;
    });
    expect(await revisions()).toEqual([
      [second, 2],
      [first, 3],
    ]);
  });

  it('follows node labels by node affinity', async () => {
    await start();
    const rule = { matchExpressions: [{ key: 'team/x', operator: 'DoesNotExist' }] };
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [rule] } },
    };
    await jsonPatch(sim, PROXY, [
      { op: 'replace', path: '/spec/updateStrategy', value: { type: 'OnDelete' } },
      { op: 'add', path: '/spec/template/spec/affinity', value: affinity },
    ]);
    await label('node-1', 'a');
    await until('the pod of node-1 to go', async () => (await proxyPods(sim, 'node-1')).length === 0);
    expect(await proxyPods(sim, 'node-2')).toHaveLength(1);
    await label('node-1', null);
    await until('it to come back', async () => (await proxyPods(sim, 'node-1')).length === 1);
  });

  it('adopts a stray pod that its selector matches, and keeps one of the two', async () => {
    await start();
    const stray = POD('stray', { hostNetwork: true }, { image: 'example.com/idle' });
    await ask(sim, 'POST', `${KUBE_SYSTEM}/pods`, {
      ...stray,
      metadata: { name: 'stray', labels: { 'k8s-app': 'kube-proxy' } },
    });
    await until('one of them to go', async () => {
      const pods = await proxyPods(sim, 'node-1');
      return pods.length === 1 && pods[0].metadata.ownerReferences?.length === 1;
    });
    expect(await proxyPods(sim, 'node-1')).toHaveLength(1);
  });

  it('takes its pods along when it is deleted', async () => {
    await start();
    await ask(sim, 'DELETE', PROXY);
    await until('the pods to go', async () => (await allProxies()).length === 0);
  });
});

describe('kubelet', () => {
  it('removes a pod by its UID, and a second one of that name is another', async () => {
    // Long enough for a request to meet the pod on its way out, on a busy machine too.
    await start({ speed: { podStop: 1000 } });
    const { body: first } = await ask(sim, 'POST', PODS, POD('p', {}, { image: 'example.com/idle' }));
    await until('it to run', async () => (await get(sim, `${PODS}/p`)).body.status?.phase === 'Running');
    const { body: marked } = await ask(sim, 'DELETE', `${PODS}/p`);
    expect(marked.metadata.deletionTimestamp).toBeDefined();
    expect((await ask(sim, 'POST', PODS, POD('p', {}))).status).toBe(409);
    await until('it to go', async () => (await get(sim, `${PODS}/p`)).status === 404);
    const { body: second } = await ask(sim, 'POST', PODS, POD('p', {}, { image: 'example.com/idle' }));
    expect(
      (await ask(sim, 'DELETE', `${PODS}/p`, { preconditions: { uid: first.metadata.uid }, gracePeriodSeconds: 0 }))
        .status,
    ).toBe(409);
    expect((await get(sim, `${PODS}/p`)).body.metadata.uid).toBe(second.metadata.uid);
  });

  it('waits for a ConfigMap, and gives the container what it held at the start', async () => {
    const seen: { args: string[]; files: Map<string, string> }[] = [];
    const runWatcher: RunWatcher = async (args, _io, files) => {
      seen.push({ args, files });
      return 0;
    };
    await start({ runWatcher });
    const volumes = [{ name: 'v', configMap: { name: 'late' } }];
    const container = {
      args: ['--node', '$(NODE_NAME)', '$(OTHER)'],
      env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      volumeMounts: [{ name: 'v', mountPath: '/etc/x' }],
    };
    await ask(sim, 'POST', PODS, POD('p', { volumes, restartPolicy: 'Never' }, container));
    const waiting = await until(
      'its status',
      async () => (await get(sim, `${PODS}/p`)).body.status.containerStatuses?.[0].state.waiting,
    );
    expect(waiting.reason).toBe('ContainerCreating');
    expect((await get(sim, `${PODS}/p/log`)).body.message).toBe(
      'container "c" in pod "p" is waiting to start: ContainerCreating',
    );
    await ask(sim, 'POST', '/api/v1/namespaces/default/configmaps', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'late' },
      data: { f: 'text' },
    });
    await until('it to succeed', async () => (await get(sim, `${PODS}/p`)).body.status.phase === 'Succeeded');
    expect(seen).toEqual([{ args: ['--node', 'node-1', '$(OTHER)'], files: new Map([['/etc/x/f', 'text']]) }]);
  });

  it('starts a container that fails again and again, and fails a pod that is never to be restarted', async () => {
    await start({ runWatcher: async () => 3 });
    await ask(sim, 'POST', PODS, POD('again', {}));
    await ask(sim, 'POST', PODS, POD('once', { restartPolicy: 'Never' }));
    const status = await until('a second restart', async () => {
      const [one] = (await get(sim, `${PODS}/again`)).body.status.containerStatuses ?? [];
      return one?.restartCount >= 2 && one.state.waiting ? one : undefined;
    });
    expect(status.state.waiting.reason).toBe('CrashLoopBackOff');
    expect(status.lastState.terminated.exitCode).toBe(3);
    const once = await get(sim, `${PODS}/once`);
    expect(once.body.status).toMatchObject({
      phase: 'Failed',
      containerStatuses: [{ state: { terminated: { exitCode: 3 } } }],
    });
  });

  it('cannot run an image that is not there', async () => {
    await start();
    sim.fault.missingImages.add('example.com/none:1');
    await ask(sim, 'POST', PODS, POD('p', {}, { image: 'example.com/none:1' }));
    await until(
      'ImagePullBackOff',
      async () =>
        (await get(sim, `${PODS}/p`)).body.status.containerStatuses?.[0].state.waiting?.reason === 'ImagePullBackOff',
    );
  });

  it('tells when nobody hears of a node', async () => {
    await start();
    const clear = sim.fault.nodeNotReady('node-1');
    const ready = async () =>
      (await get(sim, '/api/v1/nodes/node-1')).body.status.conditions.find((c: Body) => c.type === 'Ready').status;
    expect(await ready()).toBe('Unknown');
    const [pod] = await proxyPods(sim, 'node-1');
    expect(pod.status.conditions.find((c: Body) => c.type === 'Ready').status).toBe('False');
    expect((await get(sim, `${KUBE_SYSTEM}/pods/${pod.metadata.name}/log`)).status).toBe(500);
    clear();
    expect(await ready()).toBe('True');
  });

  it('comes back from a reboot with an empty kernel and the same pods', async () => {
    await start();
    const [before] = await proxyPods(sim, 'node-1');
    sim.reboot('node-1');
    expect(sim.node('node-1').kernel.modes()).toEqual([]);
    await until('the rules', () => sim.node('node-1').kernel.modes().includes('iptables'));
    const [after] = await proxyPods(sim, 'node-1');
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(after.status.containerStatuses[0].restartCount).toBe(1);
  });
});

describe('a node that comes and goes', () => {
  it('gets a kube-proxy like any other, and takes its pods along', async () => {
    await start();
    const before = sim.store.dump().length;
    sim.addNode('late-comer');
    await until('its rules', () => sim.node('late-comer').kernel.modes().join() === 'iptables');
    expect((await get(sim, '/api/v1/nodes')).body.items).toHaveLength(4);
    sim.removeNode('late-comer');
    expect(sim.store.dump()).toHaveLength(before);
    expect((await get(sim, '/api/v1/nodes/late-comer')).status).toBe(404);
  });
});

describe('logs', () => {
  it('are followed until the container ends', async () => {
    let node: NodeIo | undefined;
    let finish: (code: number) => void = () => {};
    const runWatcher: RunWatcher = (_args, io) => {
      node = io;
      io.print('first');
      return new Promise(resolve => {
        finish = resolve;
      });
    };
    await start({ runWatcher });
    await ask(sim, 'POST', PODS, POD('p', { restartPolicy: 'Never' }));
    await until('it to run', () => node);
    const response = await fetch(`${sim.url}${PODS}/p/log?follow=true&timestamps=true`);
    node?.print('second');
    finish(0);
    const lines = (await response.text()).trim().split('\n');
    expect(lines.map(line => line.split(' ')[1])).toEqual(['first', 'second']);
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /);
    expect((await get(sim, `${PODS}/p/log?limitBytes=8`)).body).toBe('first\nse');
    const future = new Date(Date.now() + 5000).toISOString();
    expect((await get(sim, `${PODS}/p/log?sinceTime=${future}`)).body).toBe('');
    expect((await get(sim, `${PODS}/p/log?container=other`)).body.message).toBe(
      'container other is not valid for pod p',
    );
  });

  it('of kube-proxy tell its mode', async () => {
    await start({ mode: 'nftables' });
    const [pod] = await proxyPods(sim, 'node-1');
    const { body } = await get(sim, `${KUBE_SYSTEM}/pods/${pod.metadata.name}/log`);
    expect(body).toMatch(/^I\d{4} \S+ +1 server_linux\.go:\d+\] "Using nftables Proxier"$/m);
  });
});
