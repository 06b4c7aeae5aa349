// Logs of containers, and how the API hands them out.
import type { KubeObject } from '../core/cluster.ts';
import type { ApiAnswer } from './api-answer.ts';
import { badRequest, StatusError } from './status.ts';

interface Line {
  /** Nanoseconds since the epoch, ever growing. */
  readonly at: bigint;
  readonly text: string;
}

/** What one run of a container has printed. */
export class ContainerLog {
  readonly lines: Line[] = [];
  ended = false;
  private readonly followers = new Set<() => void>();
  private last = 0n;

  print(text: string): void {
    const at = BigInt(Date.now()) * 1_000_000n;
    this.last = at > this.last ? at : this.last + 1n;
    for (const line of text.split('\n')) this.lines.push({ at: this.last++, text: line });
    this.wake();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  /** Calls `onChange` when there is more or the end. */
  follow(onChange: () => void): () => void {
    this.followers.add(onChange);
    return () => this.followers.delete(onChange);
  }

  private wake(): void {
    for (const follower of [...this.followers]) follower();
  }
}

/** All logs by pod UID and container: the present run and the one before. */
export class LogBook {
  private readonly pods = new Map<string, Map<string, ContainerLog[]>>();

  begin(uid: string, container: string): ContainerLog {
    const log = new ContainerLog();
    let runs = this.pods.get(uid);
    if (!runs) {
      runs = new Map();
      this.pods.set(uid, runs);
    }
    runs.set(container, [log, ...(runs.get(container) ?? []).slice(0, 1)]);
    return log;
  }

  find(uid: string, container: string, previous = false): ContainerLog | undefined {
    return this.pods.get(uid)?.get(container)?.[previous ? 1 : 0];
  }

  forget(uid: string): void {
    for (const logs of this.pods.get(uid)?.values() ?? []) for (const log of logs) log.end();
    this.pods.delete(uid);
  }
}

/** Answers GET pods/<name>/log. @throws StatusError 400 as the real server does for what has no log yet. */
export function serveLog(book: LogBook, pod: KubeObject, query: URLSearchParams, response: ApiAnswer): void {
  const name = containerOf(pod, query.get('container'));
  const previous = query.get('previous') === 'true';
  const log = book.find(pod.metadata.uid ?? '', name, previous);
  if (!log) {
    if (previous) throw badRequest(`previous terminated container "${name}" in pod "${pod.metadata.name}" not found`);
    throw badRequest(
      `container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${waitingReason(pod, name)}`,
    );
  }
  const writer = new LogWriter(log, query, response);
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  if (query.get('follow') !== 'true') {
    writer.flush();
    response.end();
    return;
  }
  const stop = log.follow(() => {
    if (writer.flush()) response.end();
  });
  response.on('close', stop);
  if (writer.flush()) response.end();
}

function containerOf(pod: KubeObject, asked: string | null): string {
  const names: string[] = pod.spec.containers.map((c: { name: string }) => c.name);
  if (!pod.spec.nodeName) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  if (asked) {
    if (!names.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`);
    return asked;
  }
  const [only] = names;
  if (only === undefined || names.length > 1) {
    throw badRequest(
      `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(' ')}]`,
    );
  }
  return only;
}

function waitingReason(pod: KubeObject, name: string): string {
  const statuses: { name: string; state?: { waiting?: { reason?: string } } }[] = pod.status?.containerStatuses ?? [];
  const reason = statuses.find(s => s.name === name)?.state?.waiting?.reason ?? 'ContainerCreating';
  return /^(ErrImagePull|ImagePullBackOff)$/.test(reason) ? `trying and failing to pull image` : reason;
}

class LogWriter {
  private next: number;
  private left: number;
  private readonly stamped: boolean;
  private readonly log: ContainerLog;
  private readonly response: ApiAnswer;

  constructor(log: ContainerLog, query: URLSearchParams, response: ApiAnswer) {
    this.log = log;
    this.response = response;
    this.stamped = query.get('timestamps') === 'true';
    this.left = Number(query.get('limitBytes') ?? Number.POSITIVE_INFINITY);
    const since = query.get('sinceTime');
    this.next = since === null ? 0 : firstSince(log, since);
    const tail = query.get('tailLines');
    if (tail !== null) this.next = Math.max(this.next, log.lines.length - Number(tail));
  }

  /** Writes what is new. @returns whether it is over. */
  flush(): boolean {
    const { lines } = this.log;
    let text = '';
    for (; this.next < lines.length; this.next++) {
      const line = lines[this.next];
      if (line) text += `${this.stamped ? `${stamp(line.at)} ` : ''}${line.text}\n`;
    }
    const bytes = Buffer.from(text).subarray(0, Math.max(0, Math.min(this.left, Number.MAX_SAFE_INTEGER)));
    this.left -= bytes.length;
    if (bytes.length > 0) this.response.write(bytes);
    return this.log.ended || this.left <= 0;
  }
}

/** Whole seconds count, as on the way through the real server. */
function firstSince(log: ContainerLog, since: string): number {
  const ms = Date.parse(since);
  if (Number.isNaN(ms)) throw new StatusError(400, 'BadRequest', `unable to parse sinceTime: ${since}`);
  const from = BigInt(Math.floor(ms / 1000)) * 1_000_000_000n;
  const index = log.lines.findIndex(line => line.at >= from);
  return index < 0 ? log.lines.length : index;
}

/** RFC 3339 with nanoseconds. */
function stamp(at: bigint): string {
  const seconds = new Date(Number(at / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${String(at % 1_000_000_000n).padStart(9, '0')}Z`;
}
