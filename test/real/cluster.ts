// Brings up the disposable cluster that the suite runs on: ../shared/cluster beside the checkout, or whatever
// PROXYCTL_TEST_KUBECONFIG names.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

export const ROOT = resolve(import.meta.dirname, '../..');
export const SHARED = resolve(ROOT, '../shared/cluster');
/** Where our own cluster keeps its process ids. */
export const RUN = process.env.PX_RUN ?? '/var/tmp/px-cluster';
export const IMAGE = resolve(ROOT, 'proxyctl-watcher.tar');
const given = process.env.PROXYCTL_TEST_KUBECONFIG;
/** Kubeconfig of a cluster that somebody else brought up, in the place of our own; undefined where it is our own. */
export const FOREIGN = given ? resolve(given) : undefined;

export function sh(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 });
}

/** Two processors for three nodes: what the suite itself does must not slow the nodes. */
export const GOES_FIRST = ['nice', '-n', '-10'] as const;

const NODES = [1, 2, 3];

/**
 * The processor for node number `node`, as taskset takes it. A guest's kernel and its programs take turns at each system call;
 * on one processor that was measured to take a fifth of the time that it takes across two. Of two, the second node has one to
 * itself, for it has the servers.
 */
export const processorOf = (node: number): string => String((node - 1) % availableParallelism());

/** A fresh cluster of three nodes in a mode, the watcher image on them. A foreign one stays as it is. */
export async function freshCluster(mode: string): Promise<void> {
  if (FOREIGN !== undefined) return;
  sh(`${SHARED}/down`);
  const [nice, ...how] = GOES_FIRST;
  const size = ['--nodes', String(NODES.length), '--mem', '2000'];
  const up = promisify(execFile)(nice, [...how, `${SHARED}/up`, ...size, '--mode', mode, '--image', IMAGE]);
  const over = new AbortController();
  const pinned = Promise.all(NODES.map(node => pin(node, over.signal)));
  try {
    const { stdout } = await up;
    console.log(stdout.trim().split('\n').at(-1));
  } finally {
    over.abort();
    await pinned;
  }
}

/** Keeps a node to its processor as soon as it has begun; what it starts later stays there, too. */
async function pin(node: number, over: AbortSignal): Promise<void> {
  const file = join(RUN, `node${node}.pid`);
  const pid = () => (existsSync(file) ? readFileSync(file, 'utf8').trim() : '');
  while (pid() === '') {
    if (over.aborted) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  sh('taskset', '-a', '-c', '-p', processorOf(node), pid());
}

export default function setup(): (() => void) | undefined {
  if (FOREIGN !== undefined) return undefined;
  if (!existsSync(SHARED)) {
    throw new Error(
      'no cluster to test on: there is no ../shared/cluster; name a disposable one with PROXYCTL_TEST_KUBECONFIG',
    );
  }
  sh(`${SHARED}/build`);
  sh('npm', 'run', '--silent', 'image', '--', IMAGE);
  return () => void sh(`${SHARED}/down`);
}
