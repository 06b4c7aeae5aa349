import { type KubeObject, type PatchOp, pointer, type Ref } from '../../core/cluster.ts';
import { translateConfig } from '../../core/config-translation.ts';
import type { Driver, FlipNode, RunContext, SeenPod } from '../../core/driver.ts';
import { EXIT, ProxyctlError } from '../../core/errors.ts';
import { metadataOps } from '../../core/metadata-ops.ts';
import { MODES, type Mode } from '../../core/mode.ts';
import {
  ANNOTATION_EPOCH,
  ANNOTATION_STATE,
  LABEL_MODE,
  LABEL_PART,
  LABEL_RUN,
  SHADOW_NAME,
} from '../../core/names.ts';
import { modeLabel, type NodeState, type Step } from '../../core/run-state.ts';
import { type ConfigEdit, parseConfig } from '../config-text.ts';
import { createOnce, deleteFenced, fenceOf, patchFenced } from '../fenced.ts';
import { leaveNamespace } from '../own-namespace.ts';
import { excludedTemplate, modeConfigMap, modeDaemonSet, shadowConfigMap, warmPod, warmPodName } from './objects.ts';
import {
  controlledBy,
  currentHash,
  gone,
  holdsRule,
  homePod,
  isRunning,
  mountsMode,
  namespaceOf,
  POD_SECONDS,
  proxyPods,
  warmPods,
} from './pods.ts';
import {
  committedText,
  committing,
  configMapRef,
  originalRef,
  refuseEdited,
  refuseOtherMode,
  refuseReverted,
  same,
} from './shared-objects.ts';

/** Pods restart when they are deleted, and not before. */
const ON_DELETE: PatchOp = { op: 'replace', path: '/spec/updateStrategy', value: { type: 'OnDelete' } };
const replacing = (template: unknown): PatchOp => ({ op: 'replace', path: '/spec/template', value: template });
/** Nodes that a takeover writes to at once. */
const SEALED_AT_ONCE = 8;

export const daemonsetDriver: Driver = {
  id: 'daemonset',

  async seal(run) {
    const write = (ref: Ref) =>
      patchFenced(run, ref, object => metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: fenceOf(run) } }));
    for (const ref of [originalRef(run), configMapRef(run), ...(await warmPods(run))]) await write(ref);
    const nodes = run.plan.batches.flatMap(b => b.nodes);
    for (let at = 0; at < nodes.length; at += SEALED_AT_ONCE) {
      await Promise.all(
        nodes.slice(at, at + SEALED_AT_ONCE).map(async ({ name }) => {
          const ref: Ref = { kind: 'Node', name };
          if (await run.cluster.get(ref)) await write(ref);
        }),
      );
    }
  },

  async prepare(run) {
    const namespace = namespaceOf(run);
    await createOnce(
      run,
      shadowConfigMap(run.id, namespace),
      { kind: 'ConfigMap', namespace, name: SHADOW_NAME },
      LABEL_RUN,
    );
    for (const mode of modesOf(run)) {
      const map = modeConfigMap(run.id, run.originals, mode, editsFor(run, mode));
      await createOnce(run, map, { kind: 'ConfigMap', namespace, name: map.metadata.name }, LABEL_RUN);
    }
    const daemonSet = modeDaemonSet(run.id, run.originals, run.plan.to);
    await createOnce(run, daemonSet, { kind: 'DaemonSet', namespace, name: daemonSet.metadata.name }, LABEL_RUN);
    // One patch sets OnDelete and the template, so that no controller ever sees the new template under RollingUpdate.
    await patchFenced(run, originalRef(run), object => {
      const template = excludedTemplate(run.originals.daemonSet);
      if (same(object.spec.template, template) && object.spec.updateStrategy.type === 'OnDelete') return [];
      return [
        ...metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: fenceOf(run) } }),
        ON_DELETE,
        replacing(template),
      ];
    });
    await observed(run, originalRef(run));
  },

  async mark(run, node, step) {
    await write(run, node, { annotations: stateOf(run, node, step) });
  },

  async warm(run, node) {
    const namespace = namespaceOf(run);
    const name = warmPodName(node.name);
    const pod = warmPod(run.id, run.originals, node.name, node.to);
    const ref: Ref = { kind: 'Pod', namespace, name };
    // A warm pod of the other direction, left by a run that was killed.
    const left = await run.cluster.get(ref);
    if (left && !mountsMode(left, run, node.to)) await this.cool(run, node);
    const made = await createOnce(run, pod, ref, LABEL_RUN);
    const seconds = Math.max(POD_SECONDS, run.plan.playbook.gates.convergence);
    await run.waitFor(`the warm kube-proxy on ${node.name} to start`, seconds, async seen =>
      running(await run.cluster.get(ref), seen),
    );
    return left && left.metadata.uid === made.metadata.uid && isRunning(left) ? 'running' : 'started';
  },

  async cool(run, node) {
    const ref: Ref = { kind: 'Pod', namespace: namespaceOf(run), name: warmPodName(node.name) };
    const pod = await run.cluster.get(ref);
    if (!pod) return;
    await deleteFenced(run, ref, pod.metadata.uid);
    await gone(run, ref, pod, `the warm kube-proxy on ${node.name} to end`);
  },

  async release(run, node) {
    await refuseReverted(run);
    await (node.home === 'mode' ? refuseEdited(run) : refuseOtherMode(run, node.name, node.to));
    await setMode(run, node, 'release', 'none');
    // By UID: a pod of the same name may follow.
    await run.waitFor(`the kube-proxy on ${node.name} to end`, POD_SECONDS, async () =>
      (await proxyPods(run, node.name)).length === 0 ? true : undefined,
    );
  },

  async handOver(run, node) {
    const warm: Ref = { kind: 'Pod', namespace: namespaceOf(run), name: warmPodName(node.name) };
    const pod = await run.cluster.get(warm);
    if (pod) await deleteFenced(run, warm, pod.metadata.uid);
    await setMode(run, node, 'hand-over', node.home === 'mode' ? node.to : null);
    await run.waitFor(`the ${node.to} kube-proxy on ${node.name} to start`, POD_SECONDS, async seen =>
      running(await homePod(run, node), seen),
    );
    if (pod) await gone(run, warm, pod, `the warm kube-proxy on ${node.name} to end`);
  },

  async podOf(run, node, slot) {
    if (slot === 'main') return homePod(run, node);
    return run.cluster.get({ kind: 'Pod', namespace: namespaceOf(run), name: warmPodName(node.name) });
  },

  async serves(run, node) {
    const pod = await homePod(run, node);
    return pod !== undefined && isRunning(pod);
  },

  async commit(run) {
    const { configKey } = run.originals;
    await patchFenced(run, configMapRef(run), object => {
      const text = committing(run, object, editsFor(run, run.plan.to));
      return object.data[configKey] === text ? [] : [{ op: 'replace', path: pointer('data', configKey), value: text }];
    });
  },

  async committed(run) {
    const { configKey, configMap } = run.originals;
    const object = await run.cluster.get(configMapRef(run));
    const text = committedText(run, editsFor(run, run.plan.to));
    return object?.data[configKey] === text && text !== configMap.data[configKey];
  },

  async restoreTemplate(run) {
    const template = run.originals.daemonSet.spec.template;
    await patchFenced(run, originalRef(run), object => [
      // Somebody else may have set it back: then the controller would restart what nobody looks at.
      ...(object.spec.updateStrategy.type === 'OnDelete' ? [] : [ON_DELETE]),
      ...(same(object.spec.template, template) ? [] : [replacing(template)]),
    ]);
    await observed(run, originalRef(run));
  },

  async outdated(run) {
    const hash = await currentHash(run);
    const nodes: string[] = [];
    for await (const pod of run.cluster.list('Pod', { namespace: namespaceOf(run) })) {
      const own = controlledBy(pod, run.originals.daemonSet);
      if (own && pod.metadata.labels?.['controller-revision-hash'] !== hash) nodes.push(String(pod.spec.nodeName));
    }
    return nodes.sort();
  },

  async restart(run, node, mode) {
    const object = await run.cluster.get({ kind: 'Node', name: node });
    // Under our label it has a configuration of its own.
    if (!object || modeLabel(object) !== mode) await refuseOtherMode(run, node, mode);
    const [pod] = await proxyPods(run, node);
    if (pod) {
      const ref: Ref = { kind: 'Pod', namespace: namespaceOf(run), name: pod.metadata.name };
      await deleteFenced(run, ref, pod.metadata.uid);
    }
    await run.waitFor(`the kube-proxy on ${node} to start again`, POD_SECONDS, async seen => {
      const others = (await proxyPods(run, node)).filter(p => p.metadata.uid !== pod?.metadata.uid);
      return running(others.find(isRunning) ?? others[0], seen);
    });
  },

  async leave(run) {
    const namespace = namespaceOf(run);
    for (const { name } of run.plan.batches.flatMap(b => b.nodes)) await clearNode(run, name);
    const original = await run.cluster.get(originalRef(run));
    const hash = await currentHash(run);
    await patchFenced(run, originalRef(run), object => restoreOps(object, run.originals.daemonSet));
    await patchFenced(run, configMapRef(run), object =>
      metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: null } }),
    );
    // The intermediate template's revision: no pod has it any more.
    const uid = original?.metadata.uid;
    for await (const revision of run.cluster.list('ControllerRevision', { namespace })) {
      const ours = revision.metadata.ownerReferences?.some(o => o.uid === uid) && holdsRule(revision);
      const { name, uid: its } = revision.metadata;
      if (ours && !name.endsWith(`-${hash}`))
        await deleteFenced(run, { kind: 'ControllerRevision', namespace, name }, its);
    }
    const remove = async (kind: 'Pod' | 'DaemonSet' | 'ConfigMap') => {
      for await (const object of run.cluster.list(kind, {
        namespace,
        labelSelector: `${LABEL_RUN}=${run.id},${LABEL_PART}`,
      })) {
        const { name, uid: its } = object.metadata;
        await deleteFenced(run, { kind, namespace, name }, its);
      }
    };
    await remove('DaemonSet');
    await remove('Pod');
    await remove('ConfigMap');
    await run.waitFor('what proxyctl made in kube-system to go', POD_SECONDS, async () => {
      for await (const object of run.cluster.list('Pod', { namespace, labelSelector: `${LABEL_RUN}=${run.id}` })) {
        if (object) return undefined;
      }
      return true;
    });
    await leaveNamespace(run);
  },
};

/** The pod once it runs. */
function running(pod: KubeObject | undefined, seen: SeenPod): KubeObject | undefined {
  seen(pod);
  return pod && isRunning(pod) ? pod : undefined;
}

/** The modes that this run may bring a node into: the target, and for the way back where the nodes came from. */
function modesOf(run: RunContext): Mode[] {
  const from = new Set<Mode>(run.plan.batches.flatMap(b => b.nodes.map(n => n.from)));
  return MODES.filter(mode => mode === run.plan.to || from.has(mode));
}

function editsFor(run: RunContext, mode: Mode): ConfigEdit[] {
  const { configMap, configKey } = run.originals;
  const from = run.plan.batches[0]?.nodes[0]?.from ?? mode;
  // On the way back a node gets what it had; only the mode is written out, should it have been left to the default.
  if (mode !== run.plan.to) return [{ path: ['mode'], value: mode }];
  const config = parseConfig(String(configMap.data[configKey]));
  const { families, playbook } = run.plan;
  return translateConfig(config, from, mode, { ...playbook.options, families }).edits;
}

/** Sets or removes the mode label, and writes the step and our epoch, in one patch. */
async function setMode(run: RunContext, node: FlipNode, step: Step, label: Mode | 'none' | null): Promise<void> {
  await write(run, node, { labels: { [LABEL_MODE]: label }, annotations: stateOf(run, node, step) });
}

/** Throws when the node is not as it was written: a webhook changes what comes in, and nothing may be built on it. */
async function write(run: RunContext, { name }: FlipNode, wanted: Parameters<typeof metadataOps>[1]): Promise<void> {
  const node = await patchFenced(run, { kind: 'Node', name }, object => metadataOps(object, wanted));
  if (metadataOps(node, wanted).length === 0) return;
  const what = `node ${name} does not bear what was just written to it: something changes it on its way in`;
  throw new ProxyctlError(
    `${what} (an admission webhook); exempt proxyctl from it, then go on or roll back`,
    EXIT.halted,
  );
}

function stateOf(run: RunContext, node: FlipNode, step: Step): Record<string, string> {
  const state: NodeState = { run: run.id, from: node.from, to: node.to, step };
  return { [ANNOTATION_EPOCH]: fenceOf(run), [ANNOTATION_STATE]: JSON.stringify(state) };
}

async function clearNode(run: RunContext, node: string): Promise<void> {
  if (!(await run.cluster.get({ kind: 'Node', name: node }))) return;
  await patchFenced(run, { kind: 'Node', name: node }, object =>
    metadataOps(object, {
      labels: { [LABEL_MODE]: null },
      annotations: { [ANNOTATION_STATE]: null, [ANNOTATION_EPOCH]: null },
    }),
  );
}

function restoreOps(object: KubeObject, original: KubeObject): PatchOp[] {
  return [
    { op: 'replace', path: '/spec/updateStrategy', value: original.spec.updateStrategy },
    ...metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: null } }),
  ];
}

/** Waits until the DaemonSet controller has seen the object as it is now. */
async function observed(run: RunContext, ref: Ref): Promise<void> {
  await run.waitFor('the DaemonSet controller', POD_SECONDS, async () => {
    const object = await run.cluster.get(ref);
    return object && object.status?.observedGeneration === object.metadata.generation ? true : undefined;
  });
}
