// The node as it is.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readFile, unlink } from 'node:fs/promises';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeIo, Prepared, ProgramResult } from '../core/node-io.ts';
import type { HostPort } from '../core/proxy-address.ts';
import { dial, echo } from './dial.ts';

/** A program that takes longer is killed; restoring tens of thousands of rules takes minutes on a slow node. */
const PROGRAM_TIMEOUT_MS = 600_000;
const MISSING_PROGRAM = 127;
const KILLED = 124;

export function nodeIo(): NodeIo {
  return {
    httpGet,
    readFile: path => readFile(path, 'utf8'),
    run,
    prepare,
    dial,
    echo,
    addresses,
    now: () => Date.now(),
    cpu: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    sleep: async (ms, signal) => {
      await delay(ms, undefined, signal ? { signal } : {});
    },
    print: line => {
      process.stdout.write(`${line}\n`);
    },
  };
}

function addresses(): ReturnType<NodeIo['addresses']> {
  return Object.entries(networkInterfaces()).flatMap(([device, own = []]) =>
    own
      .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
      .map(({ address }) => ({ device, address })),
  );
}

function httpGet(
  { address, port }: HostPort,
  path: string,
  timeoutMs: number,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    // A new connection each time: one that is kept may belong to a kube-proxy that is gone.
    const options = { host: address, port, path, agent: false, signal: AbortSignal.timeout(timeoutMs) };
    const request = get(options, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    request.on('error', reject);
  });
}

async function run(
  program: string,
  args: readonly string[],
  input = '',
  take?: (piece: string) => void,
): Promise<ProgramResult> {
  const file = await fileOf(input);
  try {
    return await resultOf(start(program, args, file.fd), program, take);
  } finally {
    await file.close();
  }
}

function prepare(program: string, args: readonly string[]): Prepared {
  const child = start(program, args, 'pipe');
  const result = resultOf(child, program);
  // A program that ends without reading its input says why by its exit code; what else went wrong, who gives input is told.
  child.stdin?.on('error', () => undefined);
  result.catch(() => undefined);
  return {
    give(input) {
      child.stdin?.end(input);
      return result;
    },
  };
}

function start(program: string, args: readonly string[], stdin: number | 'pipe'): ChildProcess {
  return spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'], timeout: PROGRAM_TIMEOUT_MS, killSignal: 'SIGKILL' });
}

/** Programs that open /dev/stdin by its name cannot open what Node makes for a pipe. The file has no name any more. */
async function fileOf(input: string): Promise<FileHandle> {
  if (input === '') return open('/dev/null', 'r');
  const path = `/dev/shm/proxyctl-${randomUUID()}`;
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  // At a place of its own, so that who reads begins at the start.
  const bytes = Buffer.from(input);
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
  return file;
}

function resultOf(child: ChildProcess, program: string, take?: (piece: string) => void): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    const keep = (piece: string) => {
      stdout += piece;
    };
    // The next piece is read when this one was taken: who takes slowly slows the program down, and nothing piles up.
    child.stdout?.setEncoding('utf8').on('data', take ?? keep);
    child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      stderr += piece;
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve({ code: MISSING_PROGRAM, stdout: '', stderr: `${program}: not found` });
      else reject(error);
    });
    child.on('close', (code, signal) => {
      const killed = signal === null ? '' : `ended by ${signal}`;
      resolve({ code: code ?? KILLED, stdout, stderr: stderr || killed });
    });
  });
}
