import { expect, test } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import type { Originals } from '../../src/core/driver.ts';
import { EXIT } from '../../src/core/errors.ts';
import { complete, withhold } from '../../src/core/withheld.ts';

const SECRET = 's3cr3t';
const env = [
  { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
  { name: 'HTTPS_PROXY', value: `http://me:${SECRET}@proxy` },
  { name: 'EMPTY', value: '' },
];
const daemonSet: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'kube-proxy', namespace: 'kube-system' },
  spec: {
    template: {
      metadata: { labels: { a: 'b' } },
      spec: {
        containers: [{ name: 'kube-proxy', image: 'x', env }],
        initContainers: [{ name: 'first', env: [{ name: 'KEY', value: SECRET }] }],
      },
    },
  },
};
const configMap: KubeObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'kube-proxy', namespace: 'kube-system' },
  data: { 'config.conf': 'mode: iptables', 'kubeconfig.conf': `token: ${SECRET}` },
};
const originals: Originals = { daemonSet, configMap, configKey: 'config.conf', configPath: '/c/config.conf' };

test('what is withheld is not there, and comes back whole', () => {
  const before = structuredClone(originals);
  const written = JSON.stringify(withhold(originals));
  expect(written).not.toContain(SECRET);
  expect(written).toContain('mode: iptables');
  expect(originals).toEqual(before);
  expect(complete(JSON.parse(written), [daemonSet], configMap)).toEqual(originals);
});

test('whatever else is different now is as it was', () => {
  const changed = structuredClone(daemonSet);
  changed.spec.template.spec.affinity = {};
  changed.spec.template.spec.containers[0].image = 'y';
  changed.spec.template.spec.containers[0].env.reverse();
  const edited = { ...configMap, data: { ...configMap.data, 'config.conf': 'mode: nftables' } };
  expect(complete(withhold(originals), [changed], edited)).toEqual(originals);
});

test('originals that nothing was withheld from are complete', () => {
  expect(complete(originals, [], configMap)).toEqual(originals);
});

test('a value that the original has no more is that of the copy', () => {
  const changed = structuredClone(daemonSet);
  changed.spec.template.spec.containers[0].env.splice(1, 1);
  changed.spec.template.spec.initContainers[0].env[0].value = 'other';
  const whole = complete(withhold(originals), [changed, daemonSet], configMap);
  const { containers, initContainers } = whole.daemonSet.spec.template.spec;
  expect([containers[0].env[1].value, initContainers[0].env[0].value]).toEqual([`http://me:${SECRET}@proxy`, 'other']);
  expect(complete(withhold(originals), [daemonSet], configMap)).toEqual(originals);
});

test('a value that is there no more is named, with what to do', () => {
  const changed = structuredClone(daemonSet);
  changed.spec.template.spec.containers[0].env.splice(1, 1);
  const refused = () => complete(withhold(originals), [changed], configMap);
  expect(refused).toThrow(
    /^container kube-proxy of DaemonSet kube-system\/kube-proxy has lost the value of HTTPS_PROXY, .* set it there again/,
  );
  expect(refused).toThrow(expect.objectContaining({ exitCode: EXIT.stalePlan }));
});
