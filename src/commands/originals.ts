// kube-proxy's own objects as a run found them: read when it begins, and from its record with what that withholds.
import type { Cluster, KubeObject } from '../core/cluster.ts';
import type { Originals } from '../core/driver.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import type { RunRecord } from '../core/run-state.ts';
import { complete } from '../core/withheld.ts';
import { modeDaemonSetName } from '../drivers/daemonset/objects.ts';

/** What stands in the cluster now and must come back. */
export async function originalsOf(cluster: Cluster, inventory: Inventory): Promise<Originals> {
  const { daemonSet, configMap } = inventory.proxy;
  if (!daemonSet?.configPath || !configMap) {
    throw new ProxyctlError(
      'kube-proxy has no --config file in a ConfigMap; proxyctl cannot give it another mode',
      EXIT.findings,
    );
  }
  const set = await cluster.get({ kind: 'DaemonSet', namespace: daemonSet.namespace, name: daemonSet.name });
  const map = await cluster.get({ kind: 'ConfigMap', namespace: configMap.namespace, name: configMap.name });
  if (!set || !map)
    throw new ProxyctlError("kube-proxy's DaemonSet or ConfigMap went away just now; try again", EXIT.stalePlan);
  return { daemonSet: bare(set), configMap: bare(map), configKey: configMap.key, configPath: daemonSet.configPath };
}

/** What it was, without what only the server may write, and without annotations: some hold whole objects of other days. */
function bare(object: KubeObject): KubeObject {
  const { name, namespace, uid, labels } = object.metadata;
  const { status: _status, ...rest } = object;
  const known = { ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}), ...(labels ? { labels } : {}) };
  return { ...rest, metadata: { name, ...known } };
}

/** The record's originals, with what it withholds taken from the cluster. */
export async function completed(cluster: Cluster, { originals, plan }: RunRecord): Promise<Originals> {
  const { namespace = '', name } = originals.configMap.metadata;
  const configMap = await cluster.get({ kind: 'ConfigMap', namespace, name });
  if (!configMap)
    throw new ProxyctlError(`ConfigMap ${namespace}/${name} is gone; put it back, then call again`, EXIT.stalePlan);
  // Where somebody has deleted the original, or made it anew without, ours is a copy.
  const names = [originals.daemonSet.metadata.name, modeDaemonSetName(originals, plan.to)];
  const daemonSets = names.map(each => cluster.get({ kind: 'DaemonSet', namespace, name: each }));
  return complete(
    originals,
    (await Promise.all(daemonSets)).filter(set => set !== undefined),
    configMap,
  );
}
