// The label and the annotations that a run sets on nodes.
import type { KubeObject } from '../../core/cluster.ts';
import type { FlipNode, RunContext } from '../../core/driver.ts';
import { ApiError, EXIT, ProxyctlError } from '../../core/errors.ts';
import { metadataOps } from '../../core/metadata-ops.ts';
import type { Mode } from '../../core/mode.ts';
import { ANNOTATION_EPOCH, ANNOTATION_STATE, LABEL_MODE } from '../../core/names.ts';
import { plannedNode } from '../../core/plan.ts';
import { fenceOf, type NodeState, type Step } from '../../core/run-state.ts';
import { patchFenced } from '../fenced.ts';

/** Sets or removes the mode label, and writes the step and our epoch, in one patch; `refuse` as in `write`. */
export async function setMode(
  run: RunContext,
  node: FlipNode,
  step: Step,
  label: Mode | 'none' | null,
  refuse?: (now: KubeObject) => void,
): Promise<void> {
  await write(run, node, { labels: { [LABEL_MODE]: label }, annotations: stateOf(run, node, step) }, refuse);
}

/** As `setMode`, for a node that is to be released: what was proven was proven on the machine that was planned for, and no other. */
export async function setReleased(run: RunContext, node: FlipNode): Promise<void> {
  const planned = plannedNode(run.plan, node.name);
  await setMode(run, node, 'release', 'none', ({ metadata }) => {
    if (planned && metadata.uid !== planned.uid)
      throw new ApiError(`Node ${node.name} is gone: another machine bears its name`, 404, 'NotFound');
  });
}

/**
 * Throws when the node is not as it was written: a webhook changes what comes in, and nothing may be built on it. `refuse` may
 * throw for what stands there now.
 */
export async function write(
  run: RunContext,
  { name }: FlipNode,
  wanted: Parameters<typeof metadataOps>[1],
  refuse: (now: KubeObject) => void = () => undefined,
): Promise<void> {
  const node = await patchFenced(run, { kind: 'Node', name }, object => {
    refuse(object);
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
