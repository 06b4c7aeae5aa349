import type { Outcome } from './observation.ts';
import type { HostPort } from './proxy-address.ts';

/** One new connection: TCP connects and resets, UDP asks and waits for an answer. */
export interface Dial {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  readonly question?: Uint8Array;
  /** Over TCP: so many bytes of an answer are waited for; without it the connection alone is meant. */
  readonly answerBytes?: number;
}

export interface Reply {
  readonly outcome: Outcome;
  /** What came back, where something was waited for. */
  readonly answer?: Uint8Array;
}

/** What a program said and gave back. */
export interface ProgramResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** A program that reads its input before it does anything. */
export interface Prepared {
  /** To be called once; an empty input ends it without anything done. */
  give(input: string): Promise<ProgramResult>;
}

/**
 * What the watcher and the sweeper ask of the node they run on. The real one is in src/watcher; the embedded cluster has one
 * that plays a node's kernel, so that the shipped watcher and sweeper run there too.
 */
export interface NodeIo {
  /** GET at an address of the node's own; rejects when nothing answers within `timeoutMs`. */
  httpGet(at: HostPort, path: string, timeoutMs: number): Promise<{ status: number; body: string }>;
  /** A file as text; rejects when it is not there. */
  readFile(path: string): Promise<string>;
  /**
   * Runs a program without a shell. A missing program gives code 127. `take`, which must not throw, is given what the program
   * prints piece by piece, in whole characters; `stdout` is then empty.
   */
  run(program: string, args: readonly string[], input?: string, take?: (piece: string) => void): Promise<ProgramResult>;
  /** Starts a program that waits for its input, so that it takes but a moment once there is some. */
  prepare(program: string, args: readonly string[]): Prepared;
  /** Rejects with errors that are this side's own (no free port, no free file). */
  dial(dial: Dial, timeoutMs: number): Promise<Reply>;
  /** Answers every connection to a TCP port of this address with `text`, and reads nothing. Rejects when it cannot listen. */
  echo(address: string, port: number, text: string): Promise<void>;
  /** Addresses of this network namespace by device, loopback and link-local ones apart. */
  addresses(): { device: string; address: string }[];
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of processor time that this program has used, programs it ran apart. */
  cpu(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** One line of output. */
  print(line: string): void;
}
