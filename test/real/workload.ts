// What the test cluster serves: one real workload that the witness dials, and teams with Services of every common kind.
import { inside, kubectl, NODES, podAddresses } from './testbed.ts';

const IMAGE = 'registry.k8s.io/e2e-test-images/agnhost:2.57';
/** A team's namespace, the node its one pod is on (none: reached from nowhere), and how many Services it has. */
const TEAMS = [
  { name: 'team-a', node: 'node1', services: 6 },
  { name: 'team-b', node: 'node2', services: 8 },
  { name: 'team-c', node: 'node3', services: 8 },
  { name: 'team-d', services: 9 },
];

type KubeJson = Record<string, unknown>;

/** Servers and clients have their share of a node's one processor, whatever else starts there: else the witness measures hunger. */
const RESOURCES = { requests: { cpu: '50m' } };

function pod(namespace: string, name: string, node: string): KubeJson {
  const container = { name: 'c', image: IMAGE, command: ['sleep', 'infinity'], resources: RESOURCES };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      nodeName: node,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      containers: [container],
    },
  };
}

function web(): KubeJson[] {
  const labels = { app: 'web' };
  const container = {
    name: 's',
    image: IMAGE,
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    resources: RESOURCES,
    readinessProbe: { tcpSocket: { port: 8080 } },
  };
  // One server on each node: each has one slow processor, and everything that is dialled ends at a server.
  const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' };
  const topologySpreadConstraints = [{ ...spread, labelSelector: { matchLabels: labels } }];
  const spec = { topologySpreadConstraints, automountServiceAccountToken: false, containers: [container] };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { replicas: NODES.length, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        type: 'NodePort',
        selector: labels,
        clusterIP: '10.96.0.100',
        ports: [
          { name: 'http', port: 80, targetPort: 8080, nodePort: 30080 },
          { name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 },
        ],
      },
    },
  ];
}

/** A Service without pods of its own: its endpoints are the web pods'; every fourth has none, every third also speaks UDP. */
function service(namespace: string, index: number, addresses: string[]): KubeJson[] {
  const name = `svc-${index}`;
  const ports = [
    { name: 'http', port: 80, targetPort: 8080 },
    ...(index % 3 === 0 ? [{ name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 }] : []),
  ];
  const affinity = index % 5 === 0 ? { sessionAffinity: 'ClientIP' } : {};
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ports, ...affinity } };
  if (index % 4 === 3) return [object];
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: addresses.map(address => ({ addresses: [address], conditions: { ready: true } })),
    ports: ports.map(p => ({ name: p.name, port: p.targetPort, protocol: 'protocol' in p ? p.protocol : 'TCP' })),
  };
  return [object, slice];
}

/** Lays the workload out and waits until it runs. */
export async function layOut(): Promise<void> {
  const namespaces = ['shop', ...TEAMS.map(t => t.name)].map(name => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  }));
  await apply(namespaces);
  for (const { metadata } of namespaces) await accountOf(metadata.name);
  const clients = NODES.map(node => pod('shop', `client-${node}`, node));
  await apply([...web(), ...clients, ...TEAMS.flatMap(t => (t.node ? [pod(t.name, 'resident', t.node)] : []))]);
  await kubectl('-n', 'shop', 'rollout', 'status', 'deploy/web', '--timeout=180s');
  for (const { name } of [{ name: 'shop' }, ...TEAMS.filter(t => t.node)])
    await kubectl('-n', name, 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=180s');
  const listed = await podAddresses();
  await apply(
    TEAMS.flatMap(t => Array.from({ length: t.services }, (_, i) => service(t.name, i, listed.split(' '))).flat()),
  );
}

/** Pods need their namespace's account, which a controller makes a moment later. */
async function accountOf(namespace: string): Promise<void> {
  await kubectl('-n', namespace, 'wait', '--for=create', 'serviceaccount/default', '--timeout=60s');
}

async function apply(objects: KubeJson[]): Promise<void> {
  await inside(['kubectl', 'apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
}
