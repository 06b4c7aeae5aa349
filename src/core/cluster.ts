// The port to a Kubernetes API, by mechanism: what the real client and every test double implement.
import type { ClusterIdentity } from './inventory.ts';

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
  managedFields?: { manager?: string }[];
}

/** Any API object, as JSON. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  // biome-ignore lint/suspicious/noExplicitAny: an API object is whatever the server says; readers narrow it where they use it.
  [field: string]: any;
}

/** The kinds that proxyctl touches, with their place in the API. */
export const KINDS = {
  Node: { api: 'v1', plural: 'nodes', namespaced: false },
  Namespace: { api: 'v1', plural: 'namespaces', namespaced: false },
  Pod: { api: 'v1', plural: 'pods', namespaced: true },
  Service: { api: 'v1', plural: 'services', namespaced: true },
  ServiceAccount: { api: 'v1', plural: 'serviceaccounts', namespaced: true },
  ConfigMap: { api: 'v1', plural: 'configmaps', namespaced: true },
  EndpointSlice: { api: 'discovery.k8s.io/v1', plural: 'endpointslices', namespaced: true },
  Deployment: { api: 'apps/v1', plural: 'deployments', namespaced: true },
  StatefulSet: { api: 'apps/v1', plural: 'statefulsets', namespaced: true },
  DaemonSet: { api: 'apps/v1', plural: 'daemonsets', namespaced: true },
  ControllerRevision: { api: 'apps/v1', plural: 'controllerrevisions', namespaced: true },
  Lease: { api: 'coordination.k8s.io/v1', plural: 'leases', namespaced: true },
} as const;
export type Kind = keyof typeof KINDS;

export interface Ref {
  kind: Kind;
  namespace?: string;
  name: string;
}

export interface ListOptions {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

/** RFC 6902. Every change to an existing object is one of these, so that a `test` can stand before it. */
export type PatchOp = { op: 'add' | 'replace' | 'test'; path: string; value: unknown } | { op: 'remove'; path: string };

export interface Access {
  verb: 'get' | 'list' | 'watch' | 'create' | 'patch' | 'update' | 'delete';
  /** API group, `''` for core. */
  group: string;
  /** Resource with subresource: `pods`, `pods/log`. */
  resource: string;
  namespace?: string;
  name?: string;
}

export interface LogOptions {
  namespace: string;
  pod: string;
  container?: string;
  /** Read only so many bytes from the beginning. */
  limitBytes?: number;
}

/** What a watch tells: all objects, then each change; after a gap all objects anew. Calls must not throw. */
export interface WatchSink {
  /** From here all objects are told, until `listed`. Those that are not among them are gone. */
  listing(): void;
  listed(): void;
  /** One that is listed, was added or has changed. */
  object(object: KubeObject): void;
  gone(object: KubeObject): void;
  /** The server was heard: what was told is as it is now. */
  heard(): void;
  /** The server cannot be read now, and why; it is tried again. */
  trouble(error: Error): void;
}

export interface DeleteOptions {
  uid?: string;
  resourceVersion?: string;
  graceSeconds?: number;
}

/**
 * Every call has a deadline and retries what may be retried. Errors are ProxyctlError (unreachable, not permitted) or
 * ApiError with the server's status and reason; a missing object is `undefined`, not an error, except for patch.
 */
export interface Cluster {
  readonly identity: ClusterIdentity;
  get(ref: Ref): Promise<KubeObject | undefined>;
  /** All objects, page by page, in the server's order. */
  list(kind: Kind, options?: ListOptions): AsyncIterable<KubeObject>;
  /** Tells `sink` of all objects and their changes until `signal` aborts, whatever happens to connections and the server. */
  watch(kind: Kind, options: ListOptions, sink: WatchSink, signal: AbortSignal): Promise<void>;
  create(object: KubeObject): Promise<KubeObject>;
  patch(ref: Ref, ops: PatchOp[]): Promise<KubeObject>;
  /** Gone already is fine. `uid` makes it delete that very object or nothing; with another `resourceVersion` it is a 409. */
  delete(ref: Ref, options?: DeleteOptions): Promise<void>;
  can(access: Access): Promise<boolean>;
  /** The whole log so far, not followed. */
  log(options: LogOptions): Promise<string>;
  /**
   * Calls `onLine` for each line from the beginning of the log until `signal` aborts or the container ends. Recovers from a
   * broken connection without repeating or losing a line.
   */
  followLog(options: LogOptions, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** A JSON Pointer segment: `proxyctl.dev/mode` -> `proxyctl.dev~1mode`. */
export function pointer(...segments: string[]): string {
  return segments.map(s => `/${s.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
