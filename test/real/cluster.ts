// Brings up the disposable cluster that the suite runs on: ../shared/cluster beside the checkout, or whatever
// PROXYCTL_TEST_KUBECONFIG names.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');
export const SHARED = resolve(ROOT, '../shared/cluster');
export const IMAGE = resolve(ROOT, 'proxyctl-watcher.tar');
const given = process.env.PROXYCTL_TEST_KUBECONFIG;
/** Kubeconfig of a cluster that somebody else brought up, in the place of our own; undefined where it is our own. */
export const FOREIGN = given ? resolve(given) : undefined;

export function sh(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 });
}

/** Two processors for three nodes: what the suite itself does must not slow the nodes. */
export const GOES_FIRST = ['nice', '-n', '-10'] as const;

/** A fresh cluster of three nodes in a mode, the watcher image on them. A foreign one stays as it is. */
export function freshCluster(mode: string): void {
  if (FOREIGN !== undefined) return;
  sh(`${SHARED}/down`);
  const [nice, ...how] = GOES_FIRST;
  const up = [`${SHARED}/up`, '--nodes', '3', '--mode', mode, '--mem', '2000', '--image', IMAGE];
  const said = sh(nice, ...how, ...up);
  console.log(said.trim().split('\n').at(-1));
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
