// The stock switch, as people do it: the word in the ConfigMap, then a restart. Runs beside, to show what the witness sees.
import type { Mode } from '../../src/core/mode.ts';
import type { Row, Testbed } from '../scenarios/testbed.ts';
import { apply, eventually, kubectl, nodeNames, onNode } from './shell.ts';

/** Switches every node by editing the ConfigMap and restarting the DaemonSet, under the witness. */
export async function stockSwitch(bed: Testbed, to: Mode): Promise<Row> {
  const witness = await bed.witness();
  const began = performance.now();
  const map = JSON.parse(await kubectl('-n', 'kube-system', 'get', 'cm', 'kube-proxy', '-o', 'json'));
  map.data['config.conf'] = map.data['config.conf'].replace(/^mode: .*$/m, `mode: "${to}"`);
  await apply([map]);
  await kubectl('-n', 'kube-system', 'delete', 'pod', '-l', 'k8s-app=kube-proxy', '--wait=false');
  await kubectl('-n', 'kube-system', 'rollout', 'status', 'ds/kube-proxy', '--timeout=180s');
  const seconds = (performance.now() - began) / 1000;
  // The rollout is green long before the rules stand.
  await Promise.all((await nodeNames()).map(synced));
  return { what: `stock switch to ${to}`, ...(await witness.finished()), seconds, proxySeconds: 0, soakSeconds: 0 };
}

/**
 * Every kube-proxy restarted in its own mode, node by node, under the witness: no rule goes, so what is lost then is what
 * these nodes lose when a kube-proxy starts.
 */
export async function plainRestart(bed: Testbed): Promise<Row> {
  const witness = await bed.witness();
  const began = performance.now();
  for (const node of await nodeNames()) await freshProxy(node);
  const seconds = (performance.now() - began) / 1000;
  return { what: 'plain restart, same mode', ...(await witness.finished()), seconds, proxySeconds: 0, soakSeconds: 0 };
}

/** Restarts the kube-proxy of a node, and waits until it has written its rules. */
export async function freshProxy(node: string): Promise<void> {
  const selector = ['-l', 'k8s-app=kube-proxy', '--field-selector', `spec.nodeName=${node}`];
  await kubectl('-n', 'kube-system', 'delete', 'pod', ...selector);
  await kubectl('-n', 'kube-system', 'rollout', 'status', 'ds/kube-proxy', '--timeout=180s');
  await synced(node);
}

/** Waits until a node's kube-proxy has written its rules, both families. */
export async function synced(node: string): Promise<void> {
  const count =
    "curl -s -m 5 127.0.0.1:10249/metrics | grep -c '^kubeproxy_sync_proxy_rules_last_timestamp_seconds{.* [1-9]'";
  await eventually(`kube-proxy on ${node} to have synced`, 240, async () => {
    return (await onNode(node, `${count} || true`)).trim() === '2';
  });
}
