import { type KubeObject, type PatchOp, pointer, type Ref } from '../../core/cluster.ts';
import { translateConfig } from '../../core/config-translation.ts';
import type { Driver, RunContext } from '../../core/driver.ts';
import { ApiError } from '../../core/errors.ts';
import { metadataOps } from '../../core/metadata-ops.ts';
import { MODES, type Mode } from '../../core/mode.ts';
import { ANNOTATION_EPOCH, LABEL_PART, LABEL_RUN, SHADOW_NAME } from '../../core/names.ts';
import { fenceOf, modeLabel } from '../../core/run-state.ts';
import { type ConfigEdit, parseConfig } from '../config-text.ts';
import { createOnce, deleteFenced, patchFenced } from '../fenced.ts';
import { leaveNamespace } from '../own-namespace.ts';
import { excludedTemplate, includedTemplate, templateOps } from './exclusion.ts';
import { clearNode, setMode, setReleased, stateOf, write } from './node-marks.ts';
import { modeConfigMap, modeDaemonSet, shadowConfigMap, warmPod, warmPodName } from './objects.ts';
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
  running,
  warmPodOf,
  warmPods,
  warmServes,
} from './pods.ts';
import {
  committedText,
  committing,
  configMapRef,
  foreignFields,
  isDeleted,
  original,
  originalRef,
  patchOriginal,
  refuseChanged,
  refuseEdited,
  refuseForeign,
  refuseOtherMode,
  refuseReverted,
  remakeOriginal,
} from './shared-objects.ts';

/** Nodes that a takeover writes to at once. */
const SEALED_AT_ONCE = 8;

export const daemonsetDriver: Driver = {
  id: 'daemonset',

  async seal(run) {
    const write = async (ref: Ref) => {
      try {
        await patchFenced(run, ref, object =>
          metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: fenceOf(run) } }),
        );
      } catch (error) {
        // What is gone, or goes at this moment, is in nobody's hand any more.
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
      }
    };
    for (const ref of [originalRef(run), configMapRef(run), ...(await warmPods(run))]) await write(ref);
    const nodes = run.plan.batches.flatMap(b => b.nodes);
    for (let at = 0; at < nodes.length; at += SEALED_AT_ONCE) {
      await Promise.all(nodes.slice(at, at + SEALED_AT_ONCE).map(({ name }) => write({ kind: 'Node', name })));
    }
  },

  async prepare(run, foreign) {
    if (foreign === 'refused') await refuseForeign(run);
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
    // One patch sets OnDelete and our rule, so that no controller ever sees the new template under RollingUpdate.
    await patchOriginal(run, object => {
      const ops = templateOps(object, excludedTemplate(object));
      if (ops.length === 0) return [];
      return [...metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: fenceOf(run) } }), ...ops];
    });
    await observed(run);
  },

  async mark(run, node, step) {
    await write(run, node, { annotations: stateOf(run, node, step) });
  },

  async warm(run, node) {
    const namespace = namespaceOf(run);
    const name = warmPodName(node.name);
    const pod = warmPod(run.id, run.originals, node.name, node.to);
    const ref: Ref = { kind: 'Pod', namespace, name };
    // A warm pod of the other direction, left by a run that was killed, or one that it had begun to remove.
    const left = await run.cluster.get(ref);
    if (left && (left.metadata.deletionTimestamp || !mountsMode(left, run, node.to))) await this.cool(run, node);
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

  async release(run, node, serving) {
    await refuseReverted(run);
    if (node.home === 'mode') await refuseForeign(run);
    await (node.home === 'mode' ? refuseEdited(run) : refuseOtherMode(run, node.name, node.to));
    if (serving === 'warm') await warmServes(run, node);
    await setReleased(run, node);
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
    await run.waitFor(`the ${node.to} kube-proxy on ${node.name} to start`, POD_SECONDS, async seen => {
      const own = await homePod(run, node);
      if (!own && node.home === 'original') await original(run);
      return running(own, seen);
    });
    if (pod) await gone(run, warm, pod, `the warm kube-proxy on ${node.name} to end`);
  },

  async podOf(run, node, slot) {
    return slot === 'main' ? homePod(run, node) : warmPodOf(run, node);
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

  foreign: foreignFields,

  intact: refuseChanged,

  deleted: isDeleted,

  remake: remakeOriginal,

  async restoreTemplate(run) {
    await patchOriginal(run, object => templateOps(object, includedTemplate(object, run.originals.daemonSet)));
    await observed(run);
  },

  async outdated(run) {
    const daemonSet = await original(run);
    const hash = await currentHash(run, daemonSet);
    const nodes: string[] = [];
    for await (const pod of run.cluster.list('Pod', { namespace: namespaceOf(run) })) {
      const own = controlledBy(pod, daemonSet);
      if (own && pod.metadata.labels?.['controller-revision-hash'] !== hash) nodes.push(String(pod.spec.nodeName));
    }
    return nodes.sort();
  },

  async restart(run, node, mode) {
    const object = await run.cluster.get({ kind: 'Node', name: node });
    // Under our label it has a configuration of its own.
    if (!object || modeLabel(object) !== mode) {
      await refuseOtherMode(run, node, mode);
      await original(run);
    }
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
    const daemonSet = await original(run);
    const hash = await currentHash(run, daemonSet);
    await patchOriginal(run, object => restoreOps(object, run.originals.daemonSet));
    await patchFenced(run, configMapRef(run), object =>
      metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: null } }),
    );
    // The intermediate template's revision: no pod has it any more.
    const { uid } = daemonSet.metadata;
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

function restoreOps(object: KubeObject, original: KubeObject): PatchOp[] {
  return [
    { op: 'replace', path: '/spec/updateStrategy', value: original.spec.updateStrategy },
    ...metadataOps(object, { annotations: { [ANNOTATION_EPOCH]: null } }),
  ];
}

/** Waits until the DaemonSet controller has seen the original one as it is now. */
async function observed(run: RunContext): Promise<void> {
  await run.waitFor('the DaemonSet controller', POD_SECONDS, async () => {
    const object = await original(run);
    return object.status?.observedGeneration === object.metadata.generation ? true : undefined;
  });
}
