// Nodes of the test machine that stop dead, which a kernel in user mode does now and then whatever runs on it.
import type { Mode } from '../../src/core/mode.ts';
import { FOREIGN, freshCluster } from './cluster.ts';
import { checkForeign } from './foreign.ts';
import { giveRights } from './rights.ts';
import { accountOf, apply, kubectl, namespaceOf, SUITE } from './shell.ts';
import { layOut } from './workload.ts';

/** A fresh cluster of three nodes with its workload, and an account for proxyctl. */
export async function laidOut(mode: Mode): Promise<void> {
  freshCluster(mode);
  await apply([namespaceOf(SUITE, { 'pod-security.kubernetes.io/enforce': 'privileged' })]);
  await accountOf(SUITE);
  if (FOREIGN !== undefined) await checkForeign(mode);
  await layOut();
  await giveRights();
}

/** Performs `attempt`; once more, on a new cluster, when it failed and a node is dead. It says so. */
export async function onLivingNodes<T>(mode: Mode, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    const dead = await deadNodes();
    if (dead.length === 0) throw error;
    const said = error instanceof Error ? error.message.split('\n')[0] : String(error);
    console.log(`${dead.join(', ')} stopped dead (${said}): once more, on a new cluster`);
    await laidOut(mode);
    return await attempt();
  }
}

/** Nodes of which the control plane has not heard for so long that it calls their state unknown; none on a foreign cluster. */
export async function deadNodes(): Promise<string[]> {
  if (FOREIGN !== undefined) return [];
  const path = '{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}';
  const lines = (await kubectl('get', 'nodes', '-o', `jsonpath=${path}`)).split('\n');
  return lines.filter(line => line.endsWith(' Unknown')).map(line => line.split(' ')[0] ?? '');
}
