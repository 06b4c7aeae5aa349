import type { Cluster, KubeObject } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import { LEASE, NAMESPACE } from '../core/names.ts';
import { modeLabel, nodeState, type RunRecord } from '../core/run-state.ts';
import type { RunStatus, StatusNode } from '../core/status.ts';
import { statusText } from '../report/status-text.ts';
import { findRecord } from '../run/record.ts';
import type { CommandIo } from './io.ts';
import { inventoryOf, openCluster } from './session.ts';

export async function statusCommand(io: CommandIo, options: { run?: string }): Promise<number> {
  const cluster = await openCluster(io);
  try {
    const inventory = await inventoryOf(cluster);
    const record = await findRecord(cluster);
    if (options.run !== undefined && options.run !== record?.run) {
      throw new ProxyctlError(
        `run ${options.run} does not stand in this cluster${record ? `; ${record.run} does` : ''}`,
        EXIT.usage,
      );
    }
    const status = await statusOf(cluster, inventory, record);
    io.out(io.options.format === 'json' ? JSON.stringify(status) : statusText(status, io.paint));
    return status.unfit.length > 0 ? EXIT.findings : EXIT.done;
  } finally {
    cluster.close();
  }
}

async function statusOf(cluster: Cluster, inventory: Inventory, record: RunRecord | undefined): Promise<RunStatus> {
  const objects = new Map<string, KubeObject>();
  for await (const node of cluster.list('Node')) objects.set(node.metadata.name, node);
  const planned = new Map(
    record?.plan.batches.flatMap(b => b.nodes.map(n => [n.name, { from: n.from, batch: b.id }] as const)) ?? [],
  );
  const nodes = inventory.nodes.map((node): StatusNode => {
    const object = objects.get(node.name);
    const plan = planned.get(node.name);
    const label = object && modeLabel(object);
    const state = object && nodeState(object);
    return {
      name: node.name,
      mode: node.mode,
      ready: node.ready,
      ...(plan ? { batch: plan.batch, from: plan.from } : {}),
      ...(label === undefined ? {} : { label }),
      ...(state ? { step: state.step, to: state.to } : {}),
    };
  });
  const lease = record ? await cluster.get({ kind: 'Lease', namespace: NAMESPACE, name: LEASE }) : undefined;
  const holder = String(lease?.spec.holderIdentity ?? '');
  return {
    kind: 'RunStatus',
    version: 1,
    cluster: inventory.cluster,
    ...(record ? { run: { id: record.run, to: record.plan.to, startedAt: record.startedAt, holder } } : {}),
    nodes,
    unfit: unfit(nodes, record),
  };
}

/** What does not fit, one line each: two modes without a run, a node between two modes, a label without its mode. */
function unfit(nodes: readonly StatusNode[], record: RunRecord | undefined): string[] {
  const found: string[] = [];
  const known = new Set(nodes.map(n => n.mode).filter(mode => mode !== 'unknown' && mode !== 'none'));
  if (!record && known.size > 1)
    found.push(`nodes serve in ${[...known].join(' and ')}, and no run of proxyctl explains it`);
  for (const node of nodes) {
    if (!record && node.label !== undefined)
      found.push(`${node.name} bears proxyctl's label (${node.label}), and no run stands in this cluster`);
    if (node.label === 'none')
      found.push(`${node.name} is between two modes: its kube-proxy was released and not yet handed over`);
    const labelled = node.label !== undefined && node.label !== 'none' && node.mode !== 'unknown';
    if (labelled && node.label !== node.mode)
      found.push(`${node.name} should serve in mode ${node.label} and serves in ${node.mode}`);
  }
  return found;
}
