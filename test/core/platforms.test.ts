import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { Inventory } from '../../src/core/inventory.ts';
import { detectPlatform } from '../../src/core/platforms.ts';
import { inventory, nodeFacts } from '../gates/looks.ts';

const plain = inventory();
const cluster = (kubernetes: string, server = plain.cluster.server) => ({
  cluster: { ...plain.cluster, kubernetes, server },
});
const proxy = (over: Partial<Inventory['proxy']>) => ({ proxy: { ...plain.proxy, ...over } });
const bare = { proxy: { owners: [], others: [] } };
const noPods = (({ proxyPod: _, ...facts }) => facts)(nodeFacts('n1'));

const REFUSED: [id: string, over: Partial<Inventory>, command: RegExp][] = [
  ['windows', { nodes: [nodeFacts('w', { os: 'windows' })] }, /kernelspace/],
  ['cilium', { proxy: { owners: [], others: ['Cilium kube-proxy replacement'] } }, /cilium config view/],
  ['gke', { ...cluster('v1.33.4-gke.1172000'), ...bare }, /gcloud container clusters create/],
  [
    'rke2',
    { ...cluster('v1.36.3+rke2r1'), ...bare },
    /kube-proxy-arg: \[proxy-mode=nftables\].*systemctl restart rke2-agent/,
  ],
  ['k3s', { ...cluster('v1.36.3+k3s1'), ...bare }, /\/etc\/rancher\/k3s\/config\.yaml/],
  ['k0s', cluster('v1.36.3+k0s'), /edit clusterconfig k0s/],
  [
    'eks-addon',
    { ...cluster('v1.33.1-eks-abc'), ...proxy({ owners: ['field manager eks on DaemonSet'] }) },
    /aws eks update-addon .*'\{"mode":"nftables"\}' --resolve-conflicts OVERWRITE/,
  ],
  ['aks', cluster('v1.33.1', 'https://x.hcp.westeurope.azmk8s.io:443'), /az aks update .*"mode":"NFTABLES"/],
  ['talos', { nodes: [nodeFacts('n1', { osImage: 'Talos (v1.11.0)' })] }, /talosctl upgrade-k8s/],
  [
    'openshift',
    { nodes: [nodeFacts('n1', { osImage: 'Red Hat Enterprise Linux CoreOS 418' })] },
    /oc patch network\.operator/,
  ],
  ['gardener', proxy({ owners: ['label resources.gardener.cloud/managed-by=gardener on DaemonSet'] }), /edit shoot/],
  ['kubermatic', proxy({ owners: ['label app.kubernetes.io/managed-by=kubermatic on DaemonSet'] }), /proxyMode/],
  [
    'static-pods',
    { proxy: { owners: [], others: ['static pods kube-proxy-n1'] } },
    /kops rolling-update cluster --yes/,
  ],
  ['embedded', { ...bare, nodes: [noPods] }, /snap restart microk8s\.daemon-kubelite/],
  ['unknown', bare, /do not belong to a DaemonSet/],
  ['flags', { proxy: { ...plain.proxy, configMap: undefined } }, /configured by flags/],
];

describe('platforms', () => {
  test.each(REFUSED)('%s is refused in one sentence with its own command', (id, over, command) => {
    const platform = detectPlatform(inventory(over), 'nftables');
    expect(platform).toMatchObject({ fits: false, id, reason: expect.stringMatching(command) });
  });

  test('every id is tried and none twice', () => {
    expect(new Set(REFUSED.map(r => r[0])).size).toBe(REFUSED.length);
  });

  test('kubeadm, kind and self-managed EKS fit; some Windows nodes do not matter', () => {
    const nodes = [...plain.nodes, nodeFacts('w', { os: 'windows' })];
    const selfManaged = {
      ...cluster('v1.33.1-eks-abc'),
      ...proxy({ owners: ['label eks.amazonaws.com/component=kube-proxy on DaemonSet'] }),
    };
    for (const over of [{}, selfManaged, { nodes }])
      expect(detectPlatform(inventory(over), 'nftables')).toEqual({ fits: true, id: 'daemonset' });
  });

  const QUOTED: [id: string, command: RegExp, word: string][] = [
    ['eks-addon', /: (aws eks .*)$/, '{"mode":"nftables"}'],
    ['talos', /: (talosctl patch .*)$/, '{"cluster":{"proxy":{"mode":"nftables"}}}'],
    ['openshift', /: (oc patch .*)$/, '{"spec":{"kubeProxyConfig":{"proxyArguments":{"proxy-mode":["nftables"]}}}}'],
  ];
  test.each(QUOTED)('the command for %s, which has quotes, can be copied to a shell', (wanted, command, word) => {
    const [, over = {}] = REFUSED.find(([id]) => id === wanted) ?? [];
    const platform = detectPlatform(inventory(over), 'nftables');
    const [, copied = ''] = command.exec(platform.fits ? '' : platform.reason) ?? [];
    const line = copied.replaceAll(/<\w+>/g, 'NAME');
    expect(execFileSync('bash', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8' }).split('\n')).toContain(word);
  });
});
