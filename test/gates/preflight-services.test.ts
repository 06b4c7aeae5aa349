import type { Look } from '../../src/core/gate.ts';
import type { Inventory, NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import type { Mode } from '../../src/core/mode.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { mappingIn } from '../../src/drivers/config-text.ts';
import { apiServerAddress } from '../../src/gates/api-server-address.ts';
import { externalIPs } from '../../src/gates/external-ips.ts';
import { externalTrafficPolicy } from '../../src/gates/external-traffic-policy.ts';
import { internalTrafficPolicy } from '../../src/gates/internal-traffic-policy.ts';
import { loadBalancerHealth } from '../../src/gates/load-balancer-health.ts';
import { nodePortAddresses } from '../../src/gates/node-port-addresses.ts';
import { nodePortLocalhost } from '../../src/gates/node-port-localhost.ts';
import { sessionAffinity } from '../../src/gates/session-affinity.ts';
import { sourceRanges } from '../../src/gates/source-ranges.ts';
import { inventory, look, nodeFacts, service } from './looks.ts';
import { table } from './table.ts';

const at = (over: Partial<Inventory> = {}, to: Mode = 'nftables'): Look =>
  withConfig(look('preflight', { to, inventory: inventory(over) }));
/** One Service, on nodes in `from`. */
const svc = (over: Partial<ServiceFacts>, to: Mode = 'nftables', from: NodeFacts['mode'] = 'iptables') =>
  at(
    {
      services: [service('shop/web', over)],
      nodes: [nodeFacts('n1', { mode: from }), nodeFacts('n2', { mode: from })],
    },
    to,
  );
const proxy = (over: Partial<Inventory['proxy']>) => ({ ...inventory().proxy, ...over });
const config = (text: string) =>
  proxy({ configMap: { namespace: 'kube-system', name: 'kube-proxy', uid: 'c', key: 'k', hash: 'h', text } });
const server = (apiServer: string, over: Partial<Inventory> = {}) =>
  at({
    ...over,
    proxy: proxy({
      configMap: { namespace: 'kube-system', name: 'kube-proxy', uid: 'c', key: 'k', hash: 'h', text: '', apiServer },
    }),
  });
/** As commands parse what stands in the ConfigMap. */
function withConfig(l: Look): Look {
  const proxyConfig = mappingIn(l.inventory.proxy.configMap?.text ?? '');
  return proxyConfig ? { ...l, proxyConfig } : l;
}
const withPlaybook = (l: Look, playbook: unknown): Look => ({ ...l, playbook: Playbook.parse(playbook) });

const port = { ports: [{ name: '', port: 80, protocol: 'TCP' as const, nodePort: 30080 }], type: 'NodePort' as const };
const noKeep = (l: Look) => withPlaybook(l, { options: { nodePortAddresses: 'default' } });
const more = {
  nodes: [nodeFacts('n1', { internalIPs: ['10.0.0.1', '10.1.0.1'] })],
  services: [service('shop/web', port)],
};
table(nodePortAddresses, [
  ['no NodePorts', noKeep(at()), 'pass'],
  ['preserved', svc(port), 'pass'],
  ['nodes with more addresses', noKeep(at(more)), 'fail', /1 Service with NodePorts \(shop\/web\) .*: n1/],
  [
    'both families is one address each',
    noKeep(at({ ...more, nodes: [nodeFacts('n1', { internalIPs: ['10.0.0.1', 'fd00::1'] })] })),
    'pass',
    /warning .*virtual/,
  ],
  [
    'the configuration sets a list',
    noKeep(at({ ...more, proxy: config('nodePortAddresses:\n- 0.0.0.0/0\n') })),
    'pass',
  ],
  [
    'the configuration sets nothing',
    noKeep(at({ ...more, proxy: config('nodePortAddresses: null # x\nmode: ""\n') })),
    'fail',
    /primary/,
  ],
  [
    'the configuration sets a list in JSON',
    noKeep(at({ ...more, proxy: config('{"nodePortAddresses": ["0.0.0.0/0"]}') })),
    'pass',
  ],
  [
    'the configuration sets an empty list, over two lines',
    noKeep(at({ ...more, proxy: config('nodePortAddresses: [\n]\n') })),
    'fail',
    /primary/,
  ],
  ['to iptables nothing is lost', noKeep(svc(port, 'iptables', 'ipvs')), 'pass'],
  ['modes not known', noKeep(svc(port, 'nftables', 'unknown')), 'inconclusive', /2 of the nodes is not known/],
]);

table(nodePortLocalhost, [
  ['leaving iptables', svc(port), 'pass', /warning .*127\.0\.0\.1:<NodePort> stops .*shop\/web/],
  ['leaving ipvs', svc(port, 'nftables', 'ipvs'), 'pass'],
  [
    'it was off',
    at({ services: [service('shop/web', port)], proxy: config('iptables:\n  localhostNodePorts: false\n') }),
    'pass',
  ],
  [
    'it was off, in flow style',
    at({ services: [service('shop/web', port)], proxy: config('iptables: { "localhostNodePorts": false }\n') }),
    'pass',
  ],
  [
    'an option of the same name elsewhere does not count',
    at({ services: [service('shop/web', port)], proxy: config('other:\n  localhostNodePorts: false\n') }),
    'pass',
    /warning/,
  ],
  ['modes not known', svc(port, 'nftables', 'unknown'), 'inconclusive', /not known/],
]);

const local = { ...port, internalTrafficPolicy: 'Local' as const };
table(internalTrafficPolicy, [
  [
    'leaving ipvs',
    svc(local, 'nftables', 'ipvs'),
    'fail',
    /error service shop\/web works from 1 node .*ipvs ignores.*\(n2\)/,
  ],
  ['leaving ipvs, every node has one', svc({ ...local, readyByNode: { n1: 1, n2: 1 } }, 'nftables', 'ipvs'), 'pass'],
  ['leaving ipvs, ClusterIP only', svc({ internalTrafficPolicy: 'Local' }, 'nftables', 'ipvs'), 'pass'],
  ['leaving iptables', svc(local), 'pass'],
  ['to ipvs', svc(local, 'ipvs'), 'pass', /warning .*ipvs ignores/],
  ['modes not known', svc(local, 'nftables', 'unknown'), 'inconclusive', /not known/],
]);

const lb = { ...port, type: 'LoadBalancer' as const, loadBalancerIPs: ['192.0.2.1'] };
const eTP = { ...lb, externalTrafficPolicy: 'Local' as const };
const eTPNodePort = { ...port, externalTrafficPolicy: 'Local' as const };
const podsOf = (l: Look, text: string): Look =>
  withConfig({ ...l, inventory: { ...l.inventory, proxy: config(text) } });
const knownPods = (l: Look): Look => podsOf(l, 'clusterCIDR: 10.244.0.0/16\n');
table(externalTrafficPolicy, [
  ['to ipvs', svc(eTP, 'ipvs'), 'fail', /shop\/web .*does not answer clients on nodes without a local endpoint \(n2\)/],
  ['from ipvs', svc(eTP, 'iptables', 'ipvs'), 'pass', /warning .*iptables drops it/],
  ['iptables to nftables', svc(eTP), 'pass', /warning .*131765/],
  ['nftables to iptables', svc(eTP, 'iptables', 'nftables'), 'pass'],
  ['Cluster', svc(lb, 'ipvs'), 'pass'],
  ['NodePorts to ipvs', svc(eTPNodePort, 'ipvs'), 'pass'],
  [
    'NodePorts from ipvs, pods not known',
    svc(eTPNodePort, 'nftables', 'ipvs'),
    'pass',
    /^warning service shop\/web on nodes without a local endpoint \(n2\) ipvs led pods from its NodePorts .*; nftables drops them$/,
  ],
  [
    'a load balancer with a name from ipvs',
    svc({ ...eTPNodePort, type: 'LoadBalancer' }, 'iptables', 'ipvs'),
    'pass',
    /iptables drops them$/,
  ],
  ['NodePorts from ipvs, pods known', knownPods(svc(eTPNodePort, 'nftables', 'ipvs')), 'pass'],
  [
    'NodePorts from ipvs, pods known by a configuration in JSON',
    podsOf(svc(eTPNodePort, 'nftables', 'ipvs'), '{"clusterCIDR": "10.244.0.0/16"}'),
    'pass',
  ],
  ['NodePorts, iptables to nftables', svc(eTPNodePort), 'pass'],
  [
    'NodePorts, an endpoint on each node',
    svc({ ...eTPNodePort, readyByNode: { n1: 1, n2: 1 } }, 'nftables', 'ipvs'),
    'pass',
  ],
  ['NodePorts, modes not known', svc(eTPNodePort, 'iptables', 'unknown'), 'inconclusive', /not known/],
  ['modes not known', svc(eTP, 'iptables', 'unknown'), 'inconclusive', /not known/],
]);

table(sessionAffinity, [
  ['none', at(), 'pass'],
  ['some', svc({ sessionAffinity: 'ClientIP' }), 'pass', /warning .*1 Service with sessionAffinity.*shop\/web/],
]);

const ranges = { ...lb, sourceRanges: ['198.51.100.0/24'] };
const shared = { services: [service('shop/web', ranges), service('shop/api', lb)] };
table(sourceRanges, [
  ['none', svc(lb), 'pass'],
  ['iptables to nftables', svc(ranges), 'pass'],
  ['an address shared in ipvs', at(shared, 'ipvs'), 'fail', /shop\/web shares its address with shop\/api/],
  ['leaving ipvs', svc(ranges, 'nftables', 'ipvs'), 'pass', /warning .*differently/],
]);

table(externalIPs, [
  [
    'to ipvs without strictARP',
    svc({ externalIPs: ['192.0.2.7'] }, 'ipvs'),
    'fail',
    /every node will answer ARP for 192\.0\.2\.7/,
  ],
  [
    'to ipvs with strictARP',
    at({ services: [service('shop/web', lb)], proxy: config('ipvs:\n  strictARP: true\n') }, 'ipvs'),
    'pass',
  ],
  [
    'to ipvs with strictARP, in JSON',
    at({ services: [service('shop/web', lb)], proxy: config('{"ipvs": {"strictARP": true}}') }, 'ipvs'),
    'pass',
  ],
  [
    'to ipvs with strictARP of something else',
    at({ services: [service('shop/web', lb)], proxy: config('nftables:\n  strictARP: true\n') }, 'ipvs'),
    'fail',
    /every node will answer ARP/,
  ],
  [
    'an address of a node, to ipvs',
    svc({ externalIPs: ['10.0.0.1', '192.0.2.7'] }, 'ipvs'),
    'fail',
    /has addresses of nodes: 10\.0\.0\.1 \(n2\); every node takes them for its own/,
  ],
  ['an address of a node, to nftables', svc({ externalIPs: ['10.0.0.1'] }), 'pass'],
  ['leaving ipvs', svc({ externalIPs: ['192.0.2.7'] }, 'nftables', 'ipvs'), 'pass', /warning .*kube-ipvs0 any more/],
  ['iptables to nftables', svc({ externalIPs: ['192.0.2.7'] }), 'pass'],
]);

function withFlags(...flags: string[]) {
  const { daemonSet } = inventory().proxy;
  if (!daemonSet) throw new Error('no DaemonSet');
  return { ...daemonSet, flags };
}

table(apiServerAddress, [
  ['an address of its own', at(), 'pass'],
  [
    'the Service by address',
    server('https://10.96.0.1:443'),
    'fail',
    /10\.96\.0\.1 is the cluster IP of Service default\/kubernetes/,
  ],
  ['the Service by name', server('https://kubernetes.default.svc.cluster.local'), 'fail', /kube-proxy itself serves/],
  [
    'IPv6',
    server('https://[fd00::1]:443', { services: [service('default/kubernetes', { clusterIPs: ['fd00::1'] })] }),
    'fail',
    /fd00::1/,
  ],
  [
    'a load balancer of the cluster itself',
    server('https://192.0.2.1:6443', { services: [...inventory().services, service('kube-system/api', lb)] }),
    'pass',
    /warning/,
  ],
  [
    'the address that every pod is given',
    { ...at({ proxy: config('') }), proxyConfig: { clientConnection: { kubeconfig: '' } } },
    'fail',
    /there is none \(clientConnection\.kubeconfig\), so it asks the Service that it serves itself/,
  ],
  [
    'a flag instead',
    {
      ...at({ proxy: { ...config(''), daemonSet: withFlags('--master=https://10.0.0.9:6443') } }),
      proxyConfig: { clientConnection: { kubeconfig: '' } },
    },
    'inconclusive',
    /not in the ConfigMap/,
  ],
  ['not in the ConfigMap', at({ proxy: config('') }), 'inconclusive', /not in the ConfigMap/],
  ['no address', server('nonsense'), 'inconclusive', /is no address/],
  [
    'nothing to compare with',
    server('https://10.0.0.9', { services: [] }),
    'inconclusive',
    /default\/kubernetes was not found/,
  ],
]);

table(loadBalancerHealth, [
  ['none', at(), 'pass'],
  ['some', svc(lb), 'pass', /warning .*balancers of 1 Service/],
  ['health ports move', noKeep(svc({ ...lb, healthCheckNodePort: 32000 })), 'pass', /health check NodePorts/],
]);
