// kube-proxy's own DaemonSet while a run stands: whose kube-proxies come to flipped nodes, or come to no node any more.
import { few } from './words.ts';

export interface Original {
  /** `kube-system/kube-proxy` */
  readonly name: string;
  /** Whether it is kept off nodes that bear proxyctl's label, or is there at all. */
  readonly stands: 'kept off' | 'not kept off' | 'gone';
}

/** What of it does not fit, `flipped` being the nodes that bear the label of a mode; empty when it is as it should be. */
export function ofOriginal({ name, stands }: Original, flipped: readonly string[]): string[] {
  const what = `DaemonSet ${name}`;
  const again = "put it back as it was, or 'proxyctl rollback' makes it from the run's record";
  if (stands === 'gone') return [`${what} is gone, and no node that it served gets a kube-proxy any more; ${again}`];
  if (stands === 'kept off' || flipped.length === 0) return [];
  const second = `was put back or made anew by somebody else and starts a second kube-proxy on ${few(flipped)}`;
  return [`${what} ${second}; 'proxyctl resume' or 'proxyctl rollback' ends that`];
}
