// The node as the shipped watcher and sweeper see it, and the container that runs them.
import type { NodeIo } from '../core/node-io.ts';
import type { ProbeTarget } from '../core/observation.ts';
import { Kernel } from './kernel.ts';
import { procFile } from './node-files.ts';
import { runTool } from './node-tools.ts';
import type { ContainerRun, Program, World } from './world.ts';

/** An attempt that somebody answers takes so long, ms. */
const ANSWER_MS = 1;
const SHORTEST_PAUSE_MS = 10;

export function nodeIo(run: ContainerRun, world: World): NodeIo {
  const { node, hostNetwork, signal, files } = run;
  // A pod has a network namespace of its own, without rules.
  const kernel = hostNetwork ? node.kernel : new Kernel(node.ip, world.random);
  const pause = async (ms: number) => {
    if (!(await world.timers.wait(ms, signal))) throw signal.reason;
  };
  return {
    async httpGet(port, path, timeoutMs) {
      await pause(ANSWER_MS);
      const handler = hostNetwork ? node.ports.get(port) : undefined;
      if (!handler) throw new Error(`connect ECONNREFUSED 127.0.0.1:${port} (limit ${timeoutMs} ms)`);
      return handler(path);
    },
    async readFile(path) {
      const text = files.get(path) ?? procFile(kernel, path, hostNetwork, world.traffic.ipvsConnections(node.name));
      if (text === undefined)
        throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: 'ENOENT' });
      return text;
    },
    async run(program, args, input) {
      await pause(ANSWER_MS);
      return runTool(kernel, program, args, input, hostNetwork ? world.traffic.ipvsConnections(node.name) : []);
    },
    async dial(target: ProbeTarget, timeoutMs) {
      const protocol = target.protocol === 'TCP' ? 'tcp' : 'udp';
      const connection = {
        protocol,
        ip: target.address,
        port: target.port,
        from: hostNetwork ? 'host' : 'pod',
      } as const;
      const { outcome } = world.network.connect(node, connection);
      const silent = outcome === 'timeout' || outcome === 'no answer';
      await pause(silent ? Math.min(timeoutMs, world.speed.dialTimeout) : ANSWER_MS);
      return outcome;
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

export const runWatcherContainer: Program = async (run, world) => {
  if (!world.runWatcher) {
    run.log('no watcher was given to the simulated cluster');
    return 127;
  }
  return world.runWatcher([...run.args], nodeIo(run, world), run.files, run.signal);
};
