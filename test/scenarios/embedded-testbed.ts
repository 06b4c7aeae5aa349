// The testbed over the embedded cluster: its traffic is the witness, its nodes' kernels are the truth.
import { startSim } from '../../src/commands/sim-cluster.ts';
import type { Mode } from '../../src/core/mode.ts';
import { procFile } from '../../src/sim/node-files.ts';
import { runTool } from '../../src/sim/node-tools.ts';
import type { Sim, SimOptions } from '../../src/sim/sim.ts';
import { type RunningCli, startCli, tempFile } from '../cli/run-cli.ts';
import { comparable, type NodeTruth, type Testbed } from './testbed.ts';

/** kubelet's own, which stay in every mode. */
const KUBELETS = /^KUBE-(FIREWALL|KUBELET-CANARY|IPTABLES-HINT)$/;
const SHARED_CHAINS = /^KUBE-(SERVICES|POSTROUTING|MARK-MASQ|FORWARD|PROXY-FIREWALL)$/;
const IPVS_CHAINS =
  /^KUBE-(NODE-PORT|LOAD-BALANCER|IPVS-FILTER|IPVS-OUT-FILTER|SOURCE-RANGES-FIREWALL|FIREWALL-CHECK)$/;
const KINDS = new Set([
  'Node',
  'Namespace',
  'ServiceAccount',
  'ConfigMap',
  'DaemonSet',
  'ControllerRevision',
  'Service',
  'Lease',
]);
/** The gates wait for no longer than simulated nodes need. */
const PLAYBOOK = 'gates: { soak: 1s, settle: 3s, convergence: 25s, drain: 3s }\n';

export interface EmbeddedTestbed extends Testbed {
  readonly sim: Sim;
  /** As `proxyctl`, while it runs; each has a home of its own, as on another machine. */
  start(...args: string[]): RunningCli;
  /** As `start`, on a disk where no file may grow beyond so many kilobytes. */
  startOnFullDisk(fileKilobytes: number, ...args: string[]): RunningCli;
}

export async function embeddedTestbed(
  mode: Mode,
  seed: number,
  nodes = 3,
  more: SimOptions = {},
): Promise<EmbeddedTestbed> {
  const sim = await startSim({ nodes, namespaces: 6, services: 30, mode, seed, ...more });
  const kubeconfig = tempFile('kubeconfig', sim.kubeconfig());
  const playbook = tempFile('playbook.yaml', PLAYBOOK);
  const all = (command = '', ...args: string[]) => {
    // A plan file has a playbook in it.
    const takesPlaybook = command === 'verify' || (command === 'migrate' && args[0]?.startsWith('-') !== false);
    const wishes = takesPlaybook ? ['--playbook', playbook] : [];
    return ['--kubeconfig', kubeconfig, command, ...wishes, ...args];
  };
  const start = (...args: string[]) => startCli(all(...args));
  return {
    name: 'embedded',
    sim,
    start,
    startOnFullDisk: (limit, ...args) => startCli(all(...args), {}, limit),
    proxyctl: (...args) => start(...args).result,
    async witness() {
      sim.traffic.reset();
      sim.traffic.start({ clients: 3, rate: 60 });
      return {
        async finished() {
          const { tcp, udp, kept } = sim.traffic.totals();
          sim.traffic.stop();
          return {
            tcp: tcp.attempted,
            tcpFailed: tcp.failed,
            udp: udp.attempted,
            udpFailed: udp.failed,
            keptBroken: kept.broken,
            blind: 0,
            losses: [],
          };
        },
      };
    },
    truth: async () => sim.nodes.map(node => truthOf(sim, node.name)),
    objects: async () => objectsOf(sim),
    close: () => sim.close(),
  };
}

/** Every object that matters, as comparable text. */
export function objectsOf(sim: Sim): Map<string, string> {
  const entries = sim.store.dump().filter(object => KINDS.has(object.kind));
  return new Map(
    entries.map(({ revision: _revision, ...object }) => [
      `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`,
      comparable(object),
    ]),
  );
}

export function truthOf(sim: Sim, name: string): NodeTruth {
  const node = sim.node(name);
  const run = (program: string, ...args: string[]) => runTool(node.kernel, program, args).stdout;
  const saved = `${run('iptables-nft-save')}${run('ip6tables-nft-save')}`;
  const chains = [...new Set([...saved.matchAll(/^:(KUBE-\S+)/gm)].map(m => m[1] ?? ''))].filter(
    c => !KUBELETS.test(c),
  );
  const listed = procFile(node.kernel, '/proc/net/ip_vs', true, []) ?? '';
  const servers = listed.split('\n').filter(line => /^(TCP|UDP)/.test(line));
  const sets = run('ipset', 'list', '-n')
    .split('\n')
    .filter(line => line.startsWith('KUBE'));
  const device = run('ip', '-o', 'addr', 'show', 'dev', 'kube-ipvs0').trim();
  const tables = ['ip', 'ip6'].map(family => run('nft', '-j', 'list', 'table', family, 'kube-proxy'));
  const mode = node.proxyMode ?? '';
  const shared = chains.filter(c => SHARED_CHAINS.test(c));
  return {
    name,
    mode,
    rules: {
      nftables: tables.filter(text => text.includes('"kube-proxy"')).map(() => 'table kube-proxy'),
      iptables: [
        ...chains.filter(c => !SHARED_CHAINS.test(c) && !IPVS_CHAINS.test(c)),
        ...(mode === 'ipvs' ? [] : shared),
      ],
      ipvs: [...chains.filter(c => IPVS_CHAINS.test(c)), ...servers, ...sets, ...(device === '' ? [] : ['kube-ipvs0'])],
    },
  };
}
