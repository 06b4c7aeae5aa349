// A Service that leads to a node's own pod watcher and nowhere else: what only such a one shows is hairpin and session affinity.
import { createHash } from 'node:crypto';
import type { Cluster, KubeObject, Ref } from '../core/cluster.ts';
import type { Runner } from '../core/driver.ts';
import { ApiError } from '../core/errors.ts';
import { LABEL_PART, LABEL_RUN, NAMESPACE, PARTS } from '../core/names.ts';
import { ECHO_PORTS, OWN_PORT, type OwnService } from '../core/probe-service.ts';

const PORT_NAME = 'echo';
/** Longer than any flip; the client is the same all the while. */
const AFFINITY_SECONDS = 3600;

/** A node's name may be longer than a Service's. */
function nameFor(node: string): string {
  return `probe-${createHash('sha256').update(node).digest('hex').slice(0, 12)}`;
}

/** The node's probe Service, without endpoints as long as nobody says where they are. Throws what the API throws. */
export async function ensureProbeService(run: Runner, node: string): Promise<OwnService> {
  const service: KubeObject = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ownMetadata(run, nameFor(node)),
    spec: {
      ports: [{ name: PORT_NAME, port: OWN_PORT, protocol: 'TCP', targetPort: PORT_NAME }],
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: AFFINITY_SECONDS } },
    },
  };
  const { metadata: made, spec } = await createFresh(run.cluster, service);
  return { name: `${NAMESPACE}/${made.name}`, address: spec.clusterIP };
}

/** The Service leads to the pod at `address`, to both its ports: a slice of its own for each, for a slice has one list of ports. */
export async function leadTo(run: Runner, node: string, address: string): Promise<void> {
  const name = nameFor(node);
  for (const port of ECHO_PORTS) {
    const slice = {
      service: name,
      name: `${name}-${port}`,
      address,
      ports: [{ name: PORT_NAME, port, protocol: 'TCP' }],
    };
    await createFresh(run.cluster, ownSlice(run, { ...slice, node }));
  }
}

export async function removeProbeService({ cluster }: Runner, node: string): Promise<void> {
  const name = nameFor(node);
  await cluster.delete({ kind: 'Service', namespace: NAMESPACE, name });
  for (const port of ECHO_PORTS)
    await cluster.delete({ kind: 'EndpointSlice', namespace: NAMESPACE, name: `${name}-${port}` });
}

/** Where one of our own Services leads: to one address, on a node where it is one's. */
export function ownSlice(
  run: Runner,
  at: { service: string; name: string; address: string; ports: readonly unknown[]; node?: string },
): KubeObject {
  const nodeName = at.node === undefined ? {} : { nodeName: at.node };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: ownMetadata(run, at.name, {
      'kubernetes.io/service-name': at.service,
      'endpointslice.kubernetes.io/managed-by': 'proxyctl',
    }),
    addressType: at.address.includes(':') ? 'IPv6' : 'IPv4',
    ports: at.ports,
    endpoints: [{ addresses: [at.address], conditions: { ready: true }, ...nodeName }],
  };
}

/** Of what belongs to a Service of our own. */
export function ownMetadata(run: Runner, name: string, labels: Record<string, string> = {}): KubeObject['metadata'] {
  return { name, namespace: NAMESPACE, labels: { ...labels, [LABEL_PART]: PARTS.probe, [LABEL_RUN]: run.id } };
}

/** Creates it; one of the same name, left by a run that was killed and leading to nobody, is removed first. */
async function createFresh(cluster: Cluster, object: KubeObject): Promise<KubeObject> {
  try {
    return await cluster.create(object);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
  }
  await cluster.delete({ kind: object.kind as Ref['kind'], namespace: NAMESPACE, name: object.metadata.name });
  return cluster.create(object);
}
