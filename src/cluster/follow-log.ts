import type { KubeObject } from '../core/cluster.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { isApiError, pause } from './http.ts';
import { Lines } from './lines.ts';
import { LogPosition } from './log-position.ts';

/** One container's log, with timestamps, from `since` (RFC 3339) or the beginning. */
export interface LogSource {
  readonly container?: string;
  follow(since: string | undefined): AsyncIterable<string>;
  read(since: string | undefined): Promise<string>;
  pod(): Promise<KubeObject | undefined>;
  readonly pollMs: number;
}

type State = 'gone' | 'ended' | 'going on' | 'not known';
/** While nobody can tell the state, the pause doubles up to so many times. */
const MAX_DOUBLINGS = 4;

/**
 * Follows until `signal` aborts, the pod is gone or the container has ended and its log was read to the end. Broken connections,
 * an unreachable API server and a container that is not there yet are waited out.
 * @throws ApiError for what waiting does not heal: no permission, no such container; and what `onLine` throws.
 */
export async function followLog(source: LogSource, onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
  const position = new LogPosition();
  const lines = new Lines();
  const deliver = (found: Iterable<string>) => {
    for (const line of found) {
      const fresh = position.accept(line);
      if (fresh !== undefined) onLine(fresh);
    }
  };
  const pod: { uid?: string } = {};
  let unknown = 0;
  while (!signal.aborted) {
    const whole = await readStream(source.follow(position.resume()), chunk => deliver(lines.feed(chunk)), signal);
    if (signal.aborted) return;
    const tail = lines.tail();
    const state = await stateOf(source, pod, signal);
    if (state === 'gone') {
      // Torn, unless the answer came to its own end.
      if (whole) deliver(tail);
      return;
    }
    if (state === 'ended' && (await readRest(source, position, deliver, signal))) return;
    unknown = state === 'not known' ? Math.min(unknown + 1, MAX_DOUBLINGS) : 0;
    await pause(source.pollMs * 2 ** unknown, signal);
  }
}

/** @returns whether the answer came to its own end. @throws what cannot be healed by trying again. */
async function readStream(
  stream: AsyncIterable<string>,
  take: (chunk: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const chunks = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await orTrouble(chunks.next(), signal);
      if (next === 'trouble') return false;
      if (next.done) return true;
      take(next.value);
      if (signal.aborted) return false;
    }
  } finally {
    await chunks.return?.();
  }
}

const NOT_YET =
  /waiting to start|ContainerCreating|PodInitializing|is not available|pull image|does not have a host assigned/i;

/** 'trouble' for what may be over soon; the pod's state decides what it means. */
async function orTrouble<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | 'trouble'> {
  try {
    return await promise;
  } catch (error) {
    if (signal.aborted || isPassing(error)) return 'trouble';
    throw error;
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof ApiError) {
    if (error.status === 400) return NOT_YET.test(error.message);
    return error.status >= 500 || isApiError(error, 404, 408, 429);
  }
  return error instanceof ProxyctlError && error.exitCode === EXIT.unreachable;
}

async function stateOf(source: LogSource, known: { uid?: string }, signal: AbortSignal): Promise<State> {
  const pod = await orTrouble(source.pod(), signal);
  if (pod === 'trouble') return 'not known';
  const uid = pod?.metadata.uid ?? '';
  known.uid ??= uid;
  if (!pod || uid !== known.uid) return 'gone';
  return hasEnded(pod, source.container) ? 'ended' : 'going on';
}

function hasEnded(pod: KubeObject, container: string | undefined): boolean {
  const status = pod.status ?? {};
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return true;
  const all: { name: string; state?: { terminated?: object } }[] = [
    ...(status.containerStatuses ?? []),
    ...(status.initContainerStatuses ?? []),
  ];
  const one = container === undefined ? all[0] : all.find(c => c.name === container);
  return one?.state?.terminated !== undefined;
}

/** The log of a container that has ended, from where we are. @returns false when it could not be read just now. */
async function readRest(
  source: LogSource,
  position: LogPosition,
  deliver: (lines: Iterable<string>) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const text = await orTrouble(readOrGone(source, position.resume()), signal);
  if (text === 'trouble') return false;
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  deliver(lines);
  return true;
}

async function readOrGone(source: LogSource, since: string | undefined): Promise<string> {
  try {
    return await source.read(since);
  } catch (error) {
    if (isApiError(error, 404)) return '';
    throw error;
  }
}
