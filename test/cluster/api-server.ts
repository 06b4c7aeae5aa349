// A small HTTP server that answers as the test says, and remembers what it was asked.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { connect } from '../../src/cluster/client.ts';
import type { HttpTuning } from '../../src/cluster/http.ts';
import type { Cluster } from '../../src/core/cluster.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** JSON with its status; a connection cut without an answer; no answer at all; or whatever a function does. */
export type Answer =
  | { status?: number; json?: unknown; text?: string; headers?: Record<string, string> }
  | 'reset'
  | 'silence'
  | ((response: ServerResponse) => void);

export class ApiServer {
  readonly asked: Asked[] = [];
  /** Connections that were ever opened, and how many at the same time. */
  connections = 0;
  openAtOnce = 0;
  private readonly routes = new Map<string, (asked: Asked) => Answer>();
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((request, response) => {
    let body = '';
    request.on('data', chunk => {
      body += chunk;
    });
    request.on('end', () => this.answer(request, response, body));
  });

  constructor() {
    this.server.on('connection', socket => {
      this.connections++;
      this.sockets.add(socket);
      this.openAtOnce = Math.max(this.openAtOnce, this.sockets.size);
      socket.on('close', () => this.sockets.delete(socket));
    });
    this.on('GET /version', () => ({ json: { gitVersion: 'v1.36.3' } }));
    this.on('GET /api/v1/namespaces/kube-system', () => ({
      json: { metadata: { name: 'kube-system', uid: 'cluster-1' } },
    }));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** `nth` counts the requests to this route from 1. */
  on(route: string, handler: (asked: Asked, nth: number) => Answer): void {
    let nth = 0;
    this.routes.set(route, asked => handler(asked, ++nth));
  }

  /** Requests to a path so far. */
  to(path: string): Asked[] {
    return this.asked.filter(asked => asked.path === path);
  }

  private answer(request: IncomingMessage, response: ServerResponse, body: string): void {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://x');
    const asked = { method: request.method ?? '', path, query, headers: request.headers, body };
    this.asked.push(asked);
    const answer = this.routes.get(`${asked.method} ${path}`)?.(asked) ?? status(404, 'NotFound', `${path} not found`);
    if (answer === 'silence') return;
    if (answer === 'reset') request.socket.resetAndDestroy();
    else if (typeof answer === 'function') answer(response);
    else {
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
      response.end(answer.text ?? JSON.stringify(answer.json ?? {}));
    }
  }

  listen(): Promise<void> {
    return new Promise(resolve => this.server.listen(0, '127.0.0.1', resolve));
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** The server's way to refuse. */
export function status(code: number, reason: string, message: string): Extract<Answer, { status?: number }> {
  return { status: code, json: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code } };
}

export async function startApi(): Promise<ApiServer> {
  const api = new ApiServer();
  await api.listen();
  onTestFinished(() => api.close());
  return api;
}

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'proxyctl-test-'));
}

/** A kubeconfig in a folder of its own. */
export function writeKubeconfig(server: string, user: object = {}): string {
  const file = join(tempDir(), 'config');
  const config = {
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server } }],
    users: [{ name: 'test', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

/** Waits so short that a test may go through all tries. */
export const QUICK: Partial<HttpTuning> = { backoffMs: 1, pollMs: 5 };

export async function connectTo(api: ApiServer, tuning: Partial<HttpTuning> = {}, user: object = {}): Promise<Cluster> {
  const kubeconfig = writeKubeconfig(api.url, user);
  const cluster = await connect({ kubeconfig, env: {}, tuning: { ...QUICK, ...tuning } });
  onTestFinished(() => cluster.close());
  return cluster;
}
