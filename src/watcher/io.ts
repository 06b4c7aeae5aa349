// The node as it is.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeIo } from '../core/node-io.ts';
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

function httpGet(port: number, path: string, timeoutMs: number): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    // A new connection each time: one that is kept may belong to a kube-proxy that is gone.
    const options = { host: '127.0.0.1', port, path, agent: false, signal: AbortSignal.timeout(timeoutMs) };
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

function run(program: string, args: readonly string[], input = ''): ReturnType<NodeIo['run']> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe', timeout: PROGRAM_TIMEOUT_MS, killSignal: 'SIGKILL' });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve({ code: MISSING_PROGRAM, stdout: '', stderr: `${program}: not found` });
      else reject(error);
    });
    child.on('close', (code, signal) => {
      const killed = signal === null ? '' : `ended by ${signal}`;
      const text = Buffer.concat(stderr).toString('utf8');
      resolve({ code: code ?? KILLED, stdout: Buffer.concat(stdout).toString('utf8'), stderr: text || killed });
    });
    // A program that ends without reading its input says why by its exit code.
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') reject(error);
    });
    child.stdin.end(input);
  });
}
