// The node as the shipped watcher and sweeper see it, and the container that runs them.
import type { Dial, NodeIo, Reply } from '../core/node-io.ts';
import { hostPort } from '../core/service-port.ts';
import { answerDns, CLUSTER_DOMAIN } from './dns.ts';
import { Kernel } from './kernel.ts';
import type { PortHandler } from './node.ts';
import { procFile } from './node-files.ts';
import { runTool } from './node-tools.ts';
import type { ContainerRun, Program, World } from './world.ts';

/** An attempt that somebody answers takes so long, ms. */
const ANSWER_MS = 1;
const SHORTEST_PAUSE_MS = 10;

export function nodeIo(run: ContainerRun, world: World): NodeIo {
  const { node, hostNetwork, signal, files } = run;
  // A pod has a network namespace of its own, without rules.
  const kernel = hostNetwork ? node.kernel : new Kernel(node.addresses, world.random);
  const pause = async (ms: number) => {
    if (!(await world.timers.wait(ms, signal))) throw signal.reason;
  };
  const runProgram: NodeIo['run'] = async (program, args, input, take) => {
    await pause(ANSWER_MS);
    const connections = hostNetwork ? world.traffic.ipvsConnections(node.name) : [];
    const result = runTool(kernel, program, args, input, connections);
    take?.(result.stdout);
    return take ? { ...result, stdout: '' } : result;
  };
  return {
    async httpGet(at, path, timeoutMs) {
      await pause(ANSWER_MS);
      const handler = hostNetwork ? node.at(at) : undefined;
      if (!handler) throw new Error(`connect ECONNREFUSED ${hostPort(at.address, at.port)} (limit ${timeoutMs} ms)`);
      if ([...node.processes].some(proxier => proxier.isMuteAt(at.port))) {
        await pause(timeoutMs);
        throw new Error('The operation was aborted due to timeout');
      }
      return handler(path);
    },
    async readFile(path) {
      const text =
        files.get(path) ??
        systemFile(path) ??
        procFile(kernel, path, hostNetwork, world.traffic.ipvsConnections(node.name));
      if (text === undefined)
        throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: 'ENOENT' });
      return text;
    },
    run: runProgram,
    prepare: (program, args) => ({ give: input => runProgram(program, args, input) }),
    async dial(dial, timeoutMs) {
      const reply = answered(run, world, dial);
      const silent = reply.outcome === 'timeout' || reply.outcome === 'no answer';
      await pause(silent ? Math.min(timeoutMs, world.speed.dialTimeout) : ANSWER_MS);
      return reply;
    },
    async echo(address, port, text) {
      const end = world.network.echo(`${address}:${port}`, text);
      signal.addEventListener('abort', end);
    },
    addresses() {
      if (!hostNetwork) return [{ device: 'eth0', address: podIP(run) }];
      const own = node.addresses.map((address, index) => ({ device: `eth${index}`, address }));
      const services = [...(kernel.ipvs.device ?? [])].map(address => ({ device: 'kube-ipvs0', address }));
      return [...own, { device: 'cni0', address: node.podCIDR.replace(/0\/\d+$/, '1') }, ...services];
    },
    cpu: () => 0,
    now: () => Date.now(),
    async sleep(ms, own) {
      own?.throwIfAborted();
      const both = own ? AbortSignal.any([own, signal]) : signal;
      const scaled = Math.max(SHORTEST_PAUSE_MS, ms * world.speed.sleepFactor);
      if (!(await world.timers.wait(scaled, both))) throw both.reason;
    },
    print: line => run.log(line),
  };
}

const podIP = ({ pod }: ContainerRun): string => pod.status?.podIP ?? '';

function systemFile(path: string): string | undefined {
  if (path !== '/etc/resolv.conf') return undefined;
  return `search default.svc.${CLUSTER_DOMAIN} svc.${CLUSTER_DOMAIN} ${CLUSTER_DOMAIN}\nnameserver 10.96.0.10\n`;
}

/** What comes back, as far as somebody waits for it: of our own endpoints, of the DNS; other servers answer anything. */
function answered(
  run: ContainerRun,
  world: World,
  { address, port, protocol, question, answerBytes = 0 }: Dial,
): Reply {
  const { node, hostNetwork } = run;
  const { outcome, fate } = world.network.connect(node, {
    protocol: protocol === 'TCP' ? 'tcp' : 'udp',
    ip: address,
    port,
    from: hostNetwork ? 'host' : 'pod',
    client: hostNetwork ? node.ip : podIP(run),
  });
  const waits = protocol === 'UDP' || answerBytes > 0;
  if (outcome !== 'ok' || !waits) return { outcome };
  const handler =
    fate.kind === 'untouched' && protocol === 'TCP' ? world.network.listener(node, address, port) : undefined;
  if (handler) return spoken(handler, question);
  const backend = fate.kind === 'backend' ? fate.backend : `${address}:${port}`;
  const text = world.network.said(backend);
  if (text !== undefined) return { outcome, answer: Buffer.from(text) };
  if (!backend.endsWith(':53')) return { outcome, answer: Buffer.from('ok') };
  const prefix = protocol === 'TCP' ? 2 : 0;
  const answer = answerDns(Buffer.from(question ?? []).subarray(prefix), world.services.current());
  if (!answer) return { outcome: protocol === 'TCP' ? 'timeout' : 'no answer' };
  return {
    outcome,
    answer: Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255].slice(0, prefix)), answer]),
  };
}

/** A process of a node speaks HTTP. One that was stopped says nothing. */
function spoken(handler: PortHandler | 'mute', question: Uint8Array | undefined): Reply {
  if (handler === 'mute') return { outcome: 'timeout' };
  const [, path = '/'] = Buffer.from(question ?? [])
    .toString('latin1')
    .split(' ');
  const { status, body } = handler(path);
  return { outcome: 'ok', answer: Buffer.from(`HTTP/1.0 ${status} Simulated\r\n\r\n${body}`) };
}

export const runWatcherContainer: Program = async (run, world) => {
  if (!world.runWatcher) {
    run.log('no watcher was given to the simulated cluster');
    return 127;
  }
  return world.runWatcher([...run.args], nodeIo(run, world), run.files, run.signal);
};
