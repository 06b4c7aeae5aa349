// The Kubernetes API over real HTTP on the loopback.
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KINDS, type KubeObject } from '../core/cluster.ts';
import { type ApiAnswer, refuse, sendJson, sendText } from './api-answer.ts';
import { type ApiFaults, refusalOf } from './api-faults.ts';
import { listPage, serveWatch } from './api-read.ts';
import { type ApiCall, askedFor, type Target, targetOf } from './api-request.ts';
import { type Asked, type Authorizer, type Who, whoAsks } from './authorizer.ts';
import { discovery } from './discovery.ts';
import { isRecord } from './json-patch.ts';
import { type LogBook, serveLog } from './pod-logs.ts';
import type { DeleteOptions, Registry } from './registry.ts';
import { badRequest, forbidden, groupOf, StatusError } from './status.ts';
import type { Timers } from './timers.ts';

interface ApiParts {
  readonly registry: Registry;
  readonly logs: LogBook;
  readonly faults: ApiFaults;
  readonly authorizer: Authorizer;
  /** Told of every request for objects, before it is decided on. */
  readonly hear: (who: Who, asked: Asked, answered: Answered) => void;
  readonly timers: Timers;
  /** Why the kubelet of a pod's node cannot be asked, when it cannot. */
  readonly unreachable: (node: string) => string | undefined;
}

/** What came of a request, as the real server's audit log has it: the HTTP status, and the name of what was created, too. */
export interface Answered {
  readonly code: number;
  readonly name: string | undefined;
  readonly userAgent: string;
}

interface Answer {
  readonly code: number;
  readonly object: object;
}

export class ApiServer {
  private readonly server: Server;
  private readonly parts: ApiParts;

  constructor(parts: ApiParts) {
    this.parts = parts;
    this.server = createServer((request, response) => {
      callOf(request).then(
        call => this.answer(call, response),
        () => response.destroy(),
      );
    });
    this.server.keepAliveTimeout = 60_000;
  }

  private tell(request: ApiCall, target: Target, { code, object }: Answer): void {
    const made = isRecord(object) && isRecord(object.metadata) ? object.metadata.name : undefined;
    const name = target.name ?? (typeof made === 'string' ? made : undefined);
    const userAgent = request.headers['user-agent']?.[0] ?? '';
    this.parts.hear(whoAsks(request.headers), askedFor(request, target), { code, name, userAgent });
  }

  /** Resolves with the address. */
  listen(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', () => {
        const address = this.server.address() as AddressInfo;
        resolve(`http://127.0.0.1:${address.port}`);
      });
    });
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  /** Answers a request, over whatever it came. Never rejects. */
  async answer(request: ApiCall, response: ApiAnswer): Promise<void> {
    try {
      await this.serve(request, response);
    } catch (error) {
      refuse(response, error);
    }
  }

  private async serve(request: ApiCall, response: ApiAnswer): Promise<void> {
    const url = new URL(request.url, 'http://localhost');
    const path = url.pathname.replace(/\/+$/, '') || '/';
    if (/^\/(readyz|livez|healthz)/.test(path)) return sendText(response, 'ok');
    const document = request.method === 'GET' ? discovery(path) : undefined;
    if (document) return sendJson(response, 200, document);
    if (path === '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews')
      return this.review(parseJson(request.body), whoAsks(request.headers), response);
    if (/protobuf|cbor/.test(contentTypeOf(request))) {
      throw new StatusError(415, 'UnsupportedMediaType', 'the simulated API server takes JSON only');
    }
    const target = targetOf(path, url.searchParams);
    if (!target) throw new StatusError(404, 'NotFound', 'the server could not find the requested resource');
    try {
      await this.guarded(request, response, target);
    } catch (error) {
      if (error instanceof StatusError) this.tell(request, target, { code: error.code, object: error.body });
      throw error;
    }
  }

  /** The request with what is to go wrong with it. */
  private async guarded(request: ApiCall, response: ApiAnswer, target: Target): Promise<void> {
    const asked = askedFor(request, target);
    const who = whoAsks(request.headers);
    const hits = this.parts.faults.hit(asked);
    const delay = Math.max(0, ...hits.map(hit => hit.delayMs ?? 0));
    if (delay > 0) await new Promise<void>(resolve => this.parts.timers.after(delay, resolve));
    if (hits.some(hit => hit.reset)) return void response.destroy();
    const refusal = refusalOf(hits);
    if (refusal?.retryAfter !== undefined) response.setHeader('retry-after', refusal.retryAfter);
    if (refusal) throw refusal.error;
    if (!this.allows(who, asked)) throw forbidden({ user: who.user, ...asked });
    if (hits.some(hit => hit.lostAnswer)) {
      this.carryOut(request, undefined, target);
      return void response.destroy();
    }
    this.carryOut(request, response, target, hits.some(hit => hit.truncated) ? 0.5 : 1);
  }

  /** Answers with this share of the text. */
  private carryOut(request: ApiCall, response: ApiAnswer | undefined, target: Target, share = 1): void {
    const answer = request.method === 'GET' ? this.read(response, target) : this.write(request, target);
    this.tell(request, target, answer ?? { code: 200, object: {} });
    if (answer && response) sendJson(response, answer.code, answer.object, share);
  }

  /** Nothing when the answer is a stream, which has begun then. */
  private read(response: ApiAnswer | undefined, target: Target): Answer | undefined {
    if (!response) return undefined;
    const { kind, name, namespace, query, subresource } = target;
    const { registry, logs, timers } = this.parts;
    if (name === undefined) {
      if (query.get('watch') === '1' || query.get('watch') === 'true') {
        serveWatch(registry.store, target, query, { response, timers, lag: () => this.parts.faults.watchLag });
        return undefined;
      }
      return { code: 200, object: listPage(registry.store, target, query) };
    }
    const object = registry.read({ kind, namespace, name });
    if (kind === 'Pod' && subresource === 'log') {
      const why = this.parts.unreachable(object.spec.nodeName ?? '');
      if (why !== undefined) throw new StatusError(500, 'InternalError', why);
      serveLog(logs, object, query, response);
      return undefined;
    }
    return { code: 200, object };
  }

  private write(request: ApiCall, target: Target): Answer {
    const { method, body } = request;
    const { registry } = this.parts;
    const { kind, namespace, name, subresource } = target;
    if (method === 'POST' && name === undefined) {
      return { code: 201, object: registry.create(objectOf(body), kind, namespace) };
    }
    if (name === undefined) {
      if (method === 'DELETE') return { code: 200, object: this.deleteCollection(target, body) };
      throw methodNotAllowed();
    }
    const where = { kind, namespace, name };
    const status = subresource === 'status';
    if (method === 'PUT') return { code: 200, object: registry.update(where, objectOf(body), status) };
    if (method === 'PATCH') {
      return { code: 200, object: registry.patch(where, contentTypeOf(request), parseJson(body), status) };
    }
    if (method !== 'DELETE') throw methodNotAllowed();
    const { metadata } = registry.read(where);
    const options = deleteOptions(target.query, body);
    const rest = registry.delete(where, options);
    const details = { name, group: groupOf(kind), kind: KINDS[kind].plural, uid: metadata.uid };
    return {
      code: 200,
      object: rest ?? { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details },
    };
  }

  private deleteCollection({ kind, namespace, query }: Target, body: string): object {
    const { registry } = this.parts;
    const page = listPage(registry.store, { kind, namespace }, query) as { items: KubeObject[] };
    for (const { metadata } of page.items) {
      registry.delete({ kind, namespace: metadata.namespace, name: metadata.name }, deleteOptions(query, body));
    }
    return page;
  }

  private allows(who: Who, asked: Asked): boolean {
    return !this.parts.faults.denied(asked) && this.parts.authorizer.allows(who, asked);
  }

  private review(given: unknown, who: Who, response: ApiAnswer): void {
    const spec = isRecord(given) && isRecord(given.spec) ? given.spec : {};
    const asked = isRecord(spec.resourceAttributes) ? spec.resourceAttributes : {};
    const text = (key: string) => (typeof asked[key] === 'string' ? asked[key] : '');
    const resource = text('subresource') === '' ? text('resource') : `${text('resource')}/${text('subresource')}`;
    const allowed = this.allows(who, {
      verb: text('verb'),
      group: text('group'),
      resource,
      namespace: text('namespace') || undefined,
      name: text('name') || undefined,
    });
    const status = { allowed, reason: allowed ? 'simulated' : 'denied by the simulation' };
    const { apiVersion, kind } = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' };
    sendJson(response, 201, { apiVersion, kind, metadata: {}, spec, status });
  }
}

function deleteOptions(query: URLSearchParams, body: string): DeleteOptions {
  const given: DeleteOptions = body === '' ? {} : (parseJson(body) as DeleteOptions);
  const grace = query.get('gracePeriodSeconds');
  return grace === null ? given : { ...given, gracePeriodSeconds: Number(grace) };
}

function methodNotAllowed(): StatusError {
  return new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

async function callOf(request: IncomingMessage): Promise<ApiCall> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { method = '', url = '/', headersDistinct: headers } = request;
  return { method, url, headers, body: Buffer.concat(chunks).toString() };
}

/** Without parameters, such as the character set. */
function contentTypeOf({ headers }: ApiCall): string {
  return headers['content-type']?.[0]?.split(';')[0] ?? '';
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw badRequest('the object provided is unrecognized (must be of type JSON)');
  }
}

function objectOf(body: string): KubeObject {
  const object = parseJson(body);
  if (!isRecord(object) || typeof object.kind !== 'string' || !isRecord(object.metadata)) {
    throw badRequest("Object 'Kind' is missing in the body of the request");
  }
  return object as KubeObject;
}
