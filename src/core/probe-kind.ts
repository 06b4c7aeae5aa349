// Kinds of probes and what their ids say. Free of zod: it runs on nodes too.

export const PROBE_KINDS = [
  'cluster-ip-tcp',
  'cluster-ip-udp',
  'dns',
  'node-port',
  'load-balancer',
  'external-ip',
  'health-check',
  'hairpin',
  'affinity',
] as const;
export type ProbeKind = (typeof PROBE_KINDS)[number];

/** Kinds of the probe Service that every pod watcher brings with it. */
export const OWN_KINDS: readonly ProbeKind[] = ['hairpin', 'affinity'];

/** What people read. */
export const KIND_LABELS: Readonly<Record<ProbeKind, string>> = {
  'cluster-ip-tcp': 'ClusterIP TCP',
  'cluster-ip-udp': 'ClusterIP UDP',
  dns: 'DNS by name',
  'node-port': 'NodePort',
  'load-balancer': 'load balancer address',
  'external-ip': 'external address',
  'health-check': 'health check node port',
  hairpin: 'hairpin',
  affinity: 'session affinity',
};

/** In place of a target's address: every address of that family that the node itself has. The watcher knows them. */
export const NODE_ADDRESSES = { IPv4: 'node IPv4', IPv6: 'node IPv6' } as const;

export const LOOPBACK = '127.0.0.1';

const KIND = /\/\w+@(dns|node-port|load-balancer|external-ip|health-check|hairpin|affinity)(?::(.*))?$/;

/**
 * A target's id: `namespace/name:port/PROTOCOL` for the first cluster IP, with `@ADDRESS` behind it for another one, and with
 * `@KIND` or `@KIND:ADDRESS` for the other kinds.
 */
export function targetId(port: string, kind: ProbeKind, address = ''): string {
  const plain = kind === 'cluster-ip-tcp' || kind === 'cluster-ip-udp';
  const suffix = [...(plain ? [] : [kind]), ...(address === '' ? [] : [address])].join(':');
  return suffix === '' ? port : `${port}@${suffix}`;
}

export function kindOfTarget(id: string): ProbeKind {
  const [, kind] = KIND.exec(id) ?? [];
  return PROBE_KINDS.find(k => k === kind) ?? (/\/UDP(@|$)/.test(id) ? 'cluster-ip-udp' : 'cluster-ip-tcp');
}

/** The address within the id of a NodePort, load balancer, external address or health check node port; empty where it names none. */
export function addressOfTarget(id: string): string {
  return KIND.exec(id)?.[2] ?? '';
}

/** `namespace/name` of a probe target's id. */
export function serviceOfTarget(id: string): string {
  return id.slice(0, id.indexOf(':'));
}
