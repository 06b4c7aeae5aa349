// The testbed over a real cluster. The witness is /probe of the test image; the truth is asked of each node's own kernel.
import { comparable, type NodeTruth, type Noise, type Row, type Testbed, type Witness } from '../scenarios/testbed.ts';
import { type RealRunning, startProxyctl } from './proxyctl.ts';
import { kubectl, nodeNames, onNode } from './shell.ts';
import { startWitness, type WitnessOptions } from './witness.ts';

/** kubelet's own, which stay in every mode. */
const KUBELETS = new Set(['KUBE-FIREWALL', 'KUBE-KUBELET-CANARY', 'KUBE-IPTABLES-HINT']);
/** Chains that iptables and ipvs mode share: whose they are depends on the mode that is served. */
const SHARED_CHAINS = new Set([
  'KUBE-SERVICES',
  'KUBE-POSTROUTING',
  'KUBE-MARK-MASQ',
  'KUBE-FORWARD',
  'KUBE-PROXY-FIREWALL',
]);
const KINDS = 'nodes,namespaces,serviceaccounts,configmaps,daemonsets,controllerrevisions,services,leases,deployments';

/** CI's machine has two processors for three nodes: clients lose single exchanges there past every Service, too. Stock loses 12 to 30 %. */
export const BUSY_MACHINE: Noise = { share: 0.005, kept: 2, blind: 2 };

export interface RealTestbed extends Testbed {
  readonly rows: Row[];
  readonly noise: Noise;
  /** As `proxyctl`, while it runs. */
  start(...args: string[]): RealRunning;
  witness(options?: WitnessOptions): Promise<Witness>;
}

export function realTestbed(noise: Noise): RealTestbed {
  const start = (...args: string[]) => startProxyctl(args);
  return {
    name: 'real',
    noise,
    rows: [],
    start,
    proxyctl: (...args) => start(...args).result,
    witness: (options = {}) => startWitness(options),
    truth: async () => Promise.all((await nodeNames()).map(nodeTruth)),
    async objects() {
      const list = JSON.parse(await kubectl('get', KINDS, '-A', '-o', 'json'));
      // Other Leases are renewed by their holders all the time.
      const entries = list.items
        .filter(
          (o: { kind: string; metadata: { namespace?: string } }) =>
            o.kind !== 'Lease' || o.metadata.namespace === 'proxyctl',
        )
        .map((object: { kind: string; revision?: number; metadata: { name: string; namespace?: string } }) => {
          // A revision's number rises whenever its template is put back; its content is what counts.
          delete object.revision;
          return [
            `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`,
            comparable({ ...object }),
          ] as const;
        });
      return new Map(entries);
    },
    close: async () => {},
  };
}

async function nodeTruth(name: string): Promise<NodeTruth> {
  const command = [
    'curl -s -m 5 127.0.0.1:10249/proxyMode',
    'echo; echo ==nft; nft list tables | grep -w kube-proxy',
    'echo ==chains; for b in iptables ip6tables; do for v in nft legacy; do $b-$v-save 2>/dev/null; done; done | grep -o "^:KUBE-[A-Z0-9-]*" | sort -u',
    'echo ==ipset; ipset list -n | grep ^KUBE',
    'echo ==vs; tail -n +4 /proc/net/ip_vs | grep -v "^  ->"',
    'echo ==dev; ip -o link show kube-ipvs0 2>/dev/null',
  ].join('; ');
  const [mode = '', nft = '', chains = '', sets = '', servers = '', device = ''] = (await onNode(name, command)).split(
    /==[a-z]+\n/,
  );
  const lines = (text: string) =>
    text
      .split('\n')
      .map(l => l.trim())
      .filter(Boolean);
  const served = mode.trim();
  const kube = lines(chains)
    .map(c => c.slice(1))
    .filter(c => !KUBELETS.has(c));
  const ipvsOnly = (c: string) =>
    /^KUBE-(NODE-PORT|LOAD-BALANCER|IPVS-FILTER|IPVS-OUT-FILTER|SOURCE-RANGES-FIREWALL|FIRE-WALL)$/.test(c);
  const shared = kube.filter(c => SHARED_CHAINS.has(c));
  return {
    name,
    mode: served,
    rules: {
      nftables: lines(nft),
      iptables: [...kube.filter(c => !ipvsOnly(c) && !SHARED_CHAINS.has(c)), ...(served === 'ipvs' ? [] : shared)],
      ipvs: [...kube.filter(ipvsOnly), ...lines(sets), ...lines(servers), ...lines(device)],
    },
  };
}
