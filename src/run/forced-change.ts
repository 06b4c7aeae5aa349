// A Service of our own that leads nowhere and that nobody dials: its endpoint is changed, to see whether a node follows.
import type { Cluster, KubeObject } from '../core/cluster.ts';
import type { Runner } from '../core/driver.ts';
import { ApiError } from '../core/errors.ts';
import type { ForcedChange } from '../core/gate.ts';
import { LABEL_PART, NAMESPACE, PARTS } from '../core/names.ts';
import { hostPort, servicePort } from '../core/service-port.ts';
import { ownMetadata, ownSlice } from './probe-service.ts';

const NAME = 'follows-changes';
const PORT = 80;
const PORT_NAME = 'nowhere';
/** The discard port. */
const TARGET_PORT = 9;
/** Addresses for documentation (RFC 5737, RFC 3849), which lead nowhere. */
const NOWHERE = { IPv4: '192.0.2.', IPv6: '2001:db8::' } as const;
const ADDRESSES = 250;

/** Changes the endpoint and says what rules must say from now on. Throws what the API throws. */
export async function forceChange(run: Runner): Promise<ForcedChange> {
  const address = await ensureService(run);
  const old = await slices(run);
  const next = 1 + (Math.max(0, ...old.map(numberOf)) % ADDRESSES);
  const nowhere = `${address.includes(':') ? NOWHERE.IPv6 : NOWHERE.IPv4}${next}`;
  await createdNow(run.cluster, sliceOf(run, nowhere, next));
  for (const { metadata } of old) {
    const uid = metadata.uid === undefined ? {} : { uid: metadata.uid };
    await run.cluster.delete({ kind: 'EndpointSlice', namespace: NAMESPACE, name: metadata.name }, uid);
  }
  return {
    key: servicePort(address, PORT, 'TCP'),
    endpoint: hostPort(nowhere, TARGET_PORT),
    at: run.clock.now(),
  };
}

/** Takes the Service away, with its endpoint. */
export async function removeForcedChange(run: Runner): Promise<void> {
  await run.cluster.delete({ kind: 'Service', namespace: NAMESPACE, name: NAME });
  for (const { metadata } of await slices(run))
    await run.cluster.delete({ kind: 'EndpointSlice', namespace: NAMESPACE, name: metadata.name });
}

/** Its cluster IP. One that a killed run left will do. */
async function ensureService(run: Runner): Promise<string> {
  const ports = [{ name: PORT_NAME, port: PORT, protocol: 'TCP', targetPort: TARGET_PORT }];
  const service = { apiVersion: 'v1', kind: 'Service', metadata: ownMetadata(run, NAME), spec: { ports } };
  const there = (await standing(run)) ?? (await createdNow(run.cluster, service)) ?? (await standing(run));
  if (!there) throw new Error(`Service ${NAME} was deleted as soon as it was made`);
  return there.spec.clusterIP;
}

async function standing(run: Runner): Promise<KubeObject | undefined> {
  const ours = { namespace: NAMESPACE, labelSelector: `${LABEL_PART}=${PARTS.probe}` };
  for await (const service of run.cluster.list('Service', ours)) if (service.metadata.name === NAME) return service;
  return undefined;
}

async function slices(run: Runner): Promise<KubeObject[]> {
  const found: KubeObject[] = [];
  const labelSelector = `kubernetes.io/service-name=${NAME}`;
  for await (const slice of run.cluster.list('EndpointSlice', { namespace: NAMESPACE, labelSelector }))
    found.push(slice);
  return found;
}

/** The last number of the slice's address is that of its name. */
function numberOf({ metadata }: KubeObject): number {
  return Number(metadata.name.slice(NAME.length + 1)) || 0;
}

function sliceOf(run: Runner, address: string, number: number): KubeObject {
  const ports = [{ name: PORT_NAME, port: TARGET_PORT, protocol: 'TCP' }];
  return ownSlice(run, { service: NAME, name: `${NAME}-${number}`, address, ports });
}

/** The object as the server has made it; undefined when it was there already, as after a create that was answered late. */
async function createdNow(cluster: Cluster, object: KubeObject): Promise<KubeObject | undefined> {
  try {
    return await cluster.create(object);
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'AlreadyExists') return undefined;
    throw error;
  }
}
