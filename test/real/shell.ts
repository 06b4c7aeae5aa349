// How the suite reaches the cluster: programs in its network, shells on its nodes.
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { FOREIGN, SHARED } from './cluster.ts';

const exec = promisify(execFile);

/** A node that is dead says nothing for good; nothing that is asked here waits for longer than three minutes. */
const BOUNDS = { maxBuffer: 256 << 20, timeout: 200_000 };

/** Namespace of what the suite itself needs in the cluster. */
export const SUITE = 'real-test';
export const shellPod = (node: string): string => `shell-${node}`;

/** `/agnhost` serves, `/probe` is the witness; CONTRIBUTING.md says what else an image must hold. */
export const TEST_IMAGE = process.env.PROXYCTL_TEST_IMAGE ?? 'registry.k8s.io/e2e-test-images/agnhost:2.57';

/** Whatever KUBECONFIG says in the shell of who starts the suite is not meant. */
const { KUBECONFIG: _, ...own } = process.env;
const environment = FOREIGN === undefined ? own : { ...own, KUBECONFIG: FOREIGN };

/** A command line as it has to be started to reach the cluster. */
function reaching(args: readonly string[]): [string, string[]] {
  const [program = '', ...rest] = FOREIGN === undefined ? [`${SHARED}/in`, ...args] : args;
  return [program, rest];
}

/** Runs a program inside the cluster's network, with its kubeconfig. */
export async function inside(args: readonly string[], input?: string): Promise<string> {
  const [program, rest] = reaching(args);
  const running = exec(program, rest, { ...BOUNDS, env: environment });
  if (input !== undefined) running.child.stdin?.end(input);
  return (await running).stdout;
}

/** As `inside`, while it runs: its process id is the program's own. */
export function spawnInside(
  args: readonly string[],
  env: Record<string, string>,
): ChildProcessByStdio<null, Readable, Readable> {
  const [program, rest] = reaching(args);
  return spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment, ...env } });
}

export const kubectl = (...args: string[]): Promise<string> => inside(['kubectl', ...args]);

export type KubeJson = Record<string, unknown>;

export async function apply(objects: readonly KubeJson[]): Promise<void> {
  await inside(['kubectl', 'apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
}

export const namespaceOf = (name: string, labels: Record<string, string> = {}): KubeJson => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

/** Pods need their namespace's account, which a controller makes a moment later. */
export async function accountOf(namespace: string): Promise<void> {
  await kubectl('-n', namespace, 'wait', '--for=create', 'serviceaccount/default', '--timeout=60s');
}

interface ListedNode {
  metadata: { name: string; labels?: Record<string, string> };
}

export async function listNodes(): Promise<ListedNode[]> {
  return JSON.parse(await kubectl('get', 'nodes', '-o', 'json')).items;
}

const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane';
let names: Promise<string[]> | undefined;

/** Names of the cluster's nodes, workers first. */
export function nodeNames(): Promise<string[]> {
  names ??= listNodes().then(nodes => {
    const isControl = ({ metadata }: ListedNode) => Number(metadata.labels?.[CONTROL_PLANE] !== undefined);
    return nodes.sort((a, b) => isControl(a) - isControl(b)).map(node => node.metadata.name);
  });
  return names;
}

/** With the image's own tools, or the node's where it has none. */
const IN_SHELL_POD = `command -v nft > /dev/null || exec /bin/busybox nsenter -t 1 -m -n -p sh -c "$0"; eval "$0"`;

/** A shell command on a node, in its own kernel; gives what it says on either stream, whatever its exit code. */
export async function onNode(node: string, command: string): Promise<string> {
  if (FOREIGN === undefined) {
    return (await exec(`${SHARED}/node`, [node.replace('node', ''), command], BOUNDS)).stdout;
  }
  const whole = `{ ${command}\n} 2>&1; exit 0`;
  return kubectl('-n', SUITE, 'exec', shellPod(node), '--', 'sh', '-c', IN_SHELL_POD, whole);
}

export function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

/** Looks every two seconds, failing looks included. @throws with the last one's error when it is not so within so many seconds. */
export async function eventually(what: string, seconds: number, look: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + seconds * 1000;
  for (let last = ''; ; ) {
    try {
      if (await look()) return;
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s${last}`);
    await sleep(2000);
  }
}
