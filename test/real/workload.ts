// What the test cluster serves: one real workload that the witness dials, and teams with Services of every common kind.
import { accountOf, apply, type KubeJson, kubectl, namespaceOf, nodeNames, TEST_IMAGE } from './shell.ts';
import { clientPod, ELSEWHERE, reached, serversOf } from './witness.ts';

/** A team's namespace, which of the nodes its one pod is on (none: reached from nowhere), and how many Services it has. */
const TEAMS = [
  { name: 'team-a', node: 0, services: 5 },
  { name: 'team-b', node: 1, services: 8 },
  { name: 'team-c', node: 2, services: 8 },
  { name: 'team-d', services: 9 },
];

/** Servers and clients have their share of a node's one processor, whatever else starts there: else the witness measures hunger. */
const RESOURCES = { requests: { cpu: '50m' } };
/** A node that is away for a while keeps its pods: bare ones would be gone for good. */
const TOLERATIONS = [{ operator: 'Exists' }];

function pod(namespace: string, name: string, node: string): KubeJson {
  const container = { name: 'c', image: TEST_IMAGE, command: ['sleep', 'infinity'], resources: RESOURCES };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      nodeName: node,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      tolerations: TOLERATIONS,
      containers: [container],
    },
  };
}

function web(servers: number): KubeJson[] {
  const labels = { app: 'web' };
  const container = {
    name: 's',
    image: TEST_IMAGE,
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    resources: RESOURCES,
    readinessProbe: { tcpSocket: { port: 8080 } },
  };
  // One server on each node: each has one slow processor, and everything that is dialled ends at a server.
  const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' };
  const topologySpreadConstraints = [{ ...spread, labelSelector: { matchLabels: labels } }];
  const spec = {
    topologySpreadConstraints,
    tolerations: TOLERATIONS,
    automountServiceAccountToken: false,
    containers: [container],
  };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { replicas: servers, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        type: 'NodePort',
        selector: labels,
        ports: [HTTP, UDP],
      },
    },
  ];
}

interface Port {
  name: string;
  port: number;
  targetPort: number;
  protocol?: 'UDP';
}
const HTTP: Port = { name: 'http', port: 80, targetPort: 8080 };
const UDP: Port = { name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 };

/** A Service of a team: every fourth has no endpoints, every third also speaks UDP. */
function service(namespace: string, index: number, addresses: readonly string[]): KubeJson[] {
  const name = `svc-${index}`;
  const ports = index % 3 === 0 ? [HTTP, UDP] : [HTTP];
  const affinity = index % 5 === 0 ? { sessionAffinity: 'ClientIP' } : {};
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ports, ...affinity } };
  return index % 4 === 3 ? [object] : [object, slice(namespace, name, ports, addresses)];
}

/** A Service without pods of its own leads to the web pods. */
function slice(namespace: string, name: string, ports: readonly Port[], addresses: readonly string[]): KubeJson {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: addresses.map(address => ({ addresses: [address], conditions: { ready: true } })),
    ports: ports.map(p => ({ name: p.name, port: p.targetPort, protocol: p.protocol ?? 'TCP' })),
  };
}

/** Lays the workload out and waits until it runs, and every client reaches it. */
export async function layOut(): Promise<void> {
  const nodes = await nodeNames();
  const nodeOf = (index: number) => nodes[index % nodes.length] ?? '';
  const residents = TEAMS.flatMap(({ name, node }) => (node === undefined ? [] : [{ name, node: nodeOf(node) }]));
  const namespaces = ['shop', ...TEAMS.map(t => t.name)];
  await apply(namespaces.map(name => namespaceOf(name)));
  for (const name of namespaces) await accountOf(name);
  const clients = nodes.map(node => pod('shop', clientPod(node), node));
  await apply([...web(nodes.length), ...clients, ...residents.map(({ name, node }) => pod(name, 'resident', node))]);
  await kubectl('-n', 'shop', 'rollout', 'status', 'deploy/web', '--timeout=180s');
  for (const name of ['shop', ...residents.map(r => r.name)])
    await kubectl('-n', name, 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=180s');
  await leadToServers();
  await reached();
}

/** Makes the Services that have no pods of their own, with endpoints where the servers are now. */
export async function leadToServers(): Promise<void> {
  const [first] = await nodeNames();
  const servers = await serversOf();
  const everywhere = servers.map(server => server.address);
  const elsewhere = servers.filter(server => server.node !== first).map(server => server.address);
  const shop = { name: ELSEWHERE, namespace: 'shop' };
  await apply([
    ...TEAMS.flatMap(t => Array.from({ length: t.services }, (_, i) => service(t.name, i, everywhere)).flat()),
    { apiVersion: 'v1', kind: 'Service', metadata: shop, spec: { ports: [HTTP, UDP] } },
    slice(shop.namespace, shop.name, [HTTP, UDP], elsewhere),
  ]);
}
