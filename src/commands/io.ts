import { createInterface } from 'node:readline/promises';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { ClusterIdentity } from '../core/inventory.ts';
import { escapeJson, escapeText, lastEscape } from '../report/escape.ts';
import { makePainter, type Painter, wantsColor } from '../report/paint.ts';

/** Flags that every command takes. */
export interface GlobalOptions {
  kubeconfig?: string;
  context?: string;
  format: 'text' | 'json';
  color: boolean;
  verbose: boolean;
}

/** Where a command talks to: data to `out`, everything for people to `err`. */
export interface CommandIo {
  readonly options: GlobalOptions;
  /** Colours of `err` and of `out`: each stream for itself. */
  readonly paint: Painter;
  readonly paintOut: Painter;
  readonly interactive: boolean;
  readonly width: number;
  out(text: string): void;
  err(text: string): void;
}

export function commandIo(options: GlobalOptions): CommandIo {
  const { stdin, stdout, stderr, env } = process;
  const colors = (tty: boolean) => makePainter(wantsColor({ ...(options.color ? {} : { flag: false }), env, tty }));
  return {
    options,
    paint: colors(stderr.isTTY === true),
    paintOut: colors(stdout.isTTY === true),
    interactive: stdin.isTTY === true && stderr.isTTY === true,
    width: Math.min(stderr.columns ?? 80, 120),
    out: text => void stdout.write(ended(options.format === 'json' ? escapeJson(text) : lastEscape(text))),
    err: text => void stderr.write(ended(lastEscape(text))),
  };
}

function ended(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

/** The line that every command prints before anything else. */
export function clusterLine(identity: ClusterIdentity): string {
  const mark = identity.simulated ? 'SIMULATED cluster' : 'cluster';
  return `${mark} ${escapeText(identity.context)}  ${escapeText(identity.server)}  Kubernetes ${escapeText(identity.kubernetes)}`;
}

/** A changing command goes on only with the typed cluster name, or with --yes. */
export async function confirm(io: CommandIo, identity: ClusterIdentity, yes: boolean, what: string): Promise<void> {
  if (yes) return;
  if (!io.interactive) throw new ProxyctlError(`${what} needs a terminal to ask on, or --yes`, EXIT.usage);
  await typed(`Type the cluster's name (${escapeText(identity.context)}) to ${what}: `, identity.context);
}

/** Asks on the terminal. Throws with code 23 when the answer is not `word`, or Ctrl-C or Ctrl-D. */
export async function typed(question: string, word: string): Promise<void> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  // Either key closes the reader; whether the question then fails or stays open depends on the version of Node.
  const closed = new Promise<undefined>(done => reader.once('close', () => done(undefined)));
  try {
    const answer = await Promise.race([reader.question(question).catch(() => undefined), closed]);
    if (answer === undefined) process.stderr.write('\n');
    if (answer?.trim() !== word) throw new ProxyctlError('not confirmed; nothing was changed', EXIT.stopped);
  } finally {
    reader.close();
  }
}
