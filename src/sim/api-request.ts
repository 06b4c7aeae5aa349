// A request to the API, taken apart.
import { KINDS, type Kind } from '../core/cluster.ts';
import type { Asked } from './authorizer.ts';
import { kindAt } from './discovery.ts';
import { groupOf } from './status.ts';

/** A request as it came, whole. */
export interface ApiCall {
  readonly method: string;
  /** Path with its query. */
  readonly url: string;
  /** By name in small letters. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>;
  readonly body: string;
}

/** A request for objects, taken apart. */
export interface Target {
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
}

/** Undefined where no objects of a known kind are asked for. */
export function targetOf(path: string, query: URLSearchParams): Target | undefined {
  const [, api = '', rest = ''] = /^\/(?:api\/(?=v1\/)|apis\/)(v1|[^/]+\/[^/]+)\/(.+)$/.exec(path) ?? [];
  const parts = rest.split('/').map(decodeURIComponent);
  const inside = parts[0] === 'namespaces' && parts.length > 2 && kindAt(api, parts[2] ?? '');
  const [plural = '', name, subresource] = inside ? parts.slice(2) : parts;
  const kind = kindAt(api, plural);
  if (!kind) return undefined;
  return { kind, namespace: inside ? parts[1] : undefined, name, subresource, query };
}

function verbOf({ method }: Pick<ApiCall, 'method'>, { name, query }: Target): string {
  if (method === 'GET') return name !== undefined ? 'get' : query.has('watch') ? 'watch' : 'list';
  const verbs: Record<string, string> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };
  return verbs[method] ?? 'get';
}

/** A request as it is authorized: a namespace is in itself, and a list may be held to one name. */
export function askedFor(request: Pick<ApiCall, 'method'>, target: Target): Asked {
  const { kind, name, query } = target;
  return {
    verb: verbOf(request, target),
    group: groupOf(kind),
    resource: resourceOf(target),
    namespace: kind === 'Namespace' ? name : target.namespace,
    name: name ?? /^metadata\.name=([^,]+)$/.exec(query.get('fieldSelector') ?? '')?.[1],
  };
}

function resourceOf({ kind, subresource }: Target): string {
  return subresource === undefined ? KINDS[kind].plural : `${KINDS[kind].plural}/${subresource}`;
}
