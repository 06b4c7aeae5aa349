// The faults of the matrix on real nodes, by shell commands in the nodes' own kernels.
import type { Mode } from '../../src/core/mode.ts';
import type { FaultTestbed } from '../scenarios/fault-matrix.ts';
import type { Fault } from '../scenarios/fault-rows.ts';
import { crashLoop, fullTable, noNft, smallTable, stopped, type Undoable, udpDropped } from './node-commands.ts';
import {
  type DamagedPort,
  deadEndpoint,
  KEEP,
  RESTORE,
  WITHOUT_RULES,
  withoutAffinity,
  withoutEndpoint,
  withoutNodePort,
  withoutPort,
  withoutService,
} from './node-damage.ts';
import { startProxyctl } from './proxyctl.ts';
import { addressesIn, type ListedPort, listPorts, setEndpoints } from './service-list.ts';
import { apply, eventually, kubectl, nodeNames, onNode } from './shell.ts';
import { freshProxy, synced } from './stock.ts';

type Damage = (port: DamagedPort) => Readonly<Record<Mode, string>>;

/** A Service of the workload that has what the fault takes away, and the name of its port. */
const DAMAGES: Partial<Record<Fault, readonly [service: string, port: string, damage: Damage]>> = {
  'service-rules': ['team-a/svc-1', 'http', withoutService],
  'endpoint-rule': ['team-a/svc-2', 'http', withoutEndpoint],
  'dead-endpoint': ['team-a/svc-4', 'http', deadEndpoint],
  'udp-rule': ['team-b/svc-6', 'udp', withoutPort],
  'node-port-rule': ['shop/web', 'http', withoutNodePort],
  'affinity-rule': ['team-b/svc-5', 'http', withoutAffinity],
};
/** Loses an endpoint under a kube-proxy that is stopped. */
const CHANGED = 'team-c/svc-1';
/** Its endpoints come and go. */
const CHURNED = 'team-d/svc-1';
const CHURN_MS = 3000;
const DONE = 'px-done';
const SLOWEST_SECONDS = 400;

/** A cluster as `layOut` leaves it. */
export async function realFaults(): Promise<FaultTestbed> {
  const ports = await listPorts();
  const healing: (() => Promise<void>)[] = [];
  return {
    nodes: await nodeNames(),
    // A real kube-proxy that answers and writes nothing: nobody knows how to make one in every mode.
    without: ['frozen-proxy'],
    start: (...args) => startProxyctl(args),
    proxyctl: (...args) => startProxyctl(args).result,
    async inject(fault, mode, node) {
      const { services, slow, script, undo } = injected(ports, fault, mode, node);
      healing.push(undo);
      await (slow ? runSlowly : run)(node, script);
      if (fault === 'stopped-proxy') await setEndpoints(CHANGED, addressesOf(ports, CHANGED).slice(1));
      return services;
    },
    async heal() {
      const failed: unknown[] = [];
      for (const heal of healing.splice(0).reverse()) await heal().catch(error => failed.push(error));
      if (failed.length > 0) throw new AggregateError(failed, failed.map(String).join('; '));
    },
    churn: () => churn(addressesOf(ports, CHURNED)),
  };
}

interface Injected {
  readonly services: readonly string[];
  readonly slow?: true;
  readonly script: string;
  readonly undo: () => Promise<void>;
}

function injected(ports: readonly ListedPort[], fault: Fault, mode: Mode, node: string): Injected {
  const byCommand = ({ script, undo, slow }: Undoable, services: readonly string[] = []): Injected => ({
    services,
    ...(slow ? { slow } : {}),
    script,
    undo: () => (slow ? runSlowly : run)(node, undo),
  });
  const [service, name, damage] = DAMAGES[fault] ?? [];
  if (service !== undefined && damage) {
    const port = ports.find(p => p.service === service && p.name === name);
    if (!port) throw new Error(`the workload has no ${service}:${name}`);
    return byCommand({ script: `${KEEP[mode]}\n${damage(port)[mode]}`, undo: RESTORE[mode] }, [service]);
  }
  switch (fault) {
    case 'all-rules':
      return byCommand({ script: `${KEEP[mode]}\n${WITHOUT_RULES[mode]}`, undo: RESTORE[mode] });
    case 'stopped-proxy': {
      const { script, undo } = stopped;
      const all = addressesOf(ports, CHANGED);
      const heal = async () => {
        await setEndpoints(CHANGED, all);
        await run(node, undo);
      };
      return { services: [CHANGED], script, undo: heal };
    }
    case 'crash-loop': {
      const heal = async () => {
        await run(node, crashLoop.undo);
        await freshProxy(node);
      };
      return { services: [], script: crashLoop.script, undo: heal };
    }
    case 'udp-dropped': {
      const answering = ports.filter(p => p.protocol === 'udp' && p.endpoints.length > 0);
      return byCommand(udpDropped, [...new Set(answering.map(p => p.service))]);
    }
    case 'conntrack-full':
      return byCommand(fullTable);
    case 'conntrack-max':
      return byCommand(smallTable);
    case 'no-nft':
      return byCommand(noNft);
    default:
      throw new Error(`${fault} is unknown on real nodes`);
  }
}

/** Throws with what was said when a command of the script fails. */
async function run(node: string, script: string): Promise<void> {
  const said = await onNode(node, `( set -eo pipefail\n${script}\n)\n[ $? = 0 ] && echo ${DONE}`);
  if (!said.trimEnd().endsWith(DONE)) throw new Error(`on ${node}: ${said.trim() || 'no answer'}\nof: ${script}`);
}

/** As `run`, for what takes longer than a shell on a node may live: the script goes on without it. */
async function runSlowly(node: string, script: string): Promise<void> {
  const file = '/run/px-slowly';
  await run(
    node,
    `rm -f ${file}.*
cat > ${file}.run <<'END'
set -eo pipefail
${script}
END
setsid bash -c 'bash ${file}.run > ${file}.said 2>&1; echo $? > ${file}.new; mv ${file}.new ${file}.code' > /dev/null 2>&1 < /dev/null &`,
  );
  const ended = async () => (await onNode(node, `ls ${file}.code`)).trimEnd() === `${file}.code`;
  await eventually(`a slow script on ${node}`, SLOWEST_SECONDS, ended);
  const said = (await onNode(node, `cat ${file}.said ${file}.code`)).trim();
  if (said.split('\n').at(-1) !== '0') throw new Error(`on ${node}: ${said || 'no answer'}\nof: ${script}`);
}

function addressesOf(ports: readonly ListedPort[], service: string): string[] {
  return addressesIn(ports.filter(p => p.service === service));
}

function churn(addresses: readonly string[]): () => Promise<void> {
  let on = true;
  const work = async () => {
    for (let turn = 0; on; turn++) {
      await setEndpoints(CHURNED, turn % 2 === 0 ? addresses.slice(1) : addresses);
      await new Promise(done => setTimeout(done, CHURN_MS));
    }
    await setEndpoints(CHURNED, addresses);
  };
  const working = work();
  // Told to whoever waits for the end.
  working.catch(() => undefined);
  return () => {
    on = false;
    return working;
  };
}

/**
 * ipvs mode writes everything again each 30 s, and so would mend what is damaged before anybody sees it. Now each hour, as the
 * other modes do; kube-proxies are restarted for it.
 */
export async function writeSeldom(): Promise<void> {
  const map = JSON.parse(await kubectl('-n', 'kube-system', 'get', 'cm', 'kube-proxy', '-o', 'json'));
  const text: string = map.data['config.conf'];
  const edited = text.replace(/^(ipvs:\n(?: {2}.*\n)*? {2}syncPeriod:) .*$/m, '$1 1h0m0s');
  if (edited === text) throw new Error('the configuration has no ipvs.syncPeriod');
  map.data['config.conf'] = edited;
  await apply([map]);
  await kubectl('-n', 'kube-system', 'delete', 'pod', '-l', 'k8s-app=kube-proxy', '--wait=false');
  await kubectl('-n', 'kube-system', 'rollout', 'status', 'ds/kube-proxy', '--timeout=180s');
  await Promise.all((await nodeNames()).map(synced));
}
