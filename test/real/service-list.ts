// Services and endpoints as the API has them.
import type { DamagedPort } from './node-damage.ts';
import { kubectl } from './shell.ts';

export type ListedPort = DamagedPort;

interface Listed {
  kind: string;
  metadata: { namespace: string; name: string; labels?: Record<string, string> };
}
interface ListedService extends Listed {
  spec: { clusterIP?: string; ports?: { name?: string; protocol: string; port: number; nodePort?: number }[] };
}
interface ListedSlice extends Listed {
  endpoints?: { addresses: string[] }[];
  ports?: { name?: string; port: number }[];
}

/** Every port of every Service, with its endpoints. */
export async function listPorts(): Promise<ListedPort[]> {
  const { items }: { items: Listed[] } = JSON.parse(
    await kubectl('get', 'services,endpointslices', '-A', '-o', 'json'),
  );
  const slices = items.filter((item): item is ListedSlice => item.kind === 'EndpointSlice');
  const services = items.filter((item): item is ListedService => item.kind === 'Service');
  return services.flatMap(({ metadata: { namespace, name }, spec }) => {
    const own = slices.filter(
      ({ metadata }) => metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === name,
    );
    return (spec.ports ?? []).map(
      (port): ListedPort => ({
        service: `${namespace}/${name}`,
        name: port.name ?? '',
        protocol: port.protocol === 'UDP' ? 'udp' : 'tcp',
        clusterIP: spec.clusterIP ?? '',
        port: port.port,
        endpoints: own.flatMap(slice => endpointsAt(slice, port.name ?? '')),
        ...(port.nodePort === undefined ? {} : { nodePort: port.nodePort }),
      }),
    );
  });
}

function endpointsAt({ endpoints = [], ports = [] }: ListedSlice, name: string): string[] {
  const port = ports.find(p => (p.name ?? '') === name)?.port;
  if (port === undefined) return [];
  return endpoints.flatMap(({ addresses: [address] }) => (address === undefined ? [] : `${address}:${port}`));
}

/** Addresses of endpoints, each once. */
export function addressesIn(ports: readonly ListedPort[]): string[] {
  return [...new Set(ports.flatMap(p => p.endpoints.map(e => e.slice(0, e.lastIndexOf(':')))))];
}

/** Writes the endpoints of a Service whose slice has its name. */
export async function setEndpoints(service: string, addresses: readonly string[]): Promise<void> {
  const [namespace = '', name = ''] = service.split('/');
  const value = addresses.map(address => ({ addresses: [address], conditions: { ready: true } }));
  const patch = JSON.stringify([{ op: 'replace', path: '/endpoints', value }]);
  await kubectl('-n', namespace, 'patch', 'endpointslice', name, '--type=json', '-p', patch);
}
