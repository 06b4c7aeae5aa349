import { createHash } from 'node:crypto';
import { Agent, type Dispatcher, EnvHttpProxyAgent, ProxyAgent } from 'undici';
import { inRange } from '../core/ip-ranges.ts';
import type { Credentials, TlsIdentity } from './credentials.ts';
import type { Env } from './kubeconfig.ts';

/** Connections for requests; followed logs, which keep theirs, have their own. */
const POOL = 16;
const CONNECT_MS = 10_000;
/** Below the idle limits of common load balancers. */
const IDLE_MS = 30_000;

export interface Dispatchers {
  /** For requests that are answered at once. */
  readonly requests: Dispatcher;
  /** For logs that are followed: one connection each, without a limit. */
  readonly streams: Dispatcher;
}

export interface Route {
  readonly server: URL;
  /** The kubeconfig's `proxy-url`; it goes before the environment. */
  readonly proxyUrl?: string;
  readonly env: Env;
}

/** Keeps the two pools, and makes them anew only when the TLS identity changes (a plugin gave another certificate). */
export function dispatcherSource(route: Route): { for(credentials: Credentials): Dispatchers; close(): void } {
  let made: (Dispatchers & { key: string }) | undefined;
  return {
    for({ tls }) {
      const key = createHash('sha256').update(JSON.stringify(tls)).digest('hex');
      if (made?.key !== key) {
        if (made) for (const old of [made.requests, made.streams]) void old.close();
        made = { key, requests: dispatcher(route, tls, POOL), streams: dispatcher(route, tls, null) };
      }
      return made;
    },
    close() {
      if (made) for (const each of [made.requests, made.streams]) void each.destroy();
    },
  };
}

function dispatcher(route: Route, tls: TlsIdentity, connections: number | null): Dispatcher {
  // One broken HTTP/2 session would end every followed log at once.
  const secure = { ...tls, allowH2: false, timeout: CONNECT_MS, keepAlive: true, keepAliveInitialDelay: IDLE_MS };
  const options = { allowH2: false, connections, keepAliveTimeout: IDLE_MS, connect: secure };
  if (route.proxyUrl) return new ProxyAgent({ ...options, uri: route.proxyUrl, requestTls: secure });
  const proxies = proxiesOf(route);
  return proxies ? new EnvHttpProxyAgent({ ...options, ...proxies, requestTls: secure }) : new Agent(options);
}

/**
 * The environment's proxies, when they concern this server, as Go reads them: a loopback address is never proxied, NO_PROXY may
 * name ranges of addresses, and a scheme may be missing. Names and ports in NO_PROXY are undici's to look at.
 */
function proxiesOf({ server, env }: Route): { httpProxy: string; httpsProxy: string; noProxy: string } | undefined {
  const httpProxy = withScheme(env.http_proxy || env.HTTP_PROXY || '');
  const httpsProxy = withScheme(env.https_proxy || env.HTTPS_PROXY || '');
  const noProxy = env.no_proxy || env.NO_PROXY || '';
  const proxy = server.protocol === 'https:' ? httpsProxy : httpProxy;
  if (proxy === '' || /^(localhost|127\..*|\[::1\])$/.test(server.hostname)) return undefined;
  const host = server.hostname.replace(/^\[(.*)\]$/, '$1');
  if (noProxy.split(',').some(entry => inRange(host, entry))) return undefined;
  return { httpProxy, httpsProxy, noProxy };
}

function withScheme(proxy: string): string {
  return proxy === '' || proxy.includes('://') ? proxy : `http://${proxy}`;
}
