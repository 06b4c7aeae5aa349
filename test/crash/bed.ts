// A cluster and the processes that work on it, in virtual time.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from '../../src/commands/io.ts';
import { migrateCommand } from '../../src/commands/migrate.ts';
import { startSim } from '../../src/commands/sim-cluster.ts';
import { finalizeCommand, rollbackCommand } from '../../src/commands/undo.ts';
import type { KubeObject } from '../../src/core/cluster.ts';
import { ProxyctlError } from '../../src/core/errors.ts';
import type { Mode } from '../../src/core/mode.ts';
import { makePainter } from '../../src/report/paint.ts';
import { Random } from '../../src/sim/random.ts';
import type { Sim, SimOptions } from '../../src/sim/sim.ts';
import { Checker } from './checker.ts';
import { connectNetwork } from './network.ts';
import { Killed, type Machine, SimProcess, watchFiles } from './sim-process.ts';
import { owner, VirtualTime } from './virtual-time.ts';
// Loaded by commands when they are called; here nothing may be waited for.
import '../../src/cluster/client.ts';
import '../../src/cluster/inventory.ts';

const URL = 'http://simulated.invalid';
export const SHORT = 'gates: { soak: 1s, settle: 3s, convergence: 25s, drain: 3s }\n';
export const REHEARSING = `rehearse: canary\n${SHORT}`;
const LIMIT_MS = 3_600_000;
/** Pauses of watchers and the time that things take are those of a real cluster, only the boring ones are shorter. */
const SPEED = { sleepFactor: 1, dialTimeout: 1000, proxyStart: 800, podStart: 400, podStop: 100, canary: 30_000 };

export type Action = 'migrate' | 'rollback' | 'finalize';

export interface BedOptions extends SimOptions {
  readonly mode: Mode;
  readonly to: Mode;
  readonly seed: number;
  /** Services newly exposed by a batch; small, so that there is more than one batch. */
  readonly batch?: number;
  readonly latency?: (random: Random) => number;
  readonly playbook?: string;
}

export interface Bed {
  readonly sim: Sim;
  readonly time: VirtualTime;
  readonly checker: Checker;
  readonly options: BedOptions;
  readonly random: Random;
  readonly machine: Machine;
  /** kube-proxy's DaemonSet as it was made. */
  readonly shipped: KubeObject;
  /** A process that is not yet running; `killAt`: at its so many-th point. */
  process(name: string, killAt?: number): SimProcess;
  /** Runs a command in it to its end. */
  run(process: SimProcess, action: Action): Promise<number | 'killed'>;
  /** The same for any command. */
  call(process: SimProcess, command: (io: CommandIo) => Promise<number>): Promise<number | 'killed'>;
  sleep(ms: number): Promise<void>;
}

/** Makes a cluster, runs the script, and gives what it gives. Throws on any invariant that is broken. */
export async function withBed<T>(options: BedOptions, script: (bed: Bed) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'proxyctl-crash-'));
  const time = new VirtualTime(options.seed);
  const random = new Random(options.seed + 77);
  const machine: Machine = { clockError: 0 };
  const parts: { sim?: Sim; checker?: Checker } = {};
  const ends = prepare(folder);
  ends.push(unhandled(reason => parts.checker?.violation(`an error that nobody handles ends the CLI: ${reason}`)));
  ends.push(watchFiles());
  ends.push(
    connectNetwork({
      sim: () => parts.sim as Sim,
      latency: options.latency ?? (() => 1),
      random,
      reads: (process, call) => parts.checker?.reads(process, call),
      writes: (process, call) => parts.checker?.writes(process, call),
      wrote: (process, call, status) => parts.checker?.wrote(process, call, status),
    }),
  );
  try {
    return await time.run(
      async () => {
        const sim = await startSim({
          nodes: 2,
          namespaces: 2,
          services: 6,
          ...options,
          url: URL,
          speed: SPEED,
        });
        parts.sim = sim;
        const shipped = sim.registry.read({ kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy' });
        const checker = new Checker(sim, options.mode, options.to, time);
        parts.checker = checker;
        writeFileSync(join(folder, 'kubeconfig'), sim.kubeconfig());
        const result = await script(bedOf({ sim, time, checker, options, random, machine, shipped }, folder));
        checker.assert();
        await sim.close();
        return result;
      },
      () => parts.checker?.look(),
      LIMIT_MS,
    );
  } finally {
    for (const end of ends.reverse()) end();
    rmSync(folder, { recursive: true, force: true });
  }
}

type Parts = Pick<Bed, 'sim' | 'time' | 'checker' | 'options' | 'random' | 'machine' | 'shipped'>;

function bedOf(parts: Parts, folder: string): Bed {
  const { checker, options, machine } = parts;
  const playbook = join(folder, 'playbook.yaml');
  writeFileSync(playbook, options.playbook ?? SHORT);
  const call: Bed['call'] = (process, command) =>
    process.run(async () => {
      const io = ioOf(process, join(folder, 'kubeconfig'));
      try {
        return await command(io);
      } catch (error) {
        if (!(error instanceof ProxyctlError)) throw error;
        io.err(`proxyctl: ${error.message}`);
        return error.exitCode;
      }
    });
  return {
    ...parts,
    process: (name, killAt) => new SimProcess(name, { listener: checker, machine }, killAt),
    run: (process, action) =>
      call(process, io => {
        const wishes = { yes: true, to: options.to, playbook, batch: String(options.batch ?? 4) };
        if (action === 'migrate') return migrateCommand(io, undefined, wishes);
        return (action === 'rollback' ? rollbackCommand : finalizeCommand)(io, { yes: true });
      }),
    call,
    sleep: ms => new Promise(resolve => setTimeout(resolve, ms)),
  };
}

function ioOf(process: SimProcess, kubeconfig: string): CommandIo {
  const say = (text: string) => {
    process.output += `${text}\n`;
  };
  const paint = makePainter(false);
  const options = { kubeconfig, format: 'text' as const, color: false, verbose: false };
  return { options, paint, paintOut: paint, interactive: false, width: 120, out: say, err: say };
}

/** Told of rejections that nobody handles; those of killed processes are none. Returns what ends it. */
function unhandled(tell: (reason: string) => void): () => void {
  const listen = (reason: unknown) => {
    if (reason instanceof Killed) return;
    tell(reason instanceof Error ? (reason.stack ?? reason.message) : String(reason));
  };
  process.on('unhandledRejection', listen);
  return () => process.off('unhandledRejection', listen);
}

/** Environment, signals and stderr as processes of their own would have them. */
function prepare(folder: string): (() => void)[] {
  const state = process.env.XDG_STATE_HOME;
  process.env.XDG_STATE_HOME = folder;
  const { stderr } = process;
  const { write } = stderr;
  const limit = process.getMaxListeners();
  process.setMaxListeners(0);
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const before = names.map(name => process.listeners(name));
  stderr.write = ((text: string, ...rest: never[]) => {
    const whose = owner.getStore();
    if (!(whose instanceof SimProcess)) return write.call(stderr, text, ...rest);
    whose.output += text;
    return true;
  }) as typeof write;
  return [
    () => {
      stderr.write = write;
      if (state === undefined) delete process.env.XDG_STATE_HOME;
      else process.env.XDG_STATE_HOME = state;
      process.setMaxListeners(limit);
      for (const [i, name] of names.entries())
        for (const listener of process.listeners(name))
          if (!before[i]?.includes(listener as never)) process.off(name, listener);
    },
  ];
}
