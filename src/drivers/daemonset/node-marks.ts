// The label and the annotations that a run sets on nodes.
import type { FlipNode, RunContext } from '../../core/driver.ts';
import { ApiError, EXIT, ProxyctlError } from '../../core/errors.ts';
import { metadataOps } from '../../core/metadata-ops.ts';
import type { Mode } from '../../core/mode.ts';
import { ANNOTATION_EPOCH, ANNOTATION_STATE, LABEL_MODE } from '../../core/names.ts';
import { fenceOf, type NodeState, type Step } from '../../core/run-state.ts';
import { patchFenced } from '../fenced.ts';

/** Sets or removes the mode label, and writes the step and our epoch, in one patch. */
export async function setMode(run: RunContext, node: FlipNode, step: Step, label: Mode | 'none' | null): Promise<void> {
  await write(run, node, { labels: { [LABEL_MODE]: label }, annotations: stateOf(run, node, step) });
}

/**
 * Throws when the machine of that name is not the one that was planned for, and what was seen there not seen here; and when the
 * node is not as it was written: a webhook changes what comes in, and nothing may be built on it.
 */
export async function write(
  run: RunContext,
  { name }: FlipNode,
  wanted: Parameters<typeof metadataOps>[1],
): Promise<void> {
  const planned = run.plan.batches.flatMap(batch => batch.nodes).find(node => node.name === name);
  const node = await patchFenced(run, { kind: 'Node', name }, object => {
    if (planned && object.metadata.uid !== planned.uid)
      throw new ApiError(`Node ${name} is gone: another machine bears its name`, 404, 'NotFound');
    return metadataOps(object, wanted);
  });
  if (metadataOps(node, wanted).length === 0) return;
  const what = `node ${name} does not bear what was just written to it: something changes it on its way in`;
  throw new ProxyctlError(`${what} (an admission webhook); exempt proxyctl from it, then go on`, EXIT.halted);
}

export function stateOf(run: RunContext, node: FlipNode, step: Step): Record<string, string> {
  const state: NodeState = { run: run.id, from: node.from, to: node.to, step };
  return { [ANNOTATION_EPOCH]: fenceOf(run), [ANNOTATION_STATE]: JSON.stringify(state) };
}

export async function clearNode(run: RunContext, node: string): Promise<void> {
  if (!(await run.cluster.get({ kind: 'Node', name: node }))) return;
  await patchFenced(run, { kind: 'Node', name: node }, object =>
    metadataOps(object, {
      labels: { [LABEL_MODE]: null },
      annotations: { [ANNOTATION_STATE]: null, [ANNOTATION_EPOCH]: null },
    }),
  );
}
