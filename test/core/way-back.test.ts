import { expect, it } from 'vitest';
import type { NodeFacts } from '../../src/core/inventory.ts';
import type { Mode } from '../../src/core/mode.ts';
import { noWayBack } from '../../src/core/way-back.ts';
import { inventory, nodeFacts } from '../gates/looks.ts';

const { proxy } = inventory();
const image = (tag: string) => `registry.k8s.io/kube-proxy:${tag}`;
const running = (tag: string): Partial<NodeFacts> => {
  const { proxyPod } = nodeFacts('n1');
  return proxyPod ? { proxyPod: { ...proxyPod, image: image(tag) } } : {};
};
/** The node and the DaemonSet have the same image. */
const at = (tag: string, from: Mode, config: Record<string, unknown> = { mode: from }) => {
  const daemonSet = proxy.daemonSet && { ...proxy.daemonSet, image: image(tag) };
  return noWayBack(nodeFacts('n1', running(tag)), from, { proxy: { ...(daemonSet ? { daemonSet } : {}) }, config });
};

it.each<Mode>(['iptables', 'ipvs', 'nftables'])('%s of today has a way back', mode => {
  expect(at('v1.36.3', mode)).toBeUndefined();
  expect(noWayBack(nodeFacts('n1'), mode, { proxy })).toBeUndefined();
});

it.each([
  ['v1.39.2', {}, undefined],
  ['v1.40.0', {}, 'kube-proxy 1.40, which the DaemonSet has, does not start in mode ipvs any more'],
  ['v1.40.0', { KubeProxyIPVS: true }, undefined],
  [
    'v1.43.0',
    { KubeProxyIPVS: true },
    'kube-proxy 1.43, which the DaemonSet has, does not start in mode ipvs any more',
  ],
  ['v1.37.0', { KubeProxyIPVS: false }, 'the configuration switches mode ipvs off (feature gate KubeProxyIPVS)'],
])('ipvs, %s, feature gates %o', (tag, featureGates, why) => {
  expect(at(tag, 'ipvs', { mode: 'ipvs', featureGates })).toBe(why);
  expect(at(tag, 'iptables', { mode: 'iptables', featureGates })).toBeUndefined();
});

it('another mode in the shared configuration is where a rollback would lead', () => {
  const why = "kube-proxy's configuration says nftables, so what is given back starts in nftables and not in iptables";
  expect(at('v1.36.3', 'iptables', { mode: 'nftables' })).toBe(why);
  expect(at('v1.36.3', 'iptables', { mode: '' })).toBeUndefined();
  expect(at('v1.36.3', 'ipvs', {})).toContain('starts in iptables');
  expect(at('v1.39.0', 'iptables', { mode: '' })).toBeUndefined();
  expect(at('v1.40.0', 'iptables', { mode: '' })).toContain('starts in nftables');
  expect(at('v1.40.0', 'nftables', {})).toBeUndefined();
});

it('systems without iptables modules', () => {
  const osImage = 'Red Hat Enterprise Linux 10.0 (Coughlan)';
  const from = (mode: Mode) => noWayBack(nodeFacts('n1', { osImage }), mode, { proxy, config: { mode } });
  expect(from('iptables')).toBe(`${osImage} has no iptables kernel modules, which iptables needs`);
  expect(from('ipvs')).toContain('which ipvs needs');
  expect(from('nftables')).toBeUndefined();
});

it('another image than the DaemonSet has; what nobody knows is no reason', () => {
  const why = noWayBack(nodeFacts('n1', running('v1.35.0')), 'iptables', { proxy, config: { mode: 'iptables' } });
  expect(why).toContain(`runs image ${image('v1.35.0')} and the DaemonSet has ${image('v1.36.3')}`);
  const { proxyPod: _, ...bare } = nodeFacts('n1');
  expect(noWayBack(bare, 'iptables', { proxy, config: { mode: 'iptables' } })).toBeUndefined();
  expect(noWayBack(nodeFacts('n1', running('v1.35.0')), 'iptables', { proxy: {} })).toBeUndefined();
});

it('says all of them', () => {
  const node = nodeFacts('n1', { osImage: 'AlmaLinux 10.1', ...running('v1.35.0') });
  expect(noWayBack(node, 'iptables', { proxy, config: { mode: 'ipvs' } })?.split('; ')).toHaveLength(3);
});
