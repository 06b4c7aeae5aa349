// Who we are, as headers and TLS options. client-node does the work (tokens, OIDC) but for plugins; here it is done once at a time.
import type { OutgoingHttpHeaders, RequestOptions } from 'node:http';
import type { ConnectionOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { type ExecPlugin, type PluginCredential, type PluginRun, runPlugin } from './exec-plugin.ts';
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

/** Token files are looked at this often. */
const CACHE_MS = 5_000;

type HttpsOptions = RequestOptions & ConnectionOptions;

/** `plugin`: how a credential plugin is to be run. */
export function credentialSource(loaded: LoadedKubeconfig, plugin: PluginRun): CredentialSource {
  let kubeConfig = loaded.kubeConfig;
  const fromPlugin = loaded.plugin ? pluginSource(loaded.plugin, plugin) : undefined;
  let cached: { until: number; value: Promise<Credentials> } | undefined;
  let latest: Credentials | undefined;

  async function look(): Promise<{ credentials: Credentials; expires: number }> {
    const options: HttpsOptions = {};
    try {
      await within(plugin.deadlineMs, kubeConfig.applyToHTTPSOptions(options));
    } catch (error) {
      throw unreadable(kubeConfig.getCurrentUser()?.name, error);
    }
    const given = await fromPlugin?.get();
    latest = {
      headers: headersOf(options, loaded.headers, given?.token),
      tls: { ...tlsOf(options), ...identityOf(given) },
    };
    return { credentials: latest, expires: given?.expires ?? Number.POSITIVE_INFINITY };
  }

  return {
    get() {
      if (cached && cached.until > Date.now()) return cached.value;
      const looking = look();
      const entry = { until: Number.POSITIVE_INFINITY, value: looking.then(({ credentials }) => credentials) };
      cached = entry;
      looking.then(
        ({ expires }) => {
          entry.until = Math.min(Date.now() + CACHE_MS, expires);
        },
        () => {
          entry.until = 0;
        },
      );
      return entry.value;
    },
    refresh(used) {
      if (!fromPlugin && !kubeConfig.getCurrentUser()?.authProvider) return false;
      // Many requests are refused at once; the first one has seen to it.
      if (!isDeepStrictEqual(latest, used)) return true;
      latest = undefined;
      // client-node keeps tokens inside the object: a new one has none.
      const fresh = new KubeConfig();
      const { clusters, users, contexts, currentContext } = kubeConfig;
      fresh.loadFromOptions({ clusters, users, contexts, currentContext });
      kubeConfig = fresh;
      fromPlugin?.forget();
      cached = undefined;
      return true;
    },
  };
}

/** What the plugin gave, for as long as it says; callers at the same time share one run. */
function pluginSource(plugin: ExecPlugin, run: PluginRun): { get(): Promise<PluginCredential>; forget(): void } {
  let current: Promise<PluginCredential> | undefined;
  let expires = 0;
  let terminal = run.terminal;
  return {
    get() {
      if (current && expires > Date.now()) return current;
      const running = runPlugin(plugin, { ...run, terminal });
      // Later the terminal shows progress: nobody is to be asked there any more.
      terminal = false;
      current = running;
      expires = Number.POSITIVE_INFINITY;
      running.then(
        given => {
          expires = given.expires;
        },
        () => {
          expires = 0;
        },
      );
      return running;
    },
    forget() {
      current = undefined;
    },
  };
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}

function unreadable(user: string | undefined, cause: unknown): ProxyctlError {
  return new ProxyctlError(
    `credentials of user "${user ?? ''}" cannot be read: ${errorCode(cause)}`,
    EXIT.notPermitted,
  );
}

function identityOf(given: PluginCredential | undefined): TlsIdentity {
  return given?.cert === undefined || given.key === undefined ? {} : { cert: given.cert, key: given.key };
}

function headersOf(
  options: HttpsOptions,
  more: LoadedKubeconfig['headers'],
  token: string | undefined,
): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { ...more };
  const given: OutgoingHttpHeaders = isRecord(options.headers) ? (options.headers as OutgoingHttpHeaders) : {};
  // A token file ends with a newline, which a header must not.
  for (const [name, value] of Object.entries(given)) headers[name] = String(value).trim();
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  if (options.auth) headers.Authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return headers;
}

function tlsOf({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }: HttpsOptions): TlsIdentity {
  const given = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
