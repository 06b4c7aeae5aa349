// The port `Cluster` on a real API server (or the embedded one, which speaks the same HTTP). Reached by dynamic import only.
import { env as processEnv } from 'node:process';
import {
  type Access,
  type Cluster,
  type DeleteOptions,
  KINDS,
  type Kind,
  type KubeObject,
  type LogOptions,
  type PatchOp,
  type Ref,
} from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { ClusterIdentity } from '../core/inventory.ts';
import { LABEL_SIMULATED } from '../core/names.ts';
import { followLog, type LogSource } from './follow-log.ts';
import { type ApiRequest, Http, type HttpTuning, isApiError, TUNING } from './http.ts';
import { type Env, loadKubeconfig } from './kubeconfig.ts';
import { isRecord } from './kubeconfig-file.ts';
import { list } from './list.ts';
import { parseBody, parseRecord } from './parse-body.ts';
import { watchObjects } from './watch.ts';

export interface ConnectOptions {
  kubeconfig?: string;
  context?: string;
  /** KUBECONFIG, HOME, proxies, the in-cluster service; the process's own when not given. */
  env?: Env;
  /** A credential plugin may ask on the terminal before the first request. */
  terminal?: boolean;
  /** For tests: shorter deadlines and pauses. */
  tuning?: Partial<HttpTuning>;
}

/** Recorded as the manager of what we write. */
const MANAGER = 'fieldManager=proxyctl';

/**
 * Loads the kubeconfig and asks the server who it is. Nothing is written.
 * @throws ProxyctlError 64 for the kubeconfig, 69 when unreachable, 77 when refused.
 */
export async function connect(options: ConnectOptions): Promise<Cluster> {
  const { kubeconfig, context, env = processEnv } = options;
  const loaded = await loadKubeconfig({
    env,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  });
  const tuning = { ...TUNING, ...options.tuning };
  const http = new Http(loaded, { env, tuning, terminal: options.terminal ?? false });
  try {
    const identity = await identify(http, loaded.server, loaded.context);
    return clusterOver(http, identity, tuning.pollMs);
  } catch (error) {
    http.close();
    throw error;
  }
}

async function identify(http: Http, server: string, context: string): Promise<ClusterIdentity> {
  // A wrong address should be told soon: the first request is not tried as often as those of a run.
  const version = parseRecord(
    await http.request({ method: 'GET', path: '/version', retry: 'any', tries: 2 }),
    '/version',
  );
  const path = '/api/v1/namespaces/kube-system';
  const { metadata } = parseBody(await http.request({ method: 'GET', path, retry: 'any' }), path);
  return {
    uid: metadata?.uid ?? '',
    server,
    context,
    kubernetes: String(version.gitVersion ?? 'unknown'),
    simulated: metadata?.labels?.[LABEL_SIMULATED] === 'true',
  };
}

function clusterOver(http: Http, identity: ClusterIdentity, pollMs: number): Cluster {
  return {
    identity,
    get: ref => get(http, ref),
    list: (kind, options) => list(http, pathOf(kind, options?.namespace), kind, options),
    watch: (kind, options, sink, signal) => {
      const stop = AbortSignal.any([signal, http.closed]);
      const source = { path: pathOf(kind, options.namespace), kind, options, pollMs };
      return watchObjects(http, source, sink, stop);
    },
    create: object => create(http, object),
    patch: (ref, ops) => patch(http, ref, ops),
    delete: (ref, options) => remove(http, ref, options ?? {}),
    can: access => can(http, access),
    log: options => http.request({ method: 'GET', path: logPath(options), retry: 'any', tries: 3 }),
    followLog: (options, onLine, signal) => {
      const stop = AbortSignal.any([signal, http.closed]);
      return followLog({ ...logSource(http, options, stop), pollMs }, onLine, stop);
    },
    close: () => http.close(),
  };
}

type Extra = Pick<ApiRequest, 'tries' | 'signal'>;

async function get(http: Http, ref: Ref, extra: Extra = {}): Promise<KubeObject | undefined> {
  const path = pathOf(ref.kind, ref.namespace, ref.name);
  try {
    return parseBody(await http.request({ method: 'GET', path, retry: 'any', ...extra }), path);
  } catch (error) {
    if (isApiError(error, 404)) return undefined;
    throw error;
  }
}

/** The follower tries again by itself, so each of its requests is tried once. */
function logSource(http: Http, options: LogOptions, signal: AbortSignal): Omit<LogSource, 'pollMs'> {
  const once: Extra = { tries: 1, signal };
  return {
    ...(options.container === undefined ? {} : { container: options.container }),
    follow: since => http.stream(logPath(options, { follow: 'true', ...timestamps(since) }), signal),
    read: since => http.request({ method: 'GET', path: logPath(options, timestamps(since)), retry: 'any', ...once }),
    pod: () => get(http, { kind: 'Pod', namespace: options.namespace, name: options.pod }, once),
  };
}

async function create(http: Http, object: KubeObject): Promise<KubeObject> {
  const kind = Object.keys(KINDS).find((k): k is Kind => k === object.kind);
  if (!kind) throw new ProxyctlError(`cannot create a ${object.kind}: not a kind that is used here`, EXIT.internal);
  const path = `${pathOf(kind, object.metadata.namespace)}?${MANAGER}`;
  // When the answer to a create was lost, the second one says AlreadyExists, which the caller must look into anyway.
  return parseBody(await http.request({ method: 'POST', path, body: object, retry: 'any' }), path);
}

/**
 * With a `test` among the operations a second try changes nothing that the first one has changed: it is refused (422) and the
 * caller reads again. Without one it is tried again only when the server surely did nothing.
 */
async function patch(http: Http, ref: Ref, ops: PatchOp[]): Promise<KubeObject> {
  const path = `${pathOf(ref.kind, ref.namespace, ref.name)}?${MANAGER}`;
  const retry = ops.some(op => op.op === 'test') ? 'any' : 'unsent';
  const contentType = 'application/json-patch+json';
  return parseBody(await http.request({ method: 'PATCH', path, body: ops, contentType, retry }), path);
}

async function remove(http: Http, ref: Ref, { uid, resourceVersion, graceSeconds }: DeleteOptions): Promise<void> {
  const preconditions = {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
  const body = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy: 'Background',
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
    ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }),
  };
  try {
    await http.request({ method: 'DELETE', path: pathOf(ref.kind, ref.namespace, ref.name), body, retry: 'any' });
  } catch (error) {
    if (isApiError(error, 404)) return;
    // Another object bears the name by now: the one that was meant is gone.
    if (isApiError(error, 409) && uid !== undefined && resourceVersion === undefined) return;
    throw error;
  }
}

async function can(http: Http, access: Access): Promise<boolean> {
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const [resource, subresource] = access.resource.split('/');
  const resourceAttributes = {
    verb: access.verb,
    group: access.group,
    resource,
    ...(subresource === undefined ? {} : { subresource }),
    ...(access.namespace === undefined ? {} : { namespace: access.namespace }),
    ...(access.name === undefined ? {} : { name: access.name }),
  };
  const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes } };
  const { status } = parseRecord(await http.request({ method: 'POST', path, body, retry: 'any' }), path);
  return isRecord(status) && status.allowed === true;
}

function pathOf(kind: Kind, namespace: string | undefined, name?: string): string {
  const { api, plural, namespaced } = KINDS[kind];
  const root = api.includes('/') ? `/apis/${api}` : `/api/${api}`;
  const inside = namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${inside}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

function timestamps(since: string | undefined): Record<string, string> {
  return { timestamps: 'true', ...(since === undefined ? {} : { sinceTime: since }) };
}

function logPath({ namespace, pod, container, limitBytes }: LogOptions, query: Record<string, string> = {}): string {
  const parameters = new URLSearchParams(query);
  if (container !== undefined) parameters.set('container', container);
  if (limitBytes !== undefined) parameters.set('limitBytes', String(limitBytes));
  return `${pathOf('Pod', namespace, pod)}/log?${parameters}`;
}
