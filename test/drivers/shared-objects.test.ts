import { expect, it } from 'vitest';
import type { Cluster, KubeObject, Ref } from '../../src/core/cluster.ts';
import type { RunContext } from '../../src/core/driver.ts';
import { refuseOtherMode } from '../../src/drivers/daemonset/shared-objects.ts';

const namespace = 'kube-system';
const daemonSet = (tag: string): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'kube-proxy', namespace },
  spec: { template: { spec: { containers: [{ name: 'kube-proxy', image: `registry.k8s.io/kube-proxy:${tag}` }] } } },
});
const configMap = (text: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'kube-proxy', namespace },
  data: { 'config.conf': text },
});

/** A run begun with `was`; since then the cluster holds `now`. */
function run(was: string, now: string | undefined, text = 'mode: ""\n'): RunContext {
  const cluster: Pick<Cluster, 'get'> = {
    get: async ({ kind }: Ref) =>
      kind === 'ConfigMap' ? configMap(text) : now === undefined ? undefined : daemonSet(now),
  };
  const originals = {
    daemonSet: daemonSet(was),
    configMap: configMap(text),
    configKey: 'config.conf',
    configPath: '/var/lib/kube-proxy/config.conf',
  };
  // Of a run nothing else is asked.
  return { cluster, originals } as unknown as RunContext;
}

it('an empty mode means what the version of the DaemonSet makes of it', async () => {
  await expect(refuseOtherMode(run('v1.39.0', 'v1.39.0'), 'n1', 'iptables')).resolves.toBeUndefined();
  await expect(refuseOtherMode(run('v1.40.0', 'v1.40.0'), 'n1', 'nftables')).resolves.toBeUndefined();
  await expect(refuseOtherMode(run('v1.40.0', 'v1.40.0'), 'n1', 'iptables')).rejects.toThrow('says mode nftables');
});

it('of a DaemonSet that somebody changed, and of the recorded one where it is gone', async () => {
  await expect(refuseOtherMode(run('v1.39.0', 'v1.40.0'), 'n1', 'iptables')).rejects.toThrow('says mode nftables');
  await expect(refuseOtherMode(run('v1.40.0', undefined), 'n1', 'iptables')).rejects.toThrow('says mode nftables');
});
