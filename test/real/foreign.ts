// What the suite needs of a cluster that it did not bring up itself: shells on its nodes, tools in them, the right mode.
import type { Mode } from '../../src/core/mode.ts';
import { apply, type KubeJson, kubectl, nodeNames, onNode, SUITE, shellPod, TEST_IMAGE } from './shell.ts';

/** Called on nodes, from the test image or, where that has no nft, from the node itself. */
const TOOLS = 'curl nft iptables-nft-save iptables-legacy-save ip6tables-nft-save ipset ip pkill';

/** Puts shells on the nodes. @throws when the cluster is in another mode, or tools are missing. */
export async function checkForeign(mode: Mode): Promise<void> {
  const map = JSON.parse(await kubectl('-n', 'kube-system', 'get', 'configmap', 'kube-proxy', '-o', 'json'));
  const is = /^mode: "?(\w+)"?$/m.exec(map.data['config.conf'])?.[1] ?? 'iptables';
  if (is !== mode) throw new Error(`the cluster is in mode ${is}; these tests need one in mode ${mode}`);
  const nodes = await nodeNames();
  await apply(nodes.map(shellOn));
  await kubectl('-n', SUITE, 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=180s');
  for (const node of nodes) {
    const missing = await onNode(node, `for tool in ${TOOLS}; do command -v $tool > /dev/null || echo $tool; done`);
    if (missing.trim() !== '')
      throw new Error(`no ${missing.trim().split('\n').join(', ')} on ${node}: see CONTRIBUTING.md for the test image`);
  }
}

/** Root on the node, its network and its processes: reads its kernel, and ends kube-proxies there. */
function shellOn(node: string): KubeJson {
  const container = {
    name: 'shell',
    image: TEST_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    command: ['sleep', 'infinity'],
    securityContext: { privileged: true },
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: shellPod(node), namespace: SUITE },
    spec: {
      nodeName: node,
      hostNetwork: true,
      hostPID: true,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: 'Exists' }],
      containers: [container],
    },
  };
}
