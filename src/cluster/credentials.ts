// Who we are, as headers and TLS options. client-node does the work (tokens, plugins, OIDC); here it is done once at a time.
import type { OutgoingHttpHeaders, RequestOptions } from 'node:http';
import type { ConnectionOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { KubeConfig, type User } from '@kubernetes/client-node';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { LoadedKubeconfig } from './kubeconfig.ts';
import { errorCode, isRecord } from './kubeconfig-file.ts';

export type TlsIdentity = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'pfx' | 'passphrase' | 'rejectUnauthorized' | 'servername'
>;

export interface Credentials {
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly tls: TlsIdentity;
}

export interface CredentialSource {
  /** Calls at the same time share one look, so a plugin runs once. @throws ProxyctlError 77 */
  get(): Promise<Credentials>;
  /** The server refused `used`: get others next time. False when there are none to be had. */
  refresh(used: Credentials): boolean;
}

/** A plugin may wait for a browser or a security key; not for ever. */
const PLUGIN_DEADLINE_MS = 60_000;
/** Token files and plugins' expiry times are looked at this often. */
const CACHE_MS = 5_000;

type HttpsOptions = RequestOptions & ConnectionOptions;

export function credentialSource(loaded: LoadedKubeconfig): CredentialSource {
  let kubeConfig = loaded.kubeConfig;
  let cached: { until: number; value: Promise<Credentials> } | undefined;
  let latest: Credentials | undefined;

  async function look(): Promise<Credentials> {
    const options: HttpsOptions = {};
    const user = kubeConfig.getCurrentUser();
    try {
      await within(PLUGIN_DEADLINE_MS, kubeConfig.applyToHTTPSOptions(options));
    } catch (error) {
      throw refusedBy(user, error);
    }
    latest = { headers: headersOf(options, loaded.headers), tls: tlsOf(options) };
    return latest;
  }

  return {
    get() {
      if (cached && cached.until > Date.now()) return cached.value;
      const entry = { until: Number.POSITIVE_INFINITY, value: look() };
      cached = entry;
      entry.value.then(
        () => {
          entry.until = Date.now() + CACHE_MS;
        },
        () => {
          entry.until = 0;
        },
      );
      return entry.value;
    },
    refresh(used) {
      const user = kubeConfig.getCurrentUser();
      if (!user?.exec && !user?.authProvider) return false;
      // Many requests are refused at once; the first one has seen to it.
      if (!isDeepStrictEqual(latest, used)) return true;
      latest = undefined;
      // client-node keeps tokens inside the object: a new one has none.
      const fresh = new KubeConfig();
      const { clusters, users, contexts, currentContext } = kubeConfig;
      fresh.loadFromOptions({ clusters, users, contexts, currentContext });
      kubeConfig = fresh;
      cached = undefined;
      return true;
    },
  };
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}

/** What a plugin prints may be a secret: only its name is repeated. */
function refusedBy(user: User | null, cause: unknown): ProxyctlError {
  const exec: unknown = user?.exec;
  const command = isRecord(exec) ? String(exec.command) : undefined;
  if (command === undefined) {
    return new ProxyctlError(
      `credentials of user "${user?.name ?? ''}" cannot be read: ${errorCode(cause)}`,
      EXIT.notPermitted,
    );
  }
  const missing = errorCode(cause) === 'ENOENT';
  const hint =
    isRecord(exec) && typeof exec.installHint === 'string' ? `; ${exec.installHint.trim().split('\n')[0]}` : '';
  const message = missing
    ? `credential plugin "${command}" is not installed${hint}`
    : `credential plugin "${command}" gave no credentials; run it by hand, or log in again`;
  return new ProxyctlError(message, EXIT.notPermitted);
}

function headersOf(options: HttpsOptions, more: LoadedKubeconfig['headers']): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { ...more };
  const given: OutgoingHttpHeaders = isRecord(options.headers) ? (options.headers as OutgoingHttpHeaders) : {};
  // A token file ends with a newline, which a header must not.
  for (const [name, value] of Object.entries(given)) headers[name] = String(value).trim();
  if (options.auth) headers.Authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return headers;
}

function tlsOf({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }: HttpsOptions): TlsIdentity {
  const given = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
