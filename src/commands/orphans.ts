// Nodes that a run left whose record somebody took away: only there it stood what to put back.
import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { LABEL_MODE, NAMESPACE } from '../core/names.ts';
import { count, few } from '../core/words.ts';

/** Call it where no record stands. @throws ProxyctlError 20 that names the nodes which bear proxyctl's label all the same. */
export async function refuseOrphans(cluster: Cluster): Promise<void> {
  const names: string[] = [];
  for await (const { metadata } of cluster.list('Node', { labelSelector: LABEL_MODE })) names.push(metadata.name);
  if (names.length === 0) return;
  const what = `the record of a run is gone, and ${count(names.length, 'node')} of it serve on (${few(names)})`;
  const why = `somebody deleted namespace ${NAMESPACE}, where it stood what to put back`;
  throw new ProxyctlError(`${what}: ${why}; docs/way-back.md says how to bring them back by hand`, EXIT.findings);
}
