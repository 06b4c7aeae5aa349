// Why a pod does not start, as its status tells.
import type { KubeObject } from './cluster.ts';
import { NAMESPACE } from './names.ts';
import { NOT_LOADED } from './watcher-image.ts';

export type TroubleKind = 'image' | 'absent' | 'config' | 'schedule' | 'crash' | 'ended' | 'creating';

/** Seconds that a trouble may last before nobody should wait any more. What is still being created may take its time. */
export const PATIENCE: Record<TroubleKind, number> = {
  image: 45,
  absent: 5,
  config: 30,
  schedule: 30,
  crash: 30,
  ended: 5,
  creating: Number.POSITIVE_INFINITY,
};

export interface PodTrouble {
  readonly kind: TroubleKind;
  /** `pod kube-system/x: ImagePullBackOff: ...`; untrusted text. */
  readonly text: string;
}

interface ContainerStatus {
  restartCount?: number;
  state?: { waiting?: { reason?: string; message?: string }; terminated?: Terminated };
  lastState?: { terminated?: Terminated };
}
interface Terminated {
  exitCode?: number;
  reason?: string;
}

const NEVER_PULL = 'ErrImageNeverPull';
const IMAGE = /Image|^RegistryUnavailable$|^SignatureValidationFailed$/;
const CONFIG =
  /^(CreateContainerConfigError|CreateContainerError|RunContainerError|PreCreateHookError|PostStartHookError)$/;
const CREATING = /^(ContainerCreating|PodInitializing)$/;
const MESSAGE_LENGTH = 200;

/** What keeps a pod from running; undefined where nothing does, or nothing is known. */
export function podTrouble(pod: KubeObject): PodTrouble | undefined {
  const { status = {}, metadata } = pod;
  if (metadata.deletionTimestamp !== undefined) return undefined;
  const found = ofPod(status, pod.spec?.restartPolicy === 'Never') ?? ofContainers(status);
  const advice = metadata.namespace === NAMESPACE && found?.kind === 'absent' ? `; ${NOT_LOADED}` : '';
  return found && { ...found, text: `pod ${metadata.namespace}/${metadata.name}: ${found.text}${advice}` };
}

function ofPod(status: KubeObject['status'], endsForGood: boolean): PodTrouble | undefined {
  const { phase, reason = phase, message, conditions = [] } = status;
  // One that a DaemonSet made is made anew; it is told all the same.
  if (phase === 'Failed' || (phase === 'Succeeded' && endsForGood)) {
    const ends = (status.containerStatuses ?? []).flatMap(({ state }: ContainerStatus) => state?.terminated ?? []);
    return { kind: 'ended', text: `${reason}${said(message ?? endText(ends[0]))}` };
  }
  const unscheduled = conditions.find(
    (c: { type?: string; status?: string }) => c.type === 'PodScheduled' && c.status === 'False',
  );
  return (
    unscheduled && { kind: 'schedule', text: `${unscheduled.reason ?? 'not scheduled'}${said(unscheduled.message)}` }
  );
}

function ofContainers(status: KubeObject['status']): PodTrouble | undefined {
  const all: ContainerStatus[] = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const troubles = all.flatMap(container => ofContainer(container) ?? []);
  // A container that waits for another tells nothing of its own.
  return troubles.find(({ kind }) => kind !== 'creating') ?? troubles[0];
}

function ofContainer({ state, lastState, restartCount = 0 }: ContainerStatus): PodTrouble | undefined {
  const { waiting, terminated } = state ?? {};
  if (terminated && terminated.exitCode !== 0) return { kind: 'crash', text: `its container ${endText(terminated)}` };
  const { reason = '', message } = waiting ?? {};
  if (reason === 'CrashLoopBackOff') {
    const last = lastState?.terminated ? `; it ${endText(lastState.terminated)}` : '';
    return { kind: 'crash', text: `${reason}, ${restartCount} restarts${last}` };
  }
  if (reason === NEVER_PULL) return { kind: 'absent', text: `${reason}${said(message)}` };
  if (IMAGE.test(reason)) return { kind: 'image', text: `${reason}${said(message)}` };
  if (CONFIG.test(reason)) return { kind: 'config', text: `${reason}${said(message)}` };
  if (!CREATING.test(reason)) return undefined;
  return {
    kind: 'creating',
    text: `still ${reason}: its image, a volume or the pod network ('kubectl describe pod' tells)`,
  };
}

function endText(end: Terminated | undefined): string {
  return end ? `ended with code ${end.exitCode ?? '?'}${end.reason ? ` (${end.reason})` : ''}` : '';
}

function said(message: string | undefined): string {
  return message ? `: ${message.replaceAll(/\s+/g, ' ').slice(0, MESSAGE_LENGTH)}` : '';
}
