import type { Outcome, ProbeTarget } from './observation.ts';

/**
 * What the watcher and the sweeper ask of the node they run on. The real one is in src/watcher; the embedded cluster has one
 * that plays a node's kernel, so that the shipped watcher and sweeper run there too.
 */
export interface NodeIo {
  /** GET on the node's loopback; rejects when nothing answers within `timeoutMs`. */
  httpGet(port: number, path: string, timeoutMs: number): Promise<{ status: number; body: string }>;
  /** A file as text; rejects when it is not there. */
  readFile(path: string): Promise<string>;
  /** Runs a program without a shell. A missing program gives code 127. */
  run(
    program: string,
    args: readonly string[],
    input?: string,
  ): Promise<{ code: number; stdout: string; stderr: string }>;
  /** One new connection (TCP: connect and reset; UDP: one question, one answer). */
  dial(target: ProbeTarget, timeoutMs: number): Promise<Outcome>;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of processor time that this program has used, programs it ran apart. */
  cpu(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** One line of output. */
  print(line: string): void;
}
