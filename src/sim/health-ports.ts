// What kube-proxy says to load balancers of Services with externalTrafficPolicy Local. Source: kube-proxy 1.36
// pkg/proxy/healthcheck/service_health.go.
import type { Answer, SimNode } from './node.ts';
import type { ServiceView } from './services.ts';

export class HealthPorts {
  private readonly node: SimNode;
  /** What closes each. */
  private readonly open = new Map<number, () => void>();
  private view: ServiceView | undefined;

  constructor(node: SimNode) {
    this.node = node;
  }

  has(port: number): boolean {
    return this.open.has(port);
  }

  /** A sync: opens what Services ask for, at this address or at all; a port that is taken waits for the next one. */
  serve(view: ServiceView, address = '0.0.0.0'): void {
    this.view = view;
    const wanted = new Set(view.ports.flatMap(port => port.healthCheckNodePort ?? []));
    for (const [port, end] of [...this.open]) {
      if (wanted.has(port)) continue;
      end();
      this.open.delete(port);
    }
    for (const port of wanted) {
      const end = this.open.has(port) ? undefined : this.node.listen({ address, port }, () => this.answer(port));
      if (end) this.open.set(port, end);
    }
  }

  close(): void {
    for (const end of this.open.values()) end();
    this.open.clear();
  }

  private answer(healthPort: number): Answer {
    const ports = this.view?.ports.filter(port => port.healthCheckNodePort === healthPort) ?? [];
    const local = ports.flatMap(port => port.endpoints).filter(({ node }) => node === this.node.name);
    const localEndpoints = new Set(local.map(({ ip }) => ip)).size;
    const [namespace, name] = ports[0]?.service.split('/') ?? [];
    const said = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: true };
    return { status: localEndpoints > 0 ? 200 : 503, body: JSON.stringify(said, undefined, '\t') };
  }
}
