// The objects of a run, from a DaemonSet as kubeadm lays it out.
import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { Originals } from '../../src/core/driver.ts';
import { metadataOps } from '../../src/core/metadata-ops.ts';
import { excludedTemplate, includedTemplate } from '../../src/drivers/daemonset/exclusion.ts';
import {
  modeConfigMap,
  modeDaemonSet,
  SHADOWED,
  shadowConfigMap,
  warmPod,
} from '../../src/drivers/daemonset/objects.ts';
import { fence } from '../../src/drivers/fenced.ts';

function daemonSet(spec: object = {}): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'kube-proxy', namespace: 'kube-system', uid: 'u1', labels: { 'k8s-app': 'kube-proxy' } },
    spec: {
      selector: { matchLabels: { 'k8s-app': 'kube-proxy' } },
      updateStrategy: { type: 'RollingUpdate' },
      template: {
        metadata: { labels: { 'k8s-app': 'kube-proxy' } },
        spec: {
          hostNetwork: true,
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          containers: [
            {
              name: 'kube-proxy',
              image: 'registry.example/kube-proxy:v1.36.3',
              command: ['/usr/local/bin/kube-proxy', '--config=/var/lib/kube-proxy/config.conf'],
              volumeMounts: [{ name: 'kube-proxy', mountPath: '/var/lib/kube-proxy' }],
              livenessProbe: { httpGet: { port: 10256 } },
            },
          ],
          volumes: [{ name: 'kube-proxy', configMap: { name: 'kube-proxy' } }],
          ...spec,
        },
      },
    },
  };
}

const originals: Originals = {
  daemonSet: daemonSet(),
  configMap: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-proxy', namespace: 'kube-system' },
    data: { 'config.conf': 'mode: iptables\nmetricsBindAddress: ""\n', 'kubeconfig.conf': 'apiVersion: v1\n' },
  },
  configKey: 'config.conf',
  configPath: '/var/lib/kube-proxy/config.conf',
};

describe('the configuration of a mode', () => {
  it('keeps the other keys, and gives the warm kube-proxy ports of its own', () => {
    const map = modeConfigMap('r1', originals, 'nftables', [{ path: ['mode'], value: 'nftables' }]);
    expect(map).toMatchObject({ metadata: { name: 'kube-proxy-nftables' }, immutable: true });
    expect(map.data).toEqual({
      'config.conf': 'mode: nftables\nmetricsBindAddress: ""\n',
      'kubeconfig.conf': 'apiVersion: v1\n',
      'proxyctl-warm.conf':
        'mode: nftables\nmetricsBindAddress: "127.0.0.1:10349"\nhealthzBindAddress: 127.0.0.1:10356\n',
    });
  });
});

describe('the DaemonSet of a mode', () => {
  it('is the original template on labelled nodes, and no pod of it matches the other selector by chance', () => {
    const set = modeDaemonSet('r1', originals, 'nftables');
    const { spec } = set.spec.template;
    expect(set.spec.updateStrategy).toEqual({ type: 'OnDelete' });
    expect(spec.nodeSelector).toEqual({ 'kubernetes.io/os': 'linux', 'proxyctl.dev/mode': 'nftables' });
    expect(spec.volumes).toEqual([{ name: 'kube-proxy', configMap: { name: 'kube-proxy-nftables' } }]);
    expect(set.spec.selector.matchLabels).toEqual({ 'proxyctl.dev/mode': 'nftables' });
    const [original] = daemonSet().spec.template.spec.containers;
    expect(spec.containers).toEqual([{ ...original, imagePullPolicy: 'IfNotPresent' }]);
  });

  it('takes the image that the node has, as the warm kube-proxy does, whatever the original says', () => {
    const always = (name: string) => ({
      name,
      image: 'registry.example/kube-proxy:v1.36.3',
      imagePullPolicy: 'Always',
    });
    const given = {
      ...originals,
      daemonSet: daemonSet({ containers: [always('kube-proxy')], initContainers: [always('init')] }),
    };
    for (const { spec } of [modeDaemonSet('r1', given, 'ipvs').spec.template, warmPod('r1', given, 'n1', 'ipvs')]) {
      const policies = [...spec.initContainers, ...spec.containers].map(c => c.imagePullPolicy);
      expect(policies).toEqual(['IfNotPresent', 'IfNotPresent']);
    }
  });

  it('leaves the original as it was', () => {
    modeDaemonSet('r1', originals, 'nftables');
    warmPod('r1', originals, 'n1', 'nftables');
    excludedTemplate(originals.daemonSet);
    expect(originals.daemonSet).toEqual(daemonSet());
  });
});

describe('the warm kube-proxy', () => {
  it.each(['nftables', 'iptables', 'ipvs'] as const)('to %s finds first what cannot run', mode => {
    const { spec } = warmPod('r1', originals, 'n1', mode);
    const [container] = spec.containers;
    expect(container.command).toContain('--config=/var/lib/kube-proxy/proxyctl-warm.conf');
    expect(container.env).toEqual([
      { name: 'PATH', value: expect.stringMatching(/^\/proxyctl\/shadow:\/usr\/local\/sbin:/) },
    ]);
    expect(container.livenessProbe).toBeUndefined();
    expect(spec).toMatchObject({ nodeName: 'n1', hostNetwork: true });
    const shadow = spec.volumes.find((v: { name: string }) => v.name === 'proxyctl-shadow').configMap;
    expect(shadow.items.map((i: { path: string }) => i.path)).toEqual(SHADOWED[mode]);
    expect(shadow.items.every((i: { mode: number }) => i.mode === 0o755)).toBe(true);
  });

  it('is alone in its pod: sidecars would want the ports of those that stand beside the main one', () => {
    const [proxy] = daemonSet().spec.template.spec.containers;
    const sidecar = { name: 'kube-rbac-proxy', image: 'x', ports: [{ containerPort: 9442 }] };
    const given = daemonSet({
      containers: [sidecar, proxy],
      initContainers: [
        { name: 'init', image: 'x' },
        { ...sidecar, name: 'native', restartPolicy: 'Always' },
      ],
    });
    const { spec } = warmPod('r1', { ...originals, daemonSet: given }, 'n1', 'nftables');
    const names = (containers: { name: string }[]) => containers.map(({ name }) => name);
    expect([names(spec.initContainers), names(spec.containers)]).toEqual([['init'], ['kube-proxy']]);
  });

  it('shadows the tools of the mode that must stay, never those of its own', () => {
    expect(SHADOWED.nftables).not.toContain('nft');
    expect(SHADOWED.nftables).toContain('modprobe');
    expect(SHADOWED.iptables).toEqual(['nft']);
    expect(Object.keys(shadowConfigMap('r1', 'kube-system').data).sort()).toEqual(
      [...new Set(Object.values(SHADOWED).flat())].sort(),
    );
  });
});

describe('the original template, kept off labelled nodes', () => {
  const rule = { key: 'proxyctl.dev/mode', operator: 'DoesNotExist' };
  const termsOf = (set: KubeObject) => {
    const { affinity } = excludedTemplate(set).spec;
    return affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  };

  it('has the rule where there was no affinity', () => {
    expect(termsOf(daemonSet())).toEqual([{ matchExpressions: [rule] }]);
  });

  it('has it in each term, since terms are alternatives, and keeps the rest', () => {
    const gpu = { key: 'gpu', operator: 'Exists' };
    const field = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] };
    const nodeSelectorTerms = [{ matchExpressions: [gpu] }, field];
    const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
    const set = daemonSet({ affinity: { nodeAffinity } });
    expect(termsOf(set)).toEqual([{ matchExpressions: [gpu, rule] }, { ...field, matchExpressions: [rule] }]);
  });

  const required = (nodeSelectorTerms: object[]) => ({
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  });
  const gpu = { matchExpressions: [{ key: 'gpu', operator: 'Exists' }] };
  const field = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] };
  const excluded = (set: KubeObject) => ({ ...set, spec: { ...set.spec, template: excludedTemplate(set) } });

  it.each([
    ['no affinity', undefined],
    ['an empty one', {}],
    ['a term without anything', required([{}])],
    ['terms', required([gpu, field])],
    ['a preference', { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] }, podAffinity: {} }],
  ])('is as it was without the rule: %s', (_, affinity) => {
    const set = daemonSet(affinity ? { affinity } : {});
    expect(includedTemplate(excluded(set), set)).toEqual(set.spec.template);
    // Somebody else put it back already.
    expect(includedTemplate(set, set)).toEqual(set.spec.template);
  });

  it('is what somebody else has made of it meanwhile, without the rule', () => {
    const was = daemonSet();
    expect(includedTemplate(excluded(daemonSet({ affinity: required([gpu, field]) })), was).spec.affinity).toEqual(
      required([gpu, field]),
    );
    const podAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [] };
    const theirs = excluded(was);
    theirs.spec.template.spec = { ...theirs.spec.template.spec, image: 'x:9' };
    theirs.spec.template.spec.affinity = { ...theirs.spec.template.spec.affinity, podAffinity };
    expect(includedTemplate(theirs, was).spec).toEqual({
      ...was.spec.template.spec,
      image: 'x:9',
      affinity: { podAffinity },
    });
  });
});

describe('patches', () => {
  const node = (labels?: Record<string, string>, annotations?: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'n1',
      resourceVersion: '7',
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
    },
  });

  it('touch only what differs', () => {
    const change = { labels: { 'proxyctl.dev/mode': 'none', gone: null, same: 'x' }, annotations: { a: '1' } };
    expect(metadataOps(node({ same: 'x' }), change)).toEqual([
      { op: 'add', path: '/metadata/labels/proxyctl.dev~1mode', value: 'none' },
      { op: 'add', path: '/metadata/annotations', value: {} },
      { op: 'add', path: '/metadata/annotations/a', value: '1' },
    ]);
    expect(metadataOps(node({ gone: 'x' }), { labels: { gone: null } })).toEqual([
      { op: 'remove', path: '/metadata/labels/gone' },
    ]);
  });

  it('stand behind the fence: our epoch on the object, or the version that was read', () => {
    const run = { id: 'r-1', epoch: 3 };
    expect(fence(node(), run)).toEqual({ op: 'test', path: '/metadata/resourceVersion', value: '7' });
    for (const written of ['r-1/2', 'r-0/3', '3']) {
      expect(fence(node({}, { 'proxyctl.dev/epoch': written }), run)).toMatchObject({
        path: '/metadata/resourceVersion',
      });
    }
    expect(fence(node({}, { 'proxyctl.dev/epoch': 'r-1/3' }), run)).toEqual({
      op: 'test',
      path: '/metadata/annotations/proxyctl.dev~1epoch',
      value: 'r-1/3',
    });
  });
});
