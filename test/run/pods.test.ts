// What runs on nodes has no more than it needs. Which capabilities the tools take was tried with each of them dropped.
import { describe, expect, it } from 'vitest';
import { nodeAccount, ownNamespace } from '../../src/core/own-namespace.ts';
import { proxyAddresses } from '../../src/core/proxy-address.ts';
import { watcherImage } from '../../src/core/watcher-image.ts';
import { sweeperPod, watcherPod } from '../../src/run/pods.ts';

const options = {
  run: 'r-1',
  image: 'proxyctl/watcher:v1',
  node: 'node1',
  addresses: ['10.0.0.1', 'fd00::1'],
  main: proxyAddresses({}),
};
const sweep = { left: 'iptables', now: 'nftables', drain: 1, wait: 1, exclude: [], serving: 'main' } as const;
const PODS = {
  'watcher on the host network': watcherPod(options, 'host'),
  'watcher on the pod network': watcherPod(options, 'pod'),
  sweeper: sweeperPod({ ...options, ...sweep, exclude: [] }),
};

describe.each(Object.entries(PODS))('%s', (_name, { metadata, spec }) => {
  it('has one container, held by seccomp, without a token, on a root it cannot write', () => {
    expect(spec.containers).toHaveLength(1);
    const { privileged, ...securityContext } = spec.containers[0].securityContext;
    expect(privileged).toBeUndefined();
    expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true });
    expect(securityContext.capabilities.drop).toEqual(['ALL']);
    expect(spec.securityContext).toEqual({ seccompProfile: { type: 'RuntimeDefault' } });
    expect(spec.automountServiceAccountToken).toBe(false);
    expect([spec.hostPID, spec.hostIPC, spec.shareProcessNamespace]).toEqual([undefined, undefined, undefined]);
  });

  it('is bounded in memory and in time', () => {
    const { limits, requests } = spec.containers[0].resources;
    expect([limits.memory, requests.memory, requests.cpu]).toEqual(['1Gi', '64Mi', '10m']);
    expect(limits.cpu).toBeUndefined();
    expect(spec.activeDeadlineSeconds).toBe(86_400);
  });

  it('gets no sidecar of a mesh, which would answer for Services without rules', () => {
    expect(metadata.labels).toMatchObject({ 'sidecar.istio.io/inject': 'false' });
    expect(metadata.annotations).toEqual({ 'linkerd.io/inject': 'disabled' });
  });

  it('is told nothing by its environment', () => {
    expect(spec.containers[0].env).toBeUndefined();
    expect(spec.containers[0].envFrom).toBeUndefined();
    expect(spec.enableServiceLinks).toBe(false);
  });
});

describe('on the host network', () => {
  it.each(['watcher on the host network', 'sweeper'] as const)('%s is root with two capabilities', name => {
    const { securityContext } = PODS[name].spec.containers[0];
    expect(securityContext.capabilities.add).toEqual(['NET_ADMIN', 'NET_RAW']);
    expect([securityContext.runAsUser, securityContext.runAsNonRoot]).toEqual([0, false]);
  });
});

describe('on the pod network', () => {
  it('a watcher is nobody, without any capability', () => {
    const { spec } = PODS['watcher on the pod network'];
    expect(spec.containers[0].securityContext.capabilities.add).toBeUndefined();
    expect(spec.containers[0].securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65_534 });
    expect(spec.hostNetwork).toBeUndefined();
  });
});

describe('the image', () => {
  const policyOf = (image: string) => watcherPod({ ...options, image }, 'host').spec.containers[0].imagePullPolicy;

  it('is never pulled by our bare name, which in a public registry is anybody’s', () => {
    expect(policyOf(watcherImage('0.1.0'))).toBe('Never');
    expect(Object.values(PODS).map(({ spec }) => spec.containers[0].imagePullPolicy)).toEqual(Array(3).fill('Never'));
  });

  it.each([
    'registry.example.com/proxyctl/watcher:v0.1.0',
    'docker.io/proxyctl/watcher:v0.1.0',
    `proxyctl/watcher@sha256:${'0'.repeat(64)}`,
  ])('is pulled where a node lacks it: %s', image => expect(policyOf(image)).toBe('IfNotPresent'));
});

describe('volumes', () => {
  it('are the list of targets, and for the sweeper the lock of iptables', () => {
    for (const { spec } of Object.values(PODS).slice(0, 2))
      expect(spec.volumes).toEqual([{ name: 'targets', configMap: { name: 'proxyctl-targets' } }]);
    const lock = { path: '/run/xtables.lock', type: 'FileOrCreate' };
    expect(PODS.sweeper.spec.volumes).toEqual([{ name: 'xtables-lock', hostPath: lock }]);
  });
});

describe('their namespace and account', () => {
  it('lets host networking pass, and gives no token', () => {
    for (const from of ['made', 'given'] as const)
      expect(ownNamespace(from).metadata.labels?.['pod-security.kubernetes.io/enforce']).toBe('privileged');
    expect(nodeAccount()).toMatchObject({ automountServiceAccountToken: false });
  });
});
