// Nodes of the test machine that stop dead, which a kernel in user mode does now and then whatever runs on it.
import type { Mode } from '../../src/core/mode.ts';
import { FOREIGN, freshCluster } from './cluster.ts';
import { checkForeign } from './foreign.ts';
import { giveRights } from './rights.ts';
import { accountOf, apply, namespaceOf, nodeNames, onNode, SUITE } from './shell.ts';
import { layOut } from './workload.ts';

/** A fresh cluster of three nodes with its workload, and an account for proxyctl. */
export async function laidOut(mode: Mode): Promise<void> {
  await freshCluster(mode);
  await apply([namespaceOf(SUITE, { 'pod-security.kubernetes.io/enforce': 'privileged' })]);
  await accountOf(SUITE);
  if (FOREIGN !== undefined) await checkForeign(mode);
  await layOut();
  await giveRights();
}

const ATTEMPTS = 3;
/** For a shell on a node, s: a slow one has answered by then. */
const ANSWER_SECONDS = 45;

/** Performs `attempt`; again, on a new cluster, when it failed and a node is dead. It says so. */
export async function onLivingNodes<T>(mode: Mode, attempt: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      const dead = await deadNodes();
      if (dead.length === 0 || left === 0) throw error;
      const said = error instanceof Error ? error.message.split('\n')[0] : String(error);
      console.log(`${dead.join(', ')} stopped dead (${said}): once more, on a new cluster`);
      await laidOut(mode);
    }
  }
}

/** Nodes of our own cluster that do not even give a shell. */
export async function deadNodes(): Promise<string[]> {
  if (FOREIGN !== undefined) return [];
  const answers = await Promise.all((await nodeNames()).map(async node => ((await isAlive(node)) ? [] : [node])));
  return answers.flat();
}

async function isAlive(node: string): Promise<boolean> {
  const silence = AbortSignal.timeout(ANSWER_SECONDS * 1000);
  const silent = new Promise<false>(resolve => silence.addEventListener('abort', () => resolve(false)));
  return Promise.race([
    silent,
    onNode(node, 'true').then(
      () => true,
      () => false,
    ),
  ]);
}
