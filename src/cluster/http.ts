// Requests to the API server: pooled connections, a deadline each, and what may be tried again is tried again.
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { ApiError, ProxyctlError } from '../core/errors.ts';
import { textOf } from './answer.ts';
import { type CredentialSource, type Credentials, credentialSource } from './credentials.ts';
import { type Dispatchers, dispatcherSource } from './dispatcher.ts';
import { refusal, type Trouble, troubleOf, unreachable } from './failure.ts';
import type { Env, LoadedKubeconfig } from './kubeconfig.ts';

export interface HttpTuning {
  /** Milliseconds for one try, its answer read. */
  readonly deadlineMs: number;
  readonly tries: number;
  /** No try begins later than this after the first one, milliseconds. */
  readonly budgetMs: number;
  /** The first wait between tries; each later one is four times as long. */
  readonly backoffMs: number;
  /** A followed log that says nothing for so long is opened anew, milliseconds. */
  readonly silenceMs: number;
  /** A followed container that is not there yet, or whose connection broke, is looked at again after so long. */
  readonly pollMs: number;
  /** A credential plugin may wait for a security key or a browser; not for ever. Milliseconds. */
  readonly pluginMs: number;
}

export const TUNING: HttpTuning = {
  deadlineMs: 15_000,
  tries: 5,
  budgetMs: 60_000,
  backoffMs: 250,
  silenceMs: 30_000,
  pollMs: 300,
  pluginMs: 60_000,
};
const MAX_RETRY_AFTER_MS = 60_000;
/** Audit logs show it: which machine and process wrote. */
const USER_AGENT = `proxyctl (${hostname()}/${process.pid})`;

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Path in the API with its query, beginning with `/`. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  /**
   * `any`: doing it twice is as good as once, or the caller notices (a create that was done answers AlreadyExists).
   * `unsent`: only when the server surely did nothing: not reached, 429, 503.
   */
  readonly retry: 'any' | 'unsent';
  /** Fewer tries than usual. */
  readonly tries?: number;
  /** Ends the try in hand; no other one follows. */
  readonly signal?: AbortSignal;
}

type Sent = Pick<ApiRequest, 'method' | 'path' | 'body' | 'contentType'>;
type Limits = Pick<Dispatcher.RequestOptions, 'signal' | 'headersTimeout' | 'bodyTimeout'>;

/** What one try gave: an answer, or why there is none. */
type Try =
  | { status: number; body: string; retryAfter: string | undefined; location?: string }
  | { trouble: Trouble; cause: unknown };

export interface HttpOptions {
  readonly env: Env;
  readonly tuning: HttpTuning;
  /** A credential plugin may ask on the terminal, at first. */
  readonly terminal: boolean;
}

export class Http {
  /** Aborts when the client is closed. */
  readonly closed: AbortSignal;
  private readonly closing = new AbortController();
  private readonly loaded: LoadedKubeconfig;
  private readonly tuning: HttpTuning;
  private readonly server: URL;
  private readonly credentials: CredentialSource;
  private readonly dispatchers: ReturnType<typeof dispatcherSource>;

  constructor(loaded: LoadedKubeconfig, { env, terminal, tuning }: HttpOptions) {
    const cluster = loaded.kubeConfig.getCurrentCluster();
    this.loaded = loaded;
    this.tuning = tuning;
    this.server = new URL(cluster?.server ?? loaded.server);
    this.credentials = credentialSource(loaded, { env, terminal, deadlineMs: tuning.pluginMs });
    const proxy = cluster?.proxyUrl ? { proxyUrl: cluster.proxyUrl } : {};
    this.dispatchers = dispatcherSource({ server: this.server, env, ...proxy });
    this.closed = this.closing.signal;
  }

  /** The answer's body. @throws ApiError for a refusal, ProxyctlError 69 when unreachable, 77 without credentials. */
  async request(asked: ApiRequest): Promise<string> {
    const { tuning } = this;
    const began = performance.now();
    let refreshed = false;
    for (let n = 1; ; n++) {
      const who = await this.credentials.get();
      const got = await this.attempt(who, asked);
      if ('status' in got && got.status < 300) return got.body;
      if ('status' in got && got.status === 401 && !refreshed && this.credentials.refresh(who)) {
        refreshed = true;
        continue;
      }
      const left = tuning.budgetMs - (performance.now() - began);
      const over = this.closed.aborted || asked.signal?.aborted === true;
      if (n >= (asked.tries ?? tuning.tries) || left <= 0 || over || !mayRetry(asked, got)) {
        throw this.errorOf(got);
      }
      const ends = asked.signal ? AbortSignal.any([this.closed, asked.signal]) : this.closed;
      await pause(Math.min(waitMs(n, got, tuning.backoffMs), left), ends);
    }
  }

  /** A stream that says nothing for so long is given up, milliseconds. */
  get silenceMs(): number {
    return this.tuning.silenceMs;
  }

  /** The answer's body piece by piece, tried once; `opened` when it begins. Throws as `request`, also while it is read. */
  async *stream(path: string, signal: AbortSignal, opened?: () => void): AsyncGenerator<string> {
    const { silenceMs } = this;
    const limits = { signal, headersTimeout: silenceMs, bodyTimeout: silenceMs };
    for (let refreshed = false; ; refreshed = true) {
      const who = await this.credentials.get();
      try {
        const answer = await this.send(who, { method: 'GET', path }, 'streams', limits);
        if (answer.statusCode >= 300) {
          const body = await textOf(answer.body, answer.statusCode);
          if (answer.statusCode === 401 && !refreshed && this.credentials.refresh(who)) continue;
          throw refusal(this.loaded, answer.statusCode, body);
        }
        opened?.();
        answer.body.setEncoding('utf8');
        for await (const chunk of answer.body) yield String(chunk);
        return;
      } catch (cause) {
        throw cause instanceof ProxyctlError ? cause : this.errorOf({ trouble: troubleOf(cause), cause });
      }
    }
  }

  close(): void {
    this.closing.abort();
    this.dispatchers.close();
  }

  private async attempt(who: Credentials, request: ApiRequest): Promise<Try> {
    try {
      const deadline = AbortSignal.timeout(this.tuning.deadlineMs);
      const signal = request.signal ? AbortSignal.any([deadline, request.signal]) : deadline;
      const answer = await this.send(who, request, 'requests', { signal });
      const after = answer.headers['retry-after'];
      const retryAfter = Array.isArray(after) ? after[0] : after;
      const to = answer.headers.location;
      const body = await textOf(answer.body, answer.statusCode, String(answer.headers['content-encoding']));
      return { status: answer.statusCode, body, retryAfter, ...(typeof to === 'string' ? { location: to } : {}) };
    } catch (cause) {
      return { trouble: troubleOf(cause), cause };
    }
  }

  private send(who: Credentials, request: Sent, through: keyof Dispatchers, limits: Limits) {
    return this.dispatchers.for(who)[through].request({
      origin: this.server.origin,
      path: this.server.pathname.replace(/\/$/, '') + request.path,
      method: request.method,
      headers: {
        ...who.headers,
        accept: 'application/json, */*',
        // A stream would wait for the packer.
        ...(through === 'requests' ? { 'accept-encoding': 'gzip' } : {}),
        'user-agent': USER_AGENT,
        ...(request.body === undefined ? {} : { 'content-type': request.contentType ?? 'application/json' }),
      },
      body: request.body === undefined ? null : JSON.stringify(request.body),
      ...limits,
    });
  }

  private errorOf(got: Try): ProxyctlError {
    return 'status' in got
      ? refusal(this.loaded, got.status, got.body, got.location)
      : unreachable(this.loaded, got.trouble, got.cause);
  }
}

const PASSING = new Set([429, 500, 502, 503, 504]);

function mayRetry(asked: ApiRequest, got: Try): boolean {
  if ('trouble' in got) return !got.trouble.lasting && (asked.retry === 'any' || got.trouble.unsent);
  return asked.retry === 'any' ? PASSING.has(got.status) : got.status === 429 || got.status === 503;
}

/** The server's own wish when it has one, but never less than our growing and jittered pause. */
function waitMs(tries: number, got: Try, backoffMs: number): number {
  const own = backoffMs * 4 ** (tries - 1) * (0.75 + Math.random() / 2);
  const wish = 'status' in got ? retryAfterMs(got.retryAfter, Date.now()) : 0;
  return Math.max(own, Math.min(wish, MAX_RETRY_AFTER_MS));
}

/** `Retry-After` in milliseconds from `now`: seconds or an HTTP date; 0 for none and nonsense. */
export function retryAfterMs(value: string | undefined, now: number): number {
  if (value === undefined) return 0;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

/** Ends early when `signal` aborts; the caller looks at the signal. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

export function isApiError(error: unknown, ...statuses: number[]): boolean {
  return error instanceof ApiError && statuses.includes(error.status);
}
