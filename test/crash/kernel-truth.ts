// What nodes' kernels do with connections to Services, asked without leaving a trace.
import type { Connection, Kernel } from '../../src/sim/kernel.ts';
import type { SimNode } from '../../src/sim/node.ts';
import type { Sim } from '../../src/sim/sim.ts';

/** Addresses that a client on the node may dial: every Service port with an endpoint, every NodePort of the node itself. */
function connections(sim: Sim, node: SimNode): { name: string; to: Connection }[] {
  return sim.services().ports.flatMap(({ service, protocol, clusterIP, port, nodePort, endpoints }) => {
    // Our own come and go in the middle of a run, and rules follow a little later.
    if (protocol === 'sctp' || endpoints.length === 0 || service.startsWith('proxyctl/')) return [];
    const own = {
      name: `${service} ${clusterIP}:${port}`,
      to: { protocol, ip: clusterIP, port, from: 'pod' as const },
    };
    if (nodePort === undefined) return [own];
    const outside = { protocol, ip: node.ip, port: nodePort, from: 'pod' as const };
    return [own, { name: `${service} NodePort ${nodePort}`, to: outside }];
  });
}

/** Service ports that lead to no backend from this node. */
export function unserved(sim: Sim, node: SimNode): string[] {
  return connections(sim, node)
    .filter(({ to }) => node.kernel.fateOf(to).kind !== 'backend')
    .map(({ name }) => name);
}

/** Tells whether a kernel's rules may have changed since it was last asked. */
export class Changes {
  private readonly seen = new WeakMap<Kernel, unknown[]>();

  since(kernel: Kernel): boolean {
    const { iptables, nft, ipvs } = kernel;
    const now = [iptables.IPv4.version, nft.ip, ipvs.servers.size, ipvs.device?.size];
    const before = this.seen.get(kernel);
    if (before?.every((value, i) => value === now[i])) return false;
    this.seen.set(kernel, now);
    return true;
  }
}
