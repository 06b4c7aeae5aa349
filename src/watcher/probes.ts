// What a watcher dials, from where it stands, and how each kind of target is tried.
import type { NodeIo } from '../core/node-io.ts';
import type { Outcome, ProbeTarget, ProbeTargets } from '../core/observation.ts';
import {
  kindOfTarget,
  LOOPBACK,
  NODE_ADDRESSES,
  OWN_KINDS,
  type ProbeKind,
  serviceOfTarget,
  targetId,
} from '../core/probe-kind.ts';
import type { OwnService } from '../core/probe-service.ts';
import { ECHO_PORTS, OWN_PORT } from '../core/probe-service.ts';
import { hostPort } from '../core/service-port.ts';
import type { Vantage } from '../core/vantage.ts';
import { answers, dnsQuestion, TCP_ANSWER_BYTES, withLength } from './dns.ts';

export interface Probe extends Pick<ProbeTarget, 'id' | 'address' | 'port' | 'protocol'> {
  readonly kind: ProbeKind;
}

/** Where a watcher stands. */
export interface Place {
  readonly node: string;
  readonly vantage: Vantage;
  /** The node's addresses as the API knows them. */
  readonly addresses: readonly string[];
  readonly own?: OwnService;
}

/** Addresses of the node that the API does not name: so many of each family are dialled at most. */
const MOST_OTHERS = 2;
/** Devices of container networks, and those that bear the addresses of Services. */
const NOT_THE_NODES =
  /^(kube-ipvs|nodelocaldns|veth|cali|lxc|cilium|cni|flannel|vxlan|tunl|wireguard|weave|kube-bridge|docker|br-|dummy)/;
/** `HTTP/1.0 200`; what kube-proxy says comes in one packet. */
const STATUS_BYTES = 12;
/** Connections of one look at session affinity. */
const AFFINITY_DIALS = 4;

export interface Probes {
  /** Dialled in every round. */
  readonly served: readonly Probe[];
  /** Without endpoints: a refusal is due. The kernel sends those only so often, so one is asked a round, in turn. */
  readonly refused: readonly Probe[];
}

export function probesOf({ targets }: ProbeTargets, place: Place, io: NodeIo): Probes {
  const nodes = nodeAddresses(place, io);
  const served: Probe[] = [];
  const refused: Probe[] = [];
  for (const { endpoints, ...target } of targets) {
    const probe = { ...target, kind: kindOfTarget(target.id) };
    if (!endpoints) {
      if (probe.kind === 'cluster-ip-tcp') refused.push(probe);
    } else if (probe.kind === 'node-port') served.push(...onNode(probe, nodes));
    else if (probe.kind === 'health-check') served.push(...onNode(probe, balanced(place)));
    else served.push(probe);
  }
  return { served: [...served, ...ownProbes(place)], refused };
}

/** Where load balancers ask the node: its first address of each family. From a pod alone, who comes as a packet from outside does. */
function balanced({ vantage, addresses }: Place): string[] {
  const firsts = [addresses.find(a => !a.includes(':')), addresses.find(a => a.includes(':'))];
  return vantage === 'pod' ? firsts.filter(address => address !== undefined) : [];
}

function onNode(probe: Probe, nodes: readonly string[]): Probe[] {
  const isIPv6 = probe.address === NODE_ADDRESSES.IPv6;
  const name = probe.id.slice(0, probe.id.indexOf('@'));
  return nodes
    .filter(address => address.includes(':') === isIPv6)
    .map(address => ({ ...probe, address, id: targetId(name, probe.kind, address) }));
}

/** A pod reaches what the API names; on the node itself there is more: second networks, virtual addresses, loopback. */
function nodeAddresses({ vantage, addresses }: Place, io: NodeIo): string[] {
  if (vantage === 'pod') return [...addresses];
  const others = io
    .addresses()
    .filter(({ device, address }) => !NOT_THE_NODES.test(device) && !addresses.includes(address))
    .map(({ address }) => address);
  const few = (isIPv6: boolean) => others.filter(a => a.includes(':') === isIPv6).slice(0, MOST_OTHERS);
  return [...addresses, ...few(false), ...few(true), LOOPBACK];
}

/** The pod is the only endpoint of its own Service, twice: what it reaches there is itself, and the same port each time. */
function ownProbes({ vantage, own }: Place): Probe[] {
  if (!own) return [];
  const kinds: ProbeKind[] = vantage === 'pod' ? [...OWN_KINDS] : ['affinity'];
  const { name, address } = own;
  const port = `${name}:${OWN_PORT}/TCP`;
  return kinds.map(kind => ({ id: targetId(port, kind), kind, address, port: OWN_PORT, protocol: 'TCP' }));
}

export interface Trying {
  readonly timeoutMs: number;
  /** The cluster's DNS domain. */
  readonly domain: string;
}

/** One attempt at a target. Rejects with errors that are this side's own. */
export async function tryOnce(io: NodeIo, probe: Probe, trying: Trying): Promise<Outcome> {
  switch (probe.kind) {
    case 'dns':
      return askName(io, probe, trying);
    case 'health-check':
      return askHealth(io, probe, trying);
    case 'hairpin':
    case 'affinity':
      return askWho(io, probe, trying);
    default: {
      const question = probe.protocol === 'UDP' ? { question: udpQuestion(probe, trying) } : {};
      return (await io.dial({ ...probe, ...question }, trying.timeoutMs)).outcome;
    }
  }
}

function nameOf({ domain }: Trying): string {
  return `kubernetes.default.svc.${domain}`;
}

/** A UDP port answers by its own protocol only: DNS on 53, elsewhere what Kubernetes' test servers understand. */
function udpQuestion({ id, address }: Probe, trying: Trying): Buffer {
  return /:53\/UDP/.test(id) ? dnsQuestion(nameOf(trying), address) : Buffer.from('hostname');
}

async function askName(io: NodeIo, probe: Probe, trying: Trying): Promise<Outcome> {
  const { address, port, protocol } = probe;
  const question = dnsQuestion(nameOf(trying), address);
  const overTcp = { question: withLength(question), answerBytes: TCP_ANSWER_BYTES };
  const dial = { address, port, protocol, ...(protocol === 'TCP' ? overTcp : { question }) };
  const { outcome, answer } = await io.dial(dial, trying.timeoutMs);
  if (outcome !== 'ok') return outcome;
  const message = Buffer.from(answer ?? []).subarray(protocol === 'TCP' ? 2 : 0);
  return answers(message, question) ? 'ok' : 'wrong answer';
}

/** 503 is right where no endpoint is local; that kube-proxy counts them rightly is shown by its rules. */
async function askHealth(io: NodeIo, { address, port, protocol }: Probe, { timeoutMs }: Trying): Promise<Outcome> {
  const host = hostPort(address, port);
  const question = Buffer.from(`GET / HTTP/1.0\r\nHost: ${host}\r\nUser-Agent: proxyctl\r\n\r\n`);
  const { outcome, answer } = await io.dial(
    { address, port, protocol, question, answerBytes: STATUS_BYTES },
    timeoutMs,
  );
  if (outcome !== 'ok') return outcome;
  const said = Buffer.from(answer ?? []).toString('latin1');
  const [, status] = /^HTTP\/1\.\d (\d{3})/.exec(said) ?? [];
  const hasEndpoints = /"localEndpoints":\s*[1-9]/.test(said);
  return status === '200' || (status === '503' && !hasEndpoints) ? 'ok' : 'wrong answer';
}

/** The endpoints of our own Service say who they are. */
async function askWho(io: NodeIo, probe: Probe, { timeoutMs }: Trying): Promise<Outcome> {
  const { address, port, protocol, id, kind } = probe;
  const said = new Set<string>();
  for (let n = 0; n < (kind === 'affinity' ? AFFINITY_DIALS : 1); n++) {
    const { outcome, answer } = await io.dial({ address, port, protocol, answerBytes: 1 }, timeoutMs);
    if (outcome !== 'ok') return outcome;
    said.add(Buffer.from(answer ?? []).toString('utf8'));
  }
  const mine = new Set(ECHO_PORTS.map(echoPort => echoText(serviceOfTarget(id), echoPort)));
  if (![...said].every(text => mine.has(text))) return 'wrong answer';
  return said.size === 1 ? 'ok' : 'moved';
}

/** What an endpoint of a probe Service answers. */
export function echoText(service: string, port: number): string {
  return `${service} ${port}\n`;
}
