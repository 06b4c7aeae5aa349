// A pod's status as kubelet writes it.
import { safeHash } from './random.ts';
import { now } from './registry.ts';

export interface Exit {
  readonly code: number;
  readonly startedAt: string;
  readonly finishedAt: string;
}

export interface ContainerState {
  readonly restarts: number;
  readonly waiting?: { reason: string };
  readonly running?: { startedAt: string };
  readonly terminated?: boolean;
  /** How the run before ended; the last one when terminated. */
  readonly exit?: Exit;
}

export const waiting = (reason: string): { waiting: { reason: string } } => ({ waiting: { reason } });
export const running = (): { running: { startedAt: string } } => ({ running: { startedAt: now() } });

export function allReady(states: readonly ContainerState[]): boolean {
  return states.every(state => state.running !== undefined);
}

export function containerStatus(
  { name, image }: { name: string; image: string },
  uid: string,
  state: ContainerState,
): object {
  const { exit } = state;
  const terminated = exit && {
    exitCode: exit.code,
    reason: exit.code === 0 ? 'Completed' : 'Error',
    startedAt: exit.startedAt,
    finishedAt: exit.finishedAt,
  };
  const pulled = state.running || exit;
  const id = safeHash(`${uid}/${name}/${state.restarts}`);
  return {
    name,
    image,
    imageID: pulled ? `${image.replace(/:[^/]*$/, '')}@sha256:${safeHash(image).padEnd(64, '0')}` : '',
    ...(pulled ? { containerID: `containerd://${id}` } : {}),
    ready: state.running !== undefined,
    started: state.running !== undefined,
    restartCount: state.restarts,
    state: state.running ? { running: state.running } : state.terminated ? { terminated } : { waiting: state.waiting },
    lastState: terminated && !state.terminated ? { terminated } : {},
  };
}

interface Told {
  readonly podIP: string;
  readonly hostIP: string;
  readonly startTime: string;
  readonly ready: boolean;
}

interface Condition {
  type: string;
  status: string;
  lastTransitionTime: string;
}

/** The next status; conditions that stay keep their time. */
export function podStatus(
  before: { conditions?: Condition[] } | undefined,
  states: readonly ContainerState[],
  containerStatuses: readonly object[],
  told: Told,
): object {
  const over = states.every(state => state.terminated);
  const failed = states.some(state => (state.exit?.code ?? 0) !== 0);
  const begun = states.some(state => state.running || state.exit);
  const phase = over ? (failed ? 'Failed' : 'Succeeded') : begun ? 'Running' : 'Pending';
  const condition = (type: string, is: boolean): Condition => {
    const status = is ? 'True' : 'False';
    const old = before?.conditions?.find(c => c.type === type);
    return old?.status === status ? old : { type, status, lastTransitionTime: now() };
  };
  const conditions = [
    condition('PodReadyToStartContainers', begun),
    condition('Initialized', true),
    condition('Ready', told.ready),
    condition('ContainersReady', told.ready),
    condition('PodScheduled', true),
  ];
  const { podIP, hostIP, startTime } = told;
  const addresses = podIP === '' ? {} : { podIP, podIPs: [{ ip: podIP }] };
  return {
    phase,
    conditions,
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...addresses,
    startTime,
    containerStatuses,
    qosClass: 'BestEffort',
  };
}
