// The witness: /probe in client pods, which dials a Service over and over. It runs by itself in the pods, so that an API server
// that is away neither ends it nor hides what it saw; what it wrote is fetched at the end.
import type { Witness, Witnessed } from '../scenarios/testbed.ts';
import { Readiness } from './readiness.ts';
import { eventually, kubectl, nodeNames, sleep } from './shell.ts';

/** What one run of /probe says. */
interface Probed {
  /** When it began, seconds since 1970; 0 where that is not known. */
  at: number;
  new: number;
  failed: number;
  kept: number;
  kept_broke: number;
  kept_error: string;
  /** Of the failed ones, by error. */
  errors: Record<string, number>;
}

interface Seen {
  readonly probed: readonly Probed[];
  /** Runs of which nothing came back. */
  readonly blind: number;
}

/** Servers past every Service are asked too: what is lost there, no rule has lost. */
const STREAMS = ['tcp', 'udp', 'direct'] as const;
type Stream = (typeof STREAMS)[number];
/** Arguments of /probe for each stream of a client. */
type Probes = Partial<Record<Stream, readonly string[]>>;

/** /probe tells only when its time is over, so its runs follow one another in segments of this length. */
const SEGMENT_SECONDS = 20;
const SEGMENT = `${SEGMENT_SECONDS}s`;
/** Three nodes share two processors: what asks more often, or waits less, measures their load. A SYN that met no rules stays dead. */
const PATIENCE = ['-for', SEGMENT, '-timeout', '3s', '-every'];
/** The kept connections must stand before anything happens. */
const STAND_MS = 3_000;
const FETCH_TRIES = 3;
const FETCH_PAUSE_MS = 5_000;

export const clientPod = (node: string): string => `client-${node}`;

/** Service of those servers that are not on the first node: who dials it loses nothing by what happens to a server there. */
export const ELSEWHERE = 'elsewhere';
const WEB = 'web';

interface Server {
  readonly node: string;
  readonly address: string;
}

/** The pods behind the Service `web`. */
export async function serversOf(): Promise<Server[]> {
  const { items } = JSON.parse(await kubectl('-n', 'shop', 'get', 'pods', '-l', `app=${WEB}`, '-o', 'json'));
  return items.map((pod: { spec: { nodeName: string }; status: { podIP: string } }) => ({
    node: pod.spec.nodeName,
    address: pod.status.podIP,
  }));
}

function probesOf(first: boolean, service: string, server: string): Probes {
  return {
    tcp: ['-target', `${service}:80`, ...PATIENCE, first ? '100ms' : '250ms'],
    udp: ['-target', `${service}:81`, '-udp', ...PATIENCE, '500ms'],
    ...(first ? { direct: ['-target', `${server}:8081`, '-udp', ...PATIENCE, '1s'] } : {}),
  };
}

/** Starts the loops of one client and returns; `id` is the front part of the names of its files. */
export function startScript(id: string, service: string, probes: Probes): string {
  const loops = Object.entries(probes).map(([stream, args]) => {
    const segment = `date +@%s; /probe ${args.join(' ')} 2> /dev/null || { echo lost; sleep 1; }`;
    return inBackground(`while [ ! -e ${id}.stop ]; do ${segment}; done; : > ${id}.${stream}.done`, `${id}.${stream}`);
  });
  return [...loops, keptConnection(id, service)].join(' ');
}

/** One connection for all the time, a request a second over it. It ends early only when it breaks. */
function keptConnection(id: string, service: string): string {
  const ask = `printf 'GET /hostname HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' || exit; sleep 1`;
  const asked = `while [ ! -e ${id}.stop ]; do ${ask}; done | /bin/busybox nc ${service} 80 > /dev/null`;
  return inBackground(`${asked}; [ -e ${id}.stop ] || : > ${id}.broken`, '/dev/null');
}

/** Nothing of it may hold the stream of who starts it. */
const inBackground = (script: string, out: string): string => `( ${script} ) < /dev/null > ${out} 2> /dev/null &`;

/** Ends the loops, waits for their last word and prints all of it, each stream under its name. */
export function fetchScript(id: string, streams: readonly string[]): string {
  const printed = streams.map(
    stream => `while [ ! -e ${id}.${stream}.done ]; do sleep 1; done; echo =${stream}; cat ${id}.${stream}`,
  );
  // Where nothing was ever started, or a container was made anew, nobody would ever write the last word.
  const there = streams.map(stream => `[ -e ${id}.${stream} ] || exit 9`);
  return [`: > ${id}.stop`, ...there, ...printed, `[ ! -e ${id}.broken ] || echo =broken`].join('; ');
}

interface Client {
  readonly name: string;
  readonly probes: Probes;
}

interface Told {
  readonly streams: ReadonlyMap<string, Seen>;
  /** The connection kept throughout broke. */
  readonly broken: boolean;
}

/** What `fetchScript` printed. */
export function toldBy(text: string): Told {
  const streams = new Map<string, Seen>();
  for (const part of text.split(/^=/m).slice(1)) {
    const [name = '', ...lines] = part.trimEnd().split('\n');
    const probed: Probed[] = [];
    let at = 0;
    let blind = 0;
    for (const line of lines) {
      if (line.startsWith('@')) at = Number(line.slice(1));
      else if (line.startsWith('{')) probed.push({ ...JSON.parse(line), at });
      else blind++;
    }
    streams.set(name, { probed, blind });
  }
  return { streams, broken: streams.delete('broken') };
}

function execIn(client: string, script: string): Promise<string> {
  return kubectl('-n', 'shop', 'exec', client, '--', 'sh', '-c', script);
}

/** What a client saw; where it cannot be told, each of its streams is blind. */
async function fetchFrom({ name, probes }: Client, id: string): Promise<Told> {
  const streams = Object.keys(probes);
  for (let tries = 1; ; tries++) {
    try {
      return toldBy(await execIn(name, fetchScript(id, streams)));
    } catch (error) {
      if (tries < FETCH_TRIES) await sleep(FETCH_PAUSE_MS);
      else {
        console.log(`${name} does not tell what it saw: ${error instanceof Error ? error.message : String(error)}`);
        return { streams: new Map(streams.map(stream => [stream, { probed: [], blind: 1 }])), broken: false };
      }
    }
  }
}

/** An error without the addresses in front of it. */
const kind = (error: string): string => error.slice(error.lastIndexOf(': ') + 2);

/** What one client lost over one protocol, and from when on it was asked; nothing when it lost nothing. */
function lossesOf(client: string, segments: readonly Probed[]): string[] {
  return segments.flatMap(({ at, failed, new: tried, errors, kept_broke, kept_error }) => {
    const since = `${SEGMENT} from ${new Date(at * 1000).toISOString().slice(11, 19)}`;
    return [
      ...(failed > 0
        ? [`${client}, ${since}: ${failed} of ${tried}, ${[...new Set(Object.keys(errors).map(kind))].join(', ')}`]
        : []),
      ...(kept_broke > 0
        ? [`${client}, ${since}: kept connection broken ${kept_broke} times, ${kind(kept_error)}`]
        : []),
    ];
  });
}

function witnessed(clients: readonly Client[], told: readonly Told[], readiness: Readiness): Witnessed {
  const all = (stream: Stream) => told.map(one => one.streams.get(stream) ?? { probed: [], blind: 0 });
  const unready = (stream: 'tcp' | 'udp') => {
    const segments = all(stream).flatMap(({ probed }) => probed);
    const struck = segments.filter(({ at }) => readiness.wasUnready(at * 1000, (at + SEGMENT_SECONDS) * 1000));
    return struck.reduce((sum, { failed }) => sum + failed, 0);
  };
  const total = (stream: Stream, field: 'new' | 'failed' | 'kept_broke') =>
    all(stream).reduce((sum, seen) => sum + seen.probed.reduce((part, one) => part + one[field], 0), 0);
  const losses = (stream: 'tcp' | 'udp') =>
    clients.flatMap(({ name }, i) => lossesOf(`${name} ${stream}`, all(stream)[i]?.probed ?? []));
  const broken = clients.filter((_, i) => told[i]?.broken).map(({ name }) => name);
  return {
    direct: `${total('direct', 'failed')} of ${total('direct', 'new')}`,
    tcp: total('tcp', 'new'),
    tcpFailed: total('tcp', 'failed'),
    udp: total('udp', 'new'),
    udpFailed: total('udp', 'failed'),
    unready: { tcpFailed: unready('tcp'), udpFailed: unready('udp') },
    blind: [...all('tcp'), ...all('udp')].reduce((sum, seen) => sum + seen.blind, 0),
    keptBroken: total('tcp', 'kept_broke') + broken.length,
    losses: [
      ...losses('tcp'),
      ...losses('udp'),
      ...broken.map(name => `${name} tcp: the connection kept throughout broke`),
    ],
  };
}

/** Restarts of the containers behind the Service `web`, by pod. */
async function restartsOfServers(): Promise<Map<string, number>> {
  const { items } = JSON.parse(await kubectl('-n', 'shop', 'get', 'pods', '-l', `app=${WEB}`, '-o', 'json'));
  return new Map(
    items.map(
      ({ metadata, spec, status }: { metadata: { name: string }; spec: { nodeName: string }; status: Restarted }) => [
        `${metadata.name} on ${spec.nodeName}`,
        (status.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0),
      ],
    ),
  );
}
interface Restarted {
  containerStatuses?: { restartCount: number }[];
}

/** A kube-proxy on a slow node programs a new Service long after its pods are ready. */
const REACHED_SECONDS = 300;

/** Waits until every client reaches the Service over both protocols, all of its servers. */
export async function reached(service = WEB): Promise<void> {
  const address = await kubectl('-n', 'shop', 'get', 'service', service, '-o', 'jsonpath={.spec.clusterIP}');
  for (const node of await nodeNames()) {
    for (const args of [`${address}:80`, `${address}:81 -udp`]) {
      await eventually(`${service} to be reached from ${node}`, REACHED_SECONDS, async () => {
        const said = await execIn(clientPod(node), `/probe -target ${args} -for 3s -timeout 1s -every 100ms`);
        const { new: tried, failed } = JSON.parse(said.trim().split('\n').at(-1) ?? '') as Probed;
        return tried > 0 && failed === 0;
      });
    }
  }
}

let witnesses = 0;

export interface WitnessOptions {
  /** Whose clients dial; all nodes' where not given. */
  readonly nodes?: readonly string[];
  /** The Service that they dial; `web` where not given. */
  readonly service?: string;
}

/** Clients begin to dial a Service. */
export async function startWitness({ nodes, service = WEB }: WitnessOptions): Promise<Witness> {
  const all = await nodeNames();
  const address = await kubectl('-n', 'shop', 'get', 'service', service, '-o', 'jsonpath={.spec.clusterIP}');
  const server = (await serversOf()).find(({ node }) => node !== all[0])?.address ?? address;
  const clients = (nodes ?? all).map(
    (node, i): Client => ({ name: clientPod(node), probes: probesOf(i === 0, address, server) }),
  );
  // Pods outlive a run of the suite on a foreign cluster.
  witnesses++;
  const id = `/seen-${Date.now()}-${witnesses}`;
  await Promise.all(clients.map(({ name, probes }) => execIn(name, startScript(id, address, probes))));
  const before = await restartsOfServers();
  const readiness = new Readiness(service);
  await sleep(STAND_MS);
  return {
    async finished() {
      const told = await Promise.all(clients.map(client => fetchFrom(client, id)));
      readiness.end();
      const seen = witnessed(clients, told, readiness);
      // What a server that restarts costs is not the rules' doing.
      const restarted = [...(await restartsOfServers())].filter(([pod, count]) => count > (before.get(pod) ?? 0));
      return { ...seen, losses: [...seen.losses, ...restarted.map(([pod]) => `server ${pod} restarted meanwhile`)] };
    },
  };
}
