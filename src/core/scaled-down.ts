// Whether a Service has fewer endpoints because somebody wants fewer pods.
import type { Cluster, KubeObject } from './cluster.ts';
import { inNamespaces } from './in-namespaces.ts';
import { serviceKey } from './inventory.ts';

/** What the API says of a Service now. */
export interface ServicePods {
  /** Pods that its Deployments, StatefulSets and DaemonSets want; undefined when it has none of them. */
  wanted: number | undefined;
  /** Pods that are there, not ended and not about to. */
  running: number;
}

interface Selected extends ServicePods {
  readonly namespace: string;
  readonly selector: Readonly<Record<string, string>>;
}

const MAKERS = ['Deployment', 'StatefulSet', 'DaemonSet'] as const;

/** Of these Services, `namespace/name`, those that are there, by name. Throws what the API throws. */
export async function podsOfServices(
  cluster: Cluster | undefined,
  services: ReadonlySet<string>,
): Promise<Map<string, ServicePods>> {
  const found = new Map<string, Selected>();
  const namespaces = new Set([...services].map(service => service.slice(0, service.indexOf('/'))));
  for await (const { metadata, spec } of inNamespaces(cluster, 'Service', namespaces)) {
    const { name, namespace = '' } = metadata;
    const key = serviceKey({ namespace, name });
    const selector = spec?.selector ?? {};
    if (services.has(key)) found.set(key, { namespace, selector, wanted: undefined, running: 0 });
  }
  const selected = [...found.values()].filter(({ selector }) => Object.keys(selector).length > 0);
  const byNamespace = Map.groupBy(selected, ({ namespace }) => namespace);
  const within = new Set(byNamespace.keys());
  const behind = ({ namespace = '' }: KubeObject['metadata'], labels: Readonly<Record<string, string>> = {}) =>
    (byNamespace.get(namespace) ?? []).filter(s =>
      Object.entries(s.selector).every(([name, value]) => labels[name] === value),
    );
  for (const kind of MAKERS) {
    for await (const object of inNamespaces(cluster, kind, within)) {
      const { metadata, spec } = object;
      for (const service of behind(metadata, spec?.template?.metadata?.labels))
        service.wanted = (service.wanted ?? 0) + wantedBy(kind, object);
    }
  }
  for await (const { metadata, status } of inNamespaces(cluster, 'Pod', within)) {
    const isGoing = metadata.deletionTimestamp !== undefined || /^(Succeeded|Failed)$/.test(status?.phase ?? '');
    if (!isGoing) for (const service of behind(metadata, metadata.labels)) service.running++;
  }
  return found;
}

function wantedBy(kind: (typeof MAKERS)[number], { spec, status }: KubeObject): number {
  return kind === 'DaemonSet' ? (status?.desiredNumberScheduled ?? 1) : (spec?.replicas ?? 1);
}

/** Whether all that are wanted and all that run are ready: pods of somebody else, as of a rollout's own kind, are wanted. */
export function isScaledTo(ready: number, { wanted, running }: ServicePods): boolean {
  return wanted !== undefined && wanted <= ready && running <= ready;
}
