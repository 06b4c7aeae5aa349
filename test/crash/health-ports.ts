// Load balancers ask nodes at the health check node ports of their Services: kube-proxy closes them when it goes, and each mode opens them again.
import assert from 'node:assert/strict';
import { type Bed, withBed } from './bed.ts';
import { ends, when } from './script.ts';
import { DIRECTIONS, expectMode } from './sweep.ts';

const PORT = 32_100;

/** Makes one of the Services one whose load balancer asks nodes, and needs no NodePorts; gives its key. */
function balanced({ sim }: Bed): string {
  const service = sim.store
    .list('Service')
    .find(({ metadata, spec }) => metadata.namespace !== 'kube-system' && spec.type === 'ClusterIP' && spec.selector);
  assert.ok(service);
  const { namespace, name } = service.metadata;
  sim.store.mutate('Service', namespace, name, ({ spec }) => {
    Object.assign(spec, { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: PORT });
    spec.allocateLoadBalancerNodePorts = false;
  });
  return `${namespace}/${name}`;
}

/** What a load balancer is told on each node: 200 where an endpoint is local. */
function expectAnswers({ sim }: Bed, key: string): void {
  const { ports } = sim.services();
  for (const { name, ip, at } of sim.nodes.map(node => ({ name: node.name, ip: node.ip, at: node.at.bind(node) }))) {
    const local = ports.some(port => port.service === key && port.endpoints.some(({ node }) => node === name));
    assert.equal(at({ address: ip, port: PORT })?.('/').status, local ? 200 : 503, name);
  }
}

export async function answerAgain(): Promise<void> {
  for (const [mode, to] of DIRECTIONS) {
    await withBed({ mode, to, seed: 43 }, async bed => {
      const key = balanced(bed);
      await bed.sleep(5000);
      expectAnswers(bed, key);
      await ends(bed, 'migrate', 0, /0 of [\d,]+ connections failed: .*\d health check node port/);
      expectMode(bed, to);
      expectAnswers(bed, key);
      await ends(bed, 'rollback', 0);
      await bed.sleep(5000);
      expectAnswers(bed, key);
    });
  }
}

/** Something else takes the port while kube-proxy has it not: balancers take the node out, and rules show nothing. */
export async function taken(): Promise<void> {
  for (const says of [404, undefined]) {
    await withBed({ mode: 'iptables', to: 'nftables', seed: 43 }, async bed => {
      const key = balanced(bed);
      await bed.sleep(5000);
      let end = () => {};
      const take = (name: string) => {
        const node = bed.sim.nodes.find(each => each.name === name);
        // On another address than the balancer's nobody answers there.
        const address = says === undefined ? '127.0.0.1' : '0.0.0.0';
        end = node?.listen({ address, port: PORT }, () => ({ status: says ?? 200, body: '' })) ?? end;
      };
      // At the proof after it the old kube-proxy has gone, and no other has taken the port yet.
      when(bed, 'prove-alone', take);
      const how = says === undefined ? 'refused' : 'wrong answer';
      await ends(
        bed,
        'migrate',
        21,
        new RegExp(`${key}:\\d+/\\w+@health-check:\\S+ from the pod network .*: ${how}, `),
      );
      end();
      await bed.sleep(60_000);
      await ends(bed, 'rollback', 0);
      expectMode(bed, 'iptables');
    });
  }
}
