import { describe, expect, test } from 'vitest';
import { CONFIG, CONTAINER, daemonSet, inventoryOf, type Json, node, proxyPod, says } from './world.ts';

describe('kube-proxy', () => {
  test('its DaemonSet, configuration and API server', async () => {
    const { proxy } = await inventoryOf({});
    expect(proxy).toMatchObject({
      daemonSet: {
        name: 'kube-proxy',
        uid: 'ds-',
        generation: 4,
        image: CONTAINER.image,
        updateStrategy: 'RollingUpdate',
        configPath: '/var/lib/kube-proxy/config.conf',
        flags: ['--hostname-override=$(NODE_NAME)'],
        templateHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
      configMap: {
        name: 'proxy-config',
        uid: 'cm',
        key: 'config.conf',
        text: CONFIG,
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        apiServer: 'https://10.0.0.9:6443',
      },
      owners: [],
      others: [],
    });
  });

  test('is found by label or by its image, and never among ours', async () => {
    const ours = daemonSet({
      name: 'kube-proxy-nftables',
      labels: { 'k8s-app': 'kube-proxy', 'proxyctl.dev/part': 'proxy' },
    });
    const windows = daemonSet({ name: 'kube-proxy-windows', labels: { 'k8s-app': 'kube-proxy' } }, CONTAINER, {
      nodeSelector: { 'kubernetes.io/os': 'windows' },
    });
    const labelled = daemonSet({ name: 'proxy', labels: { 'k8s-app': 'kube-proxy' } }, { ...CONTAINER, name: 'x' });
    const byImage = daemonSet({ name: 'gke' }, { name: 'x', image: 'eu.gcr.io/eks/kube-proxy-minimal@sha256:0' });
    const other = daemonSet({ name: 'kindnet' }, { name: 'x', image: 'kindnetd:v1', args: ['--not-kube-proxy'] });
    const found = async (...daemonSets: Json[]) => (await inventoryOf({ daemonSets })).proxy;
    expect((await found(ours, windows, other, byImage, labelled)).daemonSet?.name).toBe('proxy');
    expect((await found(ours, windows, other, byImage, labelled)).others).toEqual(['DaemonSet kube-system/gke']);
    expect((await found(ours, other, byImage)).daemonSet?.name).toBe('gke');
    expect(await found(ours, windows, other)).toEqual({ owners: [], others: [] });
  });

  test.each<[string, Json, Json, Json]>([
    ['--config apart, among arguments', { command: undefined, args: ['--v=2', '--config', '/c/x'] }, '/c/x', ['--v=2']],
    ['the program in the arguments', { command: ['tini', '--'], args: ['kube-proxy', '--config=/c/x'] }, '/c/x', []],
    ['no --config', { command: ['kube-proxy', '--proxy-mode=ipvs'] }, undefined, ['--proxy-mode=ipvs']],
  ])('flags: %s', async (_name, container, configPath, flags) => {
    const { proxy } = await inventoryOf({ daemonSets: [daemonSet({}, { name: 'kube-proxy', ...container })] });
    expect(proxy.daemonSet?.configPath).toBe(configPath);
    expect(proxy.daemonSet?.flags).toEqual(flags);
    expect(proxy.configMap).toBeUndefined();
  });

  test('the key of the ConfigMap may bear another name than the file', async () => {
    const volumes = [
      { name: 'config', configMap: { name: 'proxy-config', items: [{ key: 'k', path: 'config.conf' }] } },
    ];
    const { proxy } = await inventoryOf({
      daemonSets: [daemonSet({}, CONTAINER, { volumes })],
      configMaps: { 'proxy-config': { metadata: {}, data: { k: 'mode: [', 'config.conf': 'no' } } },
    });
    expect(proxy.configMap).toMatchObject({ key: 'k', text: 'mode: [' });
    expect(proxy.configMap?.apiServer).toBeUndefined();
  });

  test('hashes follow the content, not its order', async () => {
    const hashOf = async (data: Json) =>
      (await inventoryOf({ configMaps: { 'proxy-config': { metadata: {}, data } } })).proxy.configMap?.hash;
    const first = await hashOf({ 'config.conf': 'a', x: 'b' });
    expect(await hashOf({ x: 'b', 'config.conf': 'a' })).toBe(first);
    expect(await hashOf({ 'config.conf': 'a', x: 'c' })).not.toBe(first);
  });

  test('owners, the strongest sign first; kubectl and the controllers are none', async () => {
    const managedFields = [
      'kubectl-edit',
      'kubeadm',
      'kube-controller-manager',
      'proxyctl',
      'eks',
      'argocd-controller',
      'eks',
    ];
    const metadata = {
      ownerReferences: [{ kind: 'Addon', name: 'proxy' }],
      labels: { 'eks.amazonaws.com/component': 'kube-proxy', 'helm.sh/chart': 'c', app: 'x' },
      annotations: { 'meta.helm.sh/release-name': 'r', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
      managedFields: managedFields.map(manager => ({ manager })),
    };
    const configMap = {
      metadata: { labels: { 'addonmanager.kubernetes.io/mode': 'EnsureExists' } },
      data: { 'config.conf': 'a' },
    };
    const { proxy } = await inventoryOf({
      daemonSets: [daemonSet(metadata)],
      configMaps: { 'proxy-config': configMap },
    });
    expect(proxy.owners).toEqual([
      'owner Addon/proxy on DaemonSet',
      'label eks.amazonaws.com/component=kube-proxy on DaemonSet',
      'label helm.sh/chart=c on DaemonSet',
      'annotation meta.helm.sh/release-name=r on DaemonSet',
      'field manager eks on DaemonSet',
      'field manager argocd-controller on DaemonSet',
      'label addonmanager.kubernetes.io/mode=EnsureExists on ConfigMap',
    ]);
  });

  test('Cilium instead of kube-proxy, and static pods', async () => {
    const mirror = proxyPod('kube-proxy-b', 'b', {
      labels: { 'k8s-app': 'x' },
      metadata: {
        ownerReferences: [{ kind: 'Node', name: 'b', controller: true }],
        annotations: { 'kubernetes.io/config.mirror': 'x' },
      },
    });
    const { nodes, proxy } = await inventoryOf({
      daemonSets: [],
      nodes: [node('a'), node('b')],
      pods: [mirror],
      configMaps: { 'cilium-config': { metadata: {}, data: { 'kube-proxy-replacement': 'true' } } },
      logs: { 'kube-proxy-b': says('iptables') },
    });
    expect(nodes.map(n => [n.mode, n.proxyPod?.daemonSet])).toEqual([
      ['none', undefined],
      ['iptables', undefined],
    ]);
    expect(proxy).toEqual({
      owners: [],
      others: ['static pods kube-proxy-<node> on 1 node', 'Cilium kube-proxy replacement'],
    });
  });
});
