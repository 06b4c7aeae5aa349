// Creating, changing and deleting as the API server does it: what is checked, filled in and kept.
import { KINDS, type Kind, type KubeObject } from '../core/cluster.ts';
import { applyDefaults } from './defaults.ts';
import { applyJsonPatch, applyMergePatch, equalJson } from './json-patch.ts';
import type { Random } from './random.ts';
import { alreadyExists, badRequest, conflict, notFound, StatusError } from './status.ts';
import type { Store } from './store.ts';
import { validateObject, validateUpdate } from './validation.ts';

export interface Where {
  readonly kind: Kind;
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: string;
}

/** Kinds whose status only `/status` changes. */
const OWN_STATUS = new Set<Kind>(['Pod', 'Deployment', 'StatefulSet', 'DaemonSet', 'Node', 'Namespace', 'Service']);
/** Kinds whose changes of `spec` are counted. */
const COUNTED = new Set<Kind>(['Deployment', 'StatefulSet', 'DaemonSet']);

/** Of 10.96.0.0/12, the last one that is no broadcast address. */
const LAST_CLUSTER_IP = 2 ** 20 - 2;

export class Registry {
  readonly store: Store;
  /** Mutating admission webhooks, asked about updates. */
  admitted: (object: KubeObject, before: KubeObject) => KubeObject = object => object;
  private readonly random: Random;

  constructor(store: Store, random: Random) {
    this.store = store;
    this.random = random;
  }

  /** @throws StatusError 404 for the namespace, 409 AlreadyExists, 403 while the namespace goes, 422. */
  create(given: KubeObject, kind: Kind, namespace?: string): KubeObject {
    const object = structuredClone(given);
    if (object.kind !== kind) throw badRequest(`the object provided is a ${object.kind}, expected ${kind}`);
    const { metadata } = object;
    if (!metadata.name && typeof generateName(metadata) === 'string')
      metadata.name = `${generateName(metadata)}${this.random.suffix()}`;
    if (!metadata.name) throw badRequest('name or generateName is required');
    if (KINDS[kind].namespaced) this.enterNamespace(metadata, namespace);
    else delete metadata.namespace;
    if (kind === 'Service') this.allocateClusterIP(object);
    applyDefaults(object);
    validateObject(object);
    if (this.store.get(kind, metadata.namespace, metadata.name)) throw alreadyExists(kind, metadata.name);
    metadata.uid = this.random.uuid();
    metadata.creationTimestamp = now();
    if (COUNTED.has(kind)) metadata.generation = 1;
    delete metadata.deletionTimestamp;
    return this.store.put(object);
  }

  /** From the end of the range: its beginning is for those who ask for an address. */
  private allocateClusterIP({ spec }: KubeObject): void {
    if (spec.type === 'ExternalName' || spec.clusterIP !== undefined) return;
    const taken = new Set(this.store.list('Service').map(service => service.spec.clusterIP));
    for (let n = LAST_CLUSTER_IP; n > 0; n--) {
      const ip = `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
      if (taken.has(ip)) continue;
      spec.clusterIP = ip;
      return;
    }
  }

  private enterNamespace(metadata: KubeObject['metadata'], namespace: string | undefined): void {
    metadata.namespace ??= namespace ?? 'default';
    if (namespace !== undefined && metadata.namespace !== namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
    const home = this.store.get('Namespace', undefined, metadata.namespace);
    if (!home) throw notFound('Namespace', metadata.namespace);
    if (home.metadata.deletionTimestamp) {
      const message = `unable to create new content in namespace ${metadata.namespace} because it is being terminated`;
      throw new StatusError(403, 'Forbidden', message);
    }
  }

  read({ kind, namespace, name }: Where): KubeObject {
    const object = this.store.get(kind, namespace, name);
    if (!object) throw notFound(kind, name);
    return object;
  }

  /** PUT. `status` replaces the status alone. */
  update(where: Where, given: KubeObject, status = false): KubeObject {
    const before = this.read(where);
    return this.replace(before, structuredClone(given), status);
  }

  /** PATCH. @throws StatusError 415 for a type that is not supported. */
  patch(where: Where, contentType: string, patch: unknown, status = false): KubeObject {
    const before = this.read(where);
    if (contentType === 'application/json-patch+json')
      return this.replace(before, applyJsonPatch(before, patch), status);
    // Lists are replaced whole; that is how far the strategic form goes here.
    if (contentType === 'application/merge-patch+json' || contentType === 'application/strategic-merge-patch+json') {
      return this.replace(before, applyMergePatch(before, patch), status);
    }
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      `the body of the request was in an unknown format: ${contentType}`,
    );
  }

  private replace(before: KubeObject, after: KubeObject, status: boolean): KubeObject {
    const kind = before.kind as Kind;
    const { name } = before.metadata;
    if (after.metadata.resourceVersion && after.metadata.resourceVersion !== before.metadata.resourceVersion)
      throw conflict(kind, name);
    if (after.metadata.uid && after.metadata.uid !== before.metadata.uid) {
      throw conflict(
        kind,
        name,
        `Precondition failed: UID in precondition: ${after.metadata.uid}, UID in object meta: ${before.metadata.uid}`,
      );
    }
    const wanted: KubeObject = status ? { ...before, status: after.status } : { ...after, ...keptStatus(before) };
    const next = this.admitted(wanted, before);
    next.apiVersion = before.apiVersion;
    next.kind = before.kind;
    next.metadata = { ...next.metadata, ...fixedMetadata(before) };
    applyDefaults(next);
    validateObject(next);
    validateUpdate(before, next);
    if (COUNTED.has(kind) && !equalJson(before.spec, next.spec))
      next.metadata.generation = (before.metadata.generation ?? 0) + 1;
    if (equalJson(before, next)) return before;
    return this.store.put(next);
  }

  /** Returns the object when it goes later, nothing when it is gone. */
  delete(where: Where, options: DeleteOptions): KubeObject | undefined {
    const object = this.read(where);
    const { kind, name } = where;
    const { uid, resourceVersion } = options.preconditions ?? {};
    if (uid !== undefined && uid !== object.metadata.uid) {
      throw conflict(
        kind,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
      );
    }
    if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion) {
      throw conflict(
        kind,
        name,
        `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${object.metadata.resourceVersion}`,
      );
    }
    const grace = options.gracePeriodSeconds ?? object.spec?.terminationGracePeriodSeconds ?? 0;
    if (
      kind === 'Pod' &&
      grace > 0 &&
      object.spec.nodeName &&
      this.store.get('Node', undefined, object.spec.nodeName)
    ) {
      return this.markDeleted(object, grace);
    }
    if (kind === 'Namespace') {
      if (object.metadata.deletionTimestamp) return object;
      const marked = this.markDeleted(object, 0);
      return this.store.put({ ...marked, status: { ...marked.status, phase: 'Terminating' } });
    }
    this.store.remove(object);
    return undefined;
  }

  private markDeleted(object: KubeObject, grace: number): KubeObject {
    if (object.metadata.deletionTimestamp) return object;
    const deletionTimestamp = new Date(Date.now() + grace * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
    const metadata = { ...object.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
    return this.store.put({ ...object, metadata });
  }
}

function generateName(metadata: object): unknown {
  return 'generateName' in metadata ? metadata.generateName : undefined;
}

function keptStatus(before: KubeObject): { status?: unknown } {
  return OWN_STATUS.has(before.kind as Kind) ? { status: before.status } : {};
}

/** What no write changes. */
function fixedMetadata({ metadata }: KubeObject): KubeObject['metadata'] {
  const { name, namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp } = metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(generation === undefined ? {} : { generation }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
}

/** RFC 3339 with whole seconds, as the API writes times. */
export function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}
