// What happens to a command of proxyctl on real nodes: it is killed, its node reboots, the API server hangs, kube-proxies die.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Step } from '../../src/core/run-state.ts';
import { Random } from '../../src/sim/random.ts';
import { GOES_FIRST, processorOf, RUN, SHARED } from './cluster.ts';
import type { RealRunning } from './proxyctl.ts';
import { eventually, kubectl, onNode, sleep } from './shell.ts';
import type { Stage } from './stage.ts';
import { leadToServers } from './workload.ts';

const exec = promisify(execFile);

export const KILL = 'kill -9';
export const REBOOT = 'reboot';
export const API = 'API server';
export const PROXIES = 'random kube-proxy';
export type Kind = typeof KILL | typeof REBOOT | typeof API | typeof PROXIES;

/** When it happens: so many ms after a step has begun, or all the time, by a seed. */
export type When = { readonly step: Step; readonly after: number } | { readonly seed: number };

export interface Disaster {
  /** Lets it happen while the command runs. Gives how it went, for people; undefined when the command ended before it could. */
  happen(run: RealRunning, when: When): Promise<string | undefined>;
  /** Waits until the cluster has got over it, as far as it can by itself. */
  over(): Promise<void>;
  /** The same, where nothing migrates; absent where clients elsewhere cannot lose by it. */
  alone?(): Promise<void>;
}

/** A new one for each time that it happens. */
export const DISASTERS: Record<Kind, (stage: Stage) => Disaster> = {
  [KILL]: () => ({
    async happen(run, when) {
      const where = await stepOf(run, when);
      if (where !== undefined) run.signal('SIGKILL');
      return where;
    },
    over: async () => {},
  }),
  [REBOOT]: rebootOf,
  [API]: () => ({
    async happen(run, when) {
      const where = await stepOf(run, when);
      if (where !== undefined) await stopApiServer();
      return where;
    },
    over: nodesCalm,
    async alone() {
      await stopApiServer();
      await nodesCalm();
    },
  }),
  [PROXIES]: stage => ({
    async happen(run, when) {
      if (!('seed' in when)) throw new Error('it takes a seed');
      const killed = await killProxies(stage.nodes, when.seed, run.result);
      return killed === 0 ? undefined : `${killed} killed`;
    },
    over: () => stage.expectServed(),
    async alone() {
      await killProxies(stage.nodes, ALONE_SEED, sleep(ALONE_MS));
      await stage.expectServed();
    },
  }),
};

async function stepOf(run: RealRunning, when: When): Promise<string | undefined> {
  if (!('step' in when)) throw new Error('it takes a step');
  return run.inStep(when.step, when.after);
}

function rebootOf({ node }: Stage): Disaster {
  let before: { boot: string; containers: readonly string[] } | undefined;
  return {
    async happen(run, when) {
      const begun = stepOf(run, when);
      const seen = { boot: await bootOf(node), containers: await containersOn(node) };
      const where = await begun;
      if (where === undefined) return undefined;
      before = seen;
      await powerCycle(node);
      return where;
    },
    async over() {
      if (!before) return;
      const { boot, containers } = before;
      await eventually(`${node} to be back`, BOOT_SECONDS, async () => {
        return (await bootOf(node)) !== boot && (await isReady(node));
      });
      await eventually(`the pods on ${node} to be back`, BOOT_SECONDS, async () => {
        const now = await containersOn(node);
        return now.length === containers.length && now.every(id => id !== '' && !containers.includes(id));
      });
      // The server there has another address now.
      await leadToServers();
    },
  };
}

/** Time for a node to boot and to start its pods, seconds. */
const BOOT_SECONDS = 400;

function bootOf(node: string): Promise<string> {
  return kubectl('get', 'node', node, '-o', 'jsonpath={.status.nodeInfo.bootID}');
}

async function isReady(node: string): Promise<boolean> {
  const condition = '{.status.conditions[?(@.type=="Ready")].status}';
  return (await kubectl('get', 'node', node, '-o', `jsonpath=${condition}`)) === 'True';
}

/** Ids of the containers of our clients and servers on a node; empty ones of those that are not ready. */
async function containersOn(node: string): Promise<string[]> {
  const selector = `spec.nodeName=${node}`;
  const { items } = JSON.parse(await kubectl('-n', 'shop', 'get', 'pods', '--field-selector', selector, '-o', 'json'));
  return items.map(({ status }: { status: { containerStatuses?: { ready: boolean; containerID?: string }[] } }) => {
    const [container] = status.containerStatuses ?? [];
    return container?.ready ? (container.containerID ?? '') : '';
  });
}

async function powerCycle(node: string): Promise<void> {
  const number = node.replace('node', '');
  await exec('taskset', ['-c', processorOf(Number(number)), ...GOES_FIRST, `${SHARED}/reboot`, number]);
  await eventually(`a shell on ${node}`, BOOT_SECONDS, async () => {
    await onNode(node, 'true');
    return true;
  });
}

const STOPPED_MS = 60_000;
/** Nodes whose heartbeats were not heard are called unready a moment after the server is back, if they are. */
const HEARTBEATS_MS = 20_000;
const CALM_SECONDS = 300;

/** The server hangs for a minute: connections to it are taken and nobody answers. */
const stopApiServer = (): Promise<void> => stopped('kube-apiserver', STOPPED_MS);

/** A process of the control plane does nothing for so many ms. */
export async function stopped(name: string, ms: number): Promise<void> {
  const pid = controlPlane(name);
  process.kill(pid, 'SIGSTOP');
  try {
    await sleep(ms);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Among the processes that the cluster's own script has noted. */
function controlPlane(name: string): number {
  const pids = readFileSync(`${RUN}/pids`, 'utf8').trim().split('\n').map(Number);
  // The kernel keeps 15 characters of a name.
  const found = pids.find(pid => nameOf(pid) === name.slice(0, 15));
  if (found === undefined) throw new Error(`no ${name} among the processes in ${RUN}/pids`);
  return found;
}

function nameOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It has ended.
    return undefined;
  }
}

/** The server may hang again meanwhile. */
export async function nodesCalm(): Promise<void> {
  await sleep(HEARTBEATS_MS);
  await eventually('nodes and servers to be Ready', CALM_SECONDS, async () => {
    await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=10s');
    await kubectl('-n', 'shop', 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=10s');
    return true;
  });
}

/** What kills cost where nothing migrates is looked at for so long. */
const ALONE_MS = 150_000;
const ALONE_SEED = 0;
/** Between two kills: kubelet waits ever longer before it restarts what dies again and again. */
const PAUSE_MS = { least: 15_000, spread: 30_000 };

/** Kills a kube-proxy process now and then until something else is over. Gives how many died. */
async function killProxies(nodes: readonly string[], seed: number, until: Promise<unknown>): Promise<number> {
  const random = new Random(seed);
  const over = until.then(() => true);
  for (let killed = 0; ; ) {
    const pause = sleep(PAUSE_MS.least + random.int(PAUSE_MS.spread)).then(() => false);
    if (await Promise.race([over, pause])) return killed;
    // Where a warm one runs beside the node's own, it is either.
    const which = random.pick(['-n', '-o']);
    const said = await onNode(random.pick(nodes), `pkill -9 -e ${which} -x kube-proxy`);
    if (said.includes('killed')) killed++;
  }
}
