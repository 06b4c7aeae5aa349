import { describe, expect, test } from 'vitest';
import type { Look } from '../../src/core/gate.ts';
import type { Inventory, NodeFacts } from '../../src/core/inventory.ts';
import type { Mode } from '../../src/core/mode.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { configOptions } from '../../src/gates/config-options.ts';
import { driver } from '../../src/gates/driver.ts';
import { acceptFindings, GATES, runGates } from '../../src/gates/index.ts';
import { kernelVersion } from '../../src/gates/kernel-version.ts';
import { kubernetesVersion } from '../../src/gates/kubernetes-version.ts';
import { nodeOs } from '../../src/gates/node-os.ts';
import { nodesReady } from '../../src/gates/nodes-ready.ts';
import { ownership } from '../../src/gates/ownership.ts';
import { permissions } from '../../src/gates/permissions.ts';
import { podSlots } from '../../src/gates/pod-slots.ts';
import { proxyAddress } from '../../src/gates/proxy-address.ts';
import { wayBack } from '../../src/gates/way-back.ts';
import { inventory, look, nodeFacts, readOnly } from './looks.ts';
import { table } from './table.ts';

const at = (over: Partial<Inventory> = {}, to: Mode = 'nftables'): Look =>
  look('preflight', { to, inventory: inventory(over) });
const nodes = (over: Partial<NodeFacts>, to?: Mode) =>
  at({ nodes: [nodeFacts('n1', over), nodeFacts('n2', over)] }, to);
const proxy = (over: Partial<Inventory['proxy']>) => ({ ...inventory().proxy, ...over });
const withPlaybook = (l: Look, playbook: unknown): Look => ({ ...l, playbook: Playbook.parse(playbook) });

table(kernelVersion, [
  ['new enough', at(), 'pass'],
  [
    'too old',
    nodes({ kernel: '5.4.0-150-generic' }),
    'fail',
    /error node n1 kernel 5\.4 is older than 5\.13, which nftables needs/,
  ],
  ['old, and new enough for the mode', nodes({ kernel: '4.18.0' }, 'iptables'), 'pass'],
  ['not readable', nodes({ kernel: 'custom' }), 'inconclusive', /'custom' could not be read/],
  ['Windows is left alone', nodes({ kernel: '10.0.1', os: 'windows' }), 'pass'],
  ['excluded nodes too', withPlaybook(nodes({ kernel: '5.4.0' }), { order: { exclude: ['n1', 'n2'] } }), 'pass'],
]);

table(nodeOs, [
  ['a common one', at(), 'pass'],
  [
    'no iptables modules',
    nodes({ osImage: 'Red Hat Enterprise Linux 10.0 (Coughlan)' }, 'iptables'),
    'fail',
    /no iptables kernel modules/,
  ],
  ['nft newer than the image', nodes({ osImage: 'Fedora Linux 43 (Cloud)' }), 'pass', /warning .*136786/],
  ['RHEL 9 is neither', nodes({ osImage: 'Red Hat Enterprise Linux 9.10 (Plow)' }, 'iptables'), 'pass'],
]);

const cluster = (kubernetes: string) => ({ ...inventory().cluster, kubernetes });
table(kubernetesVersion, [
  ['current', at(), 'pass'],
  ['too old a server', at({ cluster: cluster('v1.32.1') }), 'fail', /Kubernetes 1\.32 is older than 1\.33/],
  [
    'an image newer than the server',
    at({ cluster: cluster('v1.35.1') }),
    'fail',
    /image 1\.36 is newer than the API server 1\.35/,
  ],
  [
    'ipvs is deprecated',
    at({}, 'ipvs'),
    'pass',
    /^warning cluster mode ipvs is deprecated since 1\.35 and off by default from 1\.40$/,
  ],
  ['ipvs is gone', at({ cluster: cluster('v1.40.0') }, 'ipvs'), 'fail', /does not start in mode ipvs/],
  [
    'ipvs is gone unless asked for',
    { ...at({ cluster: cluster('v1.40.0') }, 'ipvs'), proxyConfig: { featureGates: { KubeProxyIPVS: true } } },
    'pass',
    /^warning cluster mode ipvs is deprecated/,
  ],
  [
    'ipvs is gone for good',
    { ...at({ cluster: cluster('v1.43.0') }, 'ipvs'), proxyConfig: { featureGates: { KubeProxyIPVS: true } } },
    'fail',
    /does not start in mode ipvs/,
  ],
  ['server not readable', at({ cluster: cluster('unknown') }), 'inconclusive', /could not be read/],
  [
    'one node has another image',
    at({ nodes: [nodeFacts('n1'), withImage('n2', 'registry:5000/kube-proxy:v1.30.1@sha256:abc')] }),
    'fail',
    /error node n2 kube-proxy image 1\.30 is older than 1\.33/,
  ],
  [
    'an image without a version',
    at({ nodes: [withImage('n2', 'registry:5000/kube-proxy@sha256:1.36')] }),
    'inconclusive',
    /cannot be read from its tag/,
  ],
  ['kubelet far behind', nodes({ kubelet: 'v1.32.0' }), 'pass', /warning node n1 kube-proxy 1\.36 and kubelet 1\.32/],
]);

function withImage(name: string, image: string): NodeFacts {
  const facts = nodeFacts(name);
  return { ...facts, ...(facts.proxyPod ? { proxyPod: { ...facts.proxyPod, image } } : {}) };
}

table(driver, [
  ['a DaemonSet with a ConfigMap', at(), 'pass'],
  [
    'none',
    at({ proxy: { owners: [], others: ['static pods kube-proxy-n1'] } }, 'ipvs'),
    'fail',
    /static-pods .*proxyMode to ipvs .*kops rolling-update/,
  ],
]);

table(ownership, [
  ['nobody', at(), 'pass'],
  [
    'Helm',
    at({ proxy: proxy({ owners: ['label app.kubernetes.io/managed-by=Helm on DaemonSet'] }) }),
    'fail',
    /daemonset kube-system\/kube-proxy .*Helm/,
  ],
]);

const asUser = (denied: (resource: string, verb: string) => boolean) =>
  look('preflight', { cluster: readOnly([], denied) });
table(permissions, [
  ['all', asUser(() => false), 'pass'],
  [
    'some missing',
    asUser((r, v) => r === 'pods' && v === 'create'),
    'fail',
    /cannot create pods in namespace kube-system\n.*cannot create pods in namespace proxyctl$/,
  ],
  [
    'a group is named',
    asUser((r, v) => r === 'daemonsets' && v === 'patch'),
    'fail',
    /cannot patch daemonsets\.apps kube-proxy in namespace kube-system/,
  ],
  ['nobody to ask', at(), 'inconclusive', /no cluster to ask/],
]);

table(nodesReady, [
  ['all', at(), 'pass'],
  [
    'one is not',
    at({ nodes: [nodeFacts('n1'), nodeFacts('n2', { ready: false })] }),
    'fail',
    /error node n2 is not Ready/,
  ],
]);

const onNode = (pods: Record<string, number>, over: Partial<NodeFacts> = {}, to: Mode = 'nftables') => {
  const crowded = { ...nodeFacts('n1', { maxPods: 110, pods, ...over }) };
  return at({ nodes: [crowded, nodeFacts('n2')] }, to);
};
table(podSlots, [
  ['room for all', onNode({ shop: 100, 'kube-system': 7 }), 'pass'],
  [
    'room for the watchers alone',
    onNode({ shop: 100, 'kube-system': 8 }),
    'fail',
    /^error node n1 has room for 2 of the 3 pods of its flip \(110 pods at most\): its kubelet refuses watchers \(OutOfpods\)/,
  ],
  ['no room', onNode({ shop: 111 }), 'fail', /n1 has room for none of the 3 pods/],
  ['watchers that stand there already', onNode({ shop: 107, proxyctl: 2 }), 'pass'],
  ['a node that is not flipped', onNode({ shop: 110 }, { mode: 'nftables' }), 'pass'],
  [
    'an inventory that does not tell',
    at({ nodes: [withoutLimit('n1'), nodeFacts('n2')] }),
    'inconclusive',
    /^inconclusive cluster how many pods 1 node takes is not known: n1$/,
  ],
]);
function withoutLimit(name: string): NodeFacts {
  const { maxPods: _, ...facts } = nodeFacts(name);
  return facts;
}

const leaving = (over: Partial<NodeFacts>, proxyConfig: Look['proxyConfig'] = { mode: 'iptables' }) => ({
  ...nodes(over),
  ...(proxyConfig ? { proxyConfig } : {}),
});
table(wayBack, [
  ['all can go back', leaving({}), 'pass'],
  ['of nodes that stay as they are nobody asks', leaving({ mode: 'nftables', osImage: 'AlmaLinux 10.1' }), 'pass'],
  [
    'no modules for the old mode',
    leaving({ osImage: 'AlmaLinux 10.1' }),
    'pass',
    /^warning node n1 has no way back: AlmaLinux 10\.1 has no iptables kernel modules, which iptables needs\nwarning node n2 /,
  ],
  [
    'another mode in the configuration',
    leaving({}, { mode: 'ipvs' }),
    'pass',
    /^warning node n1 has no way back: kube-proxy's configuration says ipvs/,
  ],
  ['nobody read the configuration', nodes({}), 'inconclusive', /^inconclusive configuration was not read/],
]);

const bound = (proxyConfig: Look['proxyConfig']) => ({
  ...at({
    nodes: [nodeFacts('n1', { internalIPs: ['10.0.0.1'] }), nodeFacts('n2', { internalIPs: ['10.0.0.2', 'fd00::2'] })],
  }),
  ...(proxyConfig ? { proxyConfig } : {}),
});
table(proxyAddress, [
  ['left to kube-proxy', bound({ metricsBindAddress: '' }), 'pass'],
  ['left to it on IPv6', bound({ bindAddress: '::' }), 'pass'],
  [
    'everywhere, on other ports',
    bound({ metricsBindAddress: '0.0.0.0:9249', healthzBindAddress: '[::]:9256' }),
    'pass',
  ],
  ['nobody read the configuration', bound(undefined), 'pass'],
  [
    'the address of one node',
    bound({ metricsBindAddress: '[fd00:0::2]:10249' }),
    'fail',
    /^error option metricsBindAddress fd00:0::2 is no address that the API names of 1 node \(n1\): /,
  ],
  [
    'an address that the API does not name',
    bound({ healthzBindAddress: '169.254.1.1' }),
    'inconclusive',
    /^inconclusive option healthzBindAddress 169\.254\.1\.1 is no address that the API names of 2 nodes \(n1, n2\)/,
  ],
  [
    'a port of the warm kube-proxy',
    bound({ metricsBindAddress: '0.0.0.0:10356' }),
    'fail',
    /^error option metricsBindAddress 10356 is a port that the warm kube-proxy takes$/,
  ],
]);

table(configOptions, [
  ['not read', at(), 'inconclusive', /was not read/],
  ['nothing to say', { ...at(), configNotes: [{ level: 'info', path: 'mode', message: 'changes' }] }, 'pass'],
  [
    'an option is lost',
    { ...at(), configNotes: [{ level: 'error', path: 'ipvs.scheduler', message: 'sh has no like' }] },
    'fail',
    /option ipvs\.scheduler sh has no like/,
  ],
]);

describe('the registry', () => {
  test('ids are unique and every gate has words and moments', () => {
    expect(new Set(GATES.map(g => g.id)).size).toBe(GATES.length);
    for (const gate of GATES)
      expect([gate.title.length > 10, gate.hint.length > 10, gate.moments.length > 0]).toEqual([true, true, true]);
  });

  test('runs the gates of the moment, in order, and survives one that throws', async () => {
    const judgements = await runGates(GATES, look('preflight'));
    expect(judgements.map(j => j.gate)).toEqual(GATES.filter(g => g.moments.includes('preflight')).map(g => g.id));
    expect(judgements.find(j => j.gate === 'permissions')?.verdict).toBe('inconclusive');
    expect(judgements.some(j => j.gate === 'convergence')).toBe(false);
  });

  test('accepted errors become warnings; what was not seen stays open, and so do others’ errors', async () => {
    const red = await runGates([kernelVersion, nodesReady, permissions], nodes({ kernel: '5.4.0', ready: false }));
    const accepted = acceptFindings(red, ['kernel-version', 'permissions']);
    expect(accepted.map(j => j.verdict)).toEqual(['pass', 'fail', 'inconclusive']);
    expect(accepted[0]?.findings[0]).toMatchObject({
      level: 'warning',
      message: expect.stringMatching(/\(accepted\)$/),
    });
  });
});
