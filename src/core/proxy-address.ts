// Where a kube-proxy answers: its metrics, which also tell its mode, and its health.
import { MAIN_PORTS, WARM_PORTS } from './names.ts';
import { LOOPBACK } from './probe-kind.ts';
import { type KubeProxyConfiguration, textOf } from './proxy-config.ts';
import { hostPort } from './service-port.ts';

export interface HostPort {
  readonly address: string;
  readonly port: number;
}

/** Of one kube-proxy, as its node's host network reaches them. */
export interface ProxyAddresses {
  readonly metrics: HostPort;
  readonly healthz: HostPort;
}

/** On IPv4's loopback whatever the cluster's family: the kernel itself puts it on `lo`, while `::1` is missing where IPv6 is off. */
export const WARM: ProxyAddresses = {
  metrics: { address: LOOPBACK, port: WARM_PORTS.metrics },
  healthz: { address: LOOPBACK, port: WARM_PORTS.healthz },
};

/** What stands for every address of a node. */
const WILDCARDS: readonly string[] = ['0.0.0.0', '::'];

/**
 * Where the kube-proxy of a parsed KubeProxyConfiguration is bound, with its own defaults: an empty field follows the family of
 * `bindAddress`. Source: kube-proxy 1.36 `SetDefaults_KubeProxyConfiguration`. Metrics cannot be switched off: it refuses to start.
 */
export function boundAddresses(config: KubeProxyConfiguration): ProxyAddresses {
  const isIPv6 = textOf(config.bindAddress).includes(':');
  return {
    metrics: read(config.metricsBindAddress, { address: isIPv6 ? '::1' : LOOPBACK, port: MAIN_PORTS.metrics }),
    healthz: read(config.healthzBindAddress, { address: isIPv6 ? '::' : '0.0.0.0', port: MAIN_PORTS.healthz }),
  };
}

/** Where it can be asked. Go listens for both families on either wildcard, so that IPv4's loopback reaches it, IPv6 or not. */
export function proxyAddresses(config: KubeProxyConfiguration): ProxyAddresses {
  const { metrics, healthz } = boundAddresses(config);
  return { metrics: reachable(metrics), healthz: reachable(healthz) };
}

export function isWildcard(address: string): boolean {
  return WILDCARDS.includes(address);
}

/** `METRICS,HEALTHZ`, each ADDRESS:PORT. */
export function addressesText({ metrics, healthz }: ProxyAddresses): string {
  return [metrics, healthz].map(({ address, port }) => hostPort(address, port)).join(',');
}

/** ADDRESS:PORT with brackets around IPv6; undefined for what is none. */
export function readHostPort(value: string): HostPort | undefined {
  const [, v6, v4, port] = /^(?:\[([0-9a-f:.]+)\]|([\d.]+)):(\d{1,5})$/i.exec(value) ?? [];
  const address = v6 ?? v4;
  return address === undefined ? undefined : { address, port: Number(port) };
}

function reachable({ address, port }: HostPort): HostPort {
  return { address: isWildcard(address) ? LOOPBACK : address, port };
}

/** An address alone has the default port. kube-proxy does not start with anything else. */
function read(value: unknown, unless: HostPort): HostPort {
  const given = textOf(value);
  if (given === '') return unless;
  return readHostPort(given) ?? { address: given, port: unless.port };
}
