// What went wrong on the way to the API server or in its answer, as one line for people. No header or token goes into one.
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { AnswerTooLarge, MOST_BYTES } from './answer.ts';
import { errorCode, isRecord } from './kubeconfig-file.ts';

/** Names the cluster in messages. */
export interface Where {
  readonly server: string;
  readonly context: string;
}

export interface Trouble {
  /** Nothing reached the server, so anything may be tried again. */
  readonly unsent: boolean;
  /** Trying again cannot help. */
  readonly lasting: boolean;
  readonly what: string;
  readonly hint: string;
}

const NETWORK = 'check that the API server runs and that this machine may reach it (VPN, firewall, proxy)';
const KINDS_OF_TROUBLE: Readonly<Record<string, Trouble>> = {
  ECONNREFUSED: { unsent: true, lasting: false, what: 'connection refused', hint: NETWORK },
  EHOSTUNREACH: { unsent: true, lasting: false, what: 'no route to it', hint: NETWORK },
  ENETUNREACH: { unsent: true, lasting: false, what: 'no route to it', hint: NETWORK },
  ENOTFOUND: {
    unsent: true,
    lasting: false,
    what: 'its name is unknown',
    hint: 'check the server in the kubeconfig and DNS',
  },
  EAI_AGAIN: { unsent: true, lasting: false, what: 'DNS does not answer', hint: 'check the network and DNS' },
  UND_ERR_CONNECT_TIMEOUT: { unsent: true, lasting: false, what: 'no answer to the connection attempt', hint: NETWORK },
  ECONNRESET: { unsent: false, lasting: false, what: 'connection broken', hint: NETWORK },
  UND_ERR_SOCKET: { unsent: false, lasting: false, what: 'connection broken', hint: NETWORK },
  EPIPE: { unsent: false, lasting: false, what: 'connection broken', hint: NETWORK },
  ETIMEDOUT: { unsent: false, lasting: false, what: 'no answer in time', hint: NETWORK },
  UND_ERR_HEADERS_TIMEOUT: { unsent: false, lasting: false, what: 'no answer in time', hint: NETWORK },
  UND_ERR_BODY_TIMEOUT: { unsent: false, lasting: false, what: 'no answer in time', hint: NETWORK },
};
const DEADLINE: Trouble = { unsent: false, lasting: false, what: 'no answer in time', hint: NETWORK };
const TOO_LARGE: Trouble = {
  unsent: false,
  lasting: true,
  what: `its answer is larger than ${MOST_BYTES >> 20} MB`,
  hint: 'is the server in the kubeconfig a Kubernetes API?',
};
const UNPACKED: Trouble = {
  unsent: false,
  lasting: false,
  what: 'its answer cannot be unpacked',
  hint: 'is there a proxy in between that changes answers?',
};
const TLS_CODE = /^(CERT_|ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH)/;

/** Reads a transport error of undici, of a socket or of a deadline. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof Error && error.name === 'TimeoutError') return DEADLINE;
  if (error instanceof AnswerTooLarge) return TOO_LARGE;
  const code = innerCode(error);
  const known = KINDS_OF_TROUBLE[code];
  if (known) return known;
  if (code.startsWith('Z_')) return UNPACKED;
  if (TLS_CODE.test(code)) {
    const hint = 'check certificate-authority, client-certificate and tls-server-name in the kubeconfig';
    return { unsent: true, lasting: true, what: `TLS failed (${code})`, hint };
  }
  return { unsent: false, lasting: false, what: `connection failed (${code})`, hint: NETWORK };
}

/** The code of the innermost cause: `fetch failed` and AggregateError (several addresses) say nothing themselves. */
function innerCode(error: unknown): string {
  const inner = isRecord(error) && Array.isArray(error.errors) ? error.errors[0] : undefined;
  const next = inner ?? (isRecord(error) && error.code === undefined ? error.cause : undefined);
  return next === undefined || next === null ? errorCode(error) : innerCode(next);
}

export function unreachable(where: Where, trouble: Trouble, cause: unknown): ProxyctlError {
  const message = `cannot reach ${where.server} (context ${where.context}): ${trouble.what}; ${trouble.hint}`;
  return new ProxyctlError(message, EXIT.unreachable, { cause });
}

/** The server's answer as an error. `body` is its Status object, or whatever a proxy in between had to say. */
export function refusal(where: Where, status: number, body: string, location?: string): ApiError {
  const said = statusObject(body);
  const reason = said.reason ?? REASONS[status] ?? '';
  if (status === 401) {
    const message = `credentials refused by ${where.server} (context ${where.context}); log in again or check the user in the kubeconfig`;
    return new ApiError(message, status, reason);
  }
  const message = said.message ?? `${where.server} answered with HTTP ${status}${elsewhere(location)}`;
  const rest = said.rest === undefined ? {} : { rest: said.rest };
  return new ApiError(status === 403 ? forbidden(message) : message, status, reason, rest);
}

/** A redirect is not followed: what is there would get our credentials. Only the host is told, for the rest may be a secret. */
function elsewhere(location: string | undefined): string {
  if (location === undefined) return '';
  const host = URL.parse(location)?.host ?? '';
  return `, a redirect${host === '' ? '' : ` to ${host}`}, which is not followed; is the server in the kubeconfig a Kubernetes API?`;
}

const REASONS: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
};

const DENIED = /cannot (\w+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?/;

function forbidden(message: string): string {
  const [, verb, resource, group, namespace] = DENIED.exec(message) ?? [];
  if (!verb || !resource) return `not permitted: ${message}`;
  const what = group ? `${resource}.${group}` : resource;
  return `missing permission: ${verb} ${what}${namespace ? ` in namespace ${namespace}` : ''}`;
}

function statusObject(body: string): { reason?: string; message?: string; rest?: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    // HTML of a load balancer, or half an answer: the HTTP status is all there is to say.
    return {};
  }
  if (!isRecord(parsed) || parsed.kind !== 'Status') return {};
  const { reason, message } = parsed;
  const rest = isRecord(parsed.metadata) ? parsed.metadata.continue : undefined;
  return {
    ...(typeof rest === 'string' && rest !== '' ? { rest } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof message === 'string' && message !== '' ? { message: message.slice(0, 500) } : {}),
  };
}
