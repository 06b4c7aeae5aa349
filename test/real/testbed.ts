// The testbed over a real cluster. The witness is /probe of the test image; the truth is asked of each node's own kernel.
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Running } from '../scenarios/rounds.ts';
import {
  type CliResult,
  comparable,
  type NodeTruth,
  type Noise,
  type Row,
  type Testbed,
  type Witness,
  type Witnessed,
} from '../scenarios/testbed.ts';
import { ROOT, SHARED } from './cluster.ts';

const exec = promisify(execFile);
export const NODES = ['node1', 'node2', 'node3'];
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

/** Runs a program inside the cluster's network, with its kubeconfig. */
export async function inside(args: string[], input?: string): Promise<string> {
  const child = exec(`${SHARED}/in`, args, { maxBuffer: 256 << 20 });
  if (input !== undefined) child.child.stdin?.end(input);
  return (await child).stdout;
}

export const kubectl = (...args: string[]): Promise<string> => inside(['kubectl', ...args]);

/** A shell command on a node, in its own kernel. */
export async function onNode(node: string, command: string): Promise<string> {
  return (await exec(`${SHARED}/node`, [node.replace('node', ''), command], { maxBuffer: 64 << 20 })).stdout;
}

/** Starts `proxyctl` inside the cluster's network, with a home of its own. */
export function startCli(...args: string[]): Running {
  const began = performance.now();
  const state = mkdtempSync(join(tmpdir(), 'proxyctl-real-'));
  const child = spawn(`${SHARED}/in`, [process.execPath, join(ROOT, 'bin/proxyctl.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, XDG_STATE_HOME: state },
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', data => (stdout += data));
  child.stderr?.on('data', data => (stderr += data));
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code =>
      resolve({ code: code ?? -1, stdout, stderr, seconds: (performance.now() - began) / 1000 }),
    );
  });
  return { stdout: () => stdout, stderr: () => stderr, signal: name => void child.kill(name), result };
}

interface Probed {
  new: number;
  failed: number;
  kept: number;
  kept_broke: number;
  kept_error: string;
  /** Of the failed ones, by error. */
  errors: Record<string, number>;
}

async function probe(pod: string, ...args: string[]): Promise<Probed> {
  return JSON.parse(await kubectl('-n', 'shop', 'exec', pod, '--', '/probe', ...args));
}

/** One probe tells only when its time is over, so they follow one another in segments of this length. */
const SEGMENT = '60s';
/** Three nodes share two processors: what asks more often, or waits less, measures their load. A SYN that met no rules stays dead. */
const PATIENCE = ['-for', SEGMENT, '-timeout', '3s', '-every'];
const TCP = ['-target', '10.96.0.100:80', ...PATIENCE];
const UDP = ['-target', '10.96.0.100:81', '-udp', ...PATIENCE];

const directUdp = (address: string): string[] => ['-target', `${address}:8081`, '-udp', ...PATIENCE];

/** Addresses of the servers, with spaces between. */
export function podAddresses(): Promise<string> {
  return kubectl('-n', 'shop', 'get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}');
}

/** Segments one behind the other, until `stopped`. */
async function segments(pod: string, args: string[], stopped: () => boolean): Promise<Seen> {
  const probed: Probed[] = [];
  let blind = 0;
  while (!stopped()) {
    try {
      probed.push(await probe(pod, ...args));
    } catch {
      // kubectl lost its stream: nobody knows what this client saw meanwhile.
      blind++;
    }
  }
  return { probed, blind };
}

interface Seen {
  readonly probed: readonly Probed[];
  /** Segments of which nothing came back. */
  readonly blind: number;
}

/** An error without the addresses in front of it. */
const kind = (error: string): string => error.slice(error.lastIndexOf(': ') + 2);

/** What one client lost over one protocol; nothing when it lost nothing. */
function lossesOf(client: string, segments: readonly Probed[]): string[] {
  return segments.flatMap(({ failed, new: tried, errors, kept_broke, kept_error }) => [
    ...(failed > 0
      ? [`${client}: ${failed} of ${tried}, ${[...new Set(Object.keys(errors).map(kind))].join(', ')}`]
      : []),
    ...(kept_broke > 0 ? [`${client}: kept connection broken ${kept_broke} times, ${kind(kept_error)}`] : []),
  ]);
}

/** One connection for all the time, a request a second over it. Ends early only when it breaks. */
function keptConnection(pod: string): { broken: () => boolean; end: () => void } {
  const request = 'GET /hostname HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n';
  const script = `while :; do printf '${request}' || exit; sleep 1; done | nc 10.96.0.100 80 > /dev/null`;
  const child = spawn(`${SHARED}/in`, ['kubectl', '-n', 'shop', 'exec', pod, '--', 'sh', '-c', script], {
    stdio: 'ignore',
  });
  let ended = false;
  let broken = false;
  // The shell's own end is the connection's; any other is kubectl's.
  child.on('exit', code => {
    if (!ended && code === 0) broken = true;
  });
  return {
    broken: () => broken,
    end: () => {
      ended = true;
      child.kill();
    },
  };
}

export function realTestbed(noise: Noise): Testbed & { rows: Row[] } {
  return {
    name: 'real',
    noise,
    rows: [],
    proxyctl: (...args) => startCli(...args).result,
    async witness(): Promise<Witness> {
      let stop = false;
      const pods = NODES.map(node => `client-${node}`);
      const kept = pods.map(keptConnection);
      const stopped = () => stop;
      const tcp = pods.map((pod, i) => segments(pod, [...TCP, i === 0 ? '100ms' : '250ms'], stopped));
      const udp = pods.map(pod => segments(pod, [...UDP, '500ms'], stopped));
      // Past every Service, to a server's own address: what is lost there, no rule has lost.
      const server = (await podAddresses()).split(' ').at(-1) ?? '';
      const directly = segments('client-node1', [...directUdp(server), '1s'], stopped);
      // The kept connections must stand before anything happens.
      await new Promise(resolve => setTimeout(resolve, 3000));
      return {
        async finished(): Promise<Witnessed> {
          stop = true;
          const [byTcp, byUdp] = [await Promise.all(tcp), await Promise.all(udp)];
          const past = await directly;
          const [overTcp, overUdp] = [byTcp, byUdp].map(list => list.flatMap(seen => seen.probed)) as [
            Probed[],
            Probed[],
          ];
          const broken = pods.filter((_, i) => kept[i]?.broken());
          for (const connection of kept) connection.end();
          const sum = (list: readonly Probed[], field: 'new' | 'failed' | 'kept_broke') =>
            list.reduce((total, one) => total + one[field], 0);
          return {
            direct: `${sum(past.probed, 'failed')} of ${sum(past.probed, 'new')}`,
            tcp: sum(overTcp, 'new'),
            tcpFailed: sum(overTcp, 'failed'),
            udp: sum(overUdp, 'new'),
            udpFailed: sum(overUdp, 'failed'),
            blind: [...byTcp, ...byUdp].reduce((total, seen) => total + seen.blind, 0),
            keptBroken: sum(overTcp, 'kept_broke') + broken.length,
            losses: [
              ...pods.flatMap((pod, i) => lossesOf(`${pod} tcp`, byTcp[i]?.probed ?? [])),
              ...pods.flatMap((pod, i) => lossesOf(`${pod} udp`, byUdp[i]?.probed ?? [])),
              ...broken.map(pod => `${pod} tcp: the connection kept throughout broke`),
            ],
          };
        },
      };
    },
    truth: () => Promise.all(NODES.map(nodeTruth)),
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
