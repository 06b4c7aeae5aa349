// The addresses and ports at which a Service is reached, as people name them.
import { type ApiService, type Family, portName } from './api-services.ts';
import { nodePort, servicePort } from './service-port.ts';

export interface ServiceFrontend {
  readonly kind: 'ClusterIP' | 'external IP' | 'load balancer IP' | 'NodePort';
  readonly family: Family;
  /** As in `ServiceRule`. */
  readonly key: string;
  /** `namespace/name:port/PROTOCOL`, and the port's own name, which may be empty. */
  readonly port: string;
  readonly portName: string;
}

/** In the order in which people think of them; `port` is a port's number or name, undefined for all. */
export function frontendsOf(service: ApiService, port?: string): ServiceFrontend[] {
  const ports = service.ports.filter(p => port === undefined || String(p.port) === port || p.name === port);
  return ports.flatMap(p =>
    service.addresses.flatMap(({ family, clusterIP, externalIPs, balancerIPs }): ServiceFrontend[] => {
      const about = { family, port: portName(service.key, p), portName: p.name };
      const at = (kind: ServiceFrontend['kind'], address: string) => ({
        kind,
        key: servicePort(address, p.port, p.protocol),
        ...about,
      });
      const onNode = family === 'IPv4' ? 'ip' : 'ip6';
      return [
        at('ClusterIP', clusterIP),
        ...externalIPs.map(address => at('external IP', address)),
        ...balancerIPs.map(address => at('load balancer IP', address)),
        ...(p.nodePort === undefined
          ? []
          : [{ kind: 'NodePort' as const, key: nodePort(onNode, p.nodePort, p.protocol), ...about }]),
      ];
    }),
  );
}
