import type { Inventory } from '../core/inventory.ts';
import { count, few } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { hang } from './layout.ts';

const WIDTH = 80;

/** What an inventory says, for people: folded, so that 5,000 nodes fit on a screen. */
export function inventoryText(inventory: Inventory): string {
  const { cluster, nodes, services, proxy } = inventory;
  const lines: string[] = [];
  const row = (label: string, text: string) => lines.push(...hang(label.padEnd(12), escapeText(text), WIDTH));
  if (cluster.simulated) lines.push('SIMULATED cluster');
  row('cluster', `${cluster.context} (${cluster.server}), Kubernetes ${cluster.kubernetes}`);
  row('taken', inventory.takenAt);
  row(
    'nodes',
    folded(nodes, n => n.mode, 'node'),
  );
  row(
    '',
    folded(nodes, n => n.role, 'node'),
  );
  row(
    '  by zone',
    folded(nodes, n => n.zone ?? 'no zone'),
  );
  row(
    '  by kernel',
    folded(nodes, n => n.kernel),
  );
  row(
    '  by system',
    folded(nodes, n => n.osImage),
  );
  const notReady = nodes.filter(n => !n.ready).map(n => n.name);
  if (notReady.length > 0) row('  not Ready', few(notReady));
  const labelled = nodes.filter(n => n.label !== undefined);
  if (labelled.length > 0)
    row(
      '  in a run',
      folded(labelled, n => `label ${n.label}`),
    );
  const served = services.filter(s => s.proxied);
  row(
    'Services',
    `${served.length} of ${services.length} served by kube-proxy, in ${count(inventory.namespaces.length, 'namespace')}`,
  );
  row(
    '',
    folded(served, s => s.type),
  );
  row('  endpoints', `${served.reduce((sum, s) => sum + s.endpoints, 0)}`);
  row('kube-proxy', runBy(inventory));
  for (const other of proxy.others) row('  also', other);
  for (const owner of proxy.owners) row('  owner', owner);
  return `${lines.map(l => l.trimEnd()).join('\n')}\n`;
}

/** `3 nodes iptables, 1 node ipvs`: most first. */
function folded<T>(items: readonly T[], by: (item: T) => string, unit?: string): string {
  const groups = [...Map.groupBy(items, by)].map(([name, members]) => ({ name, size: members.length }));
  groups.sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
  const texts = groups.map(({ name, size }) => `${unit === undefined ? size : count(size, unit)} ${name}`);
  return texts.length === 0 ? 'none' : few(texts, 8);
}

function runBy({ proxy }: Inventory): string {
  const { daemonSet, configMap } = proxy;
  if (!daemonSet) return 'no DaemonSet was found';
  const config = configMap
    ? `ConfigMap ${configMap.namespace}/${configMap.name}, key ${configMap.key}`
    : 'no ConfigMap';
  return `DaemonSet ${daemonSet.namespace}/${daemonSet.name}, ${daemonSet.image}, ${daemonSet.updateStrategy}; ${config}`;
}
