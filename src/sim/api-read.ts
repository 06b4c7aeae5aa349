// LIST and WATCH.
import { KINDS, type Kind, type KubeObject } from '../core/cluster.ts';
import type { ApiAnswer } from './api-answer.ts';
import { fieldSelector, labelSelector } from './selectors.ts';
import { badRequest, expired } from './status.ts';
import { keyOf, type Store, type StoreEvent } from './store.ts';
import type { Timers } from './timers.ts';

interface Scope {
  readonly kind: Kind;
  readonly namespace?: string | undefined;
}

function filterOf(query: URLSearchParams): ((object: KubeObject) => boolean) | undefined {
  const byLabel = query.get('labelSelector') ? labelSelector(query.get('labelSelector') ?? '') : undefined;
  const byField = query.get('fieldSelector') ? fieldSelector(query.get('fieldSelector') ?? '') : undefined;
  if (!byLabel && !byField) return undefined;
  return object => (byLabel?.(object.metadata.labels ?? {}) ?? true) && (byField?.(object) ?? true);
}

/** One page. Later pages come from the state of then; keys that came or went meanwhile are seen or not. */
export function listPage(store: Store, { kind, namespace }: Scope, query: URLSearchParams): object {
  const token = query.get('continue');
  const after = token ? readToken(token, kind) : undefined;
  const filter = filterOf(query);
  const rest = store.list(kind, namespace, after);
  const matching = filter ? rest.filter(filter) : rest;
  const limit = Number(query.get('limit') ?? 0);
  const items = limit > 0 ? matching.slice(0, limit) : matching;
  const left = matching.length - items.length;
  const last = items.at(-1);
  const metadata = {
    resourceVersion: String(store.version),
    ...(left > 0 && last ? { continue: writeToken(kind, last) } : {}),
    ...(left > 0 && !filter ? { remainingItemCount: left } : {}),
  };
  // Items of a list come without kind and apiVersion.
  const bare = items.map(({ kind: _kind, apiVersion: _api, ...rest }) => rest);
  return { kind: `${kind}List`, apiVersion: KINDS[kind].api, metadata, items: bare };
}

function writeToken(kind: Kind, { metadata }: KubeObject): string {
  const token = { kind, after: keyOf(kind, metadata.namespace, metadata.name) };
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

function readToken(token: string, kind: Kind): string {
  let parsed: { kind?: unknown; after?: unknown };
  try {
    parsed = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw badRequest('continue key is not valid');
  }
  if (parsed.kind !== kind || typeof parsed.after !== 'string') throw badRequest('continue key is not valid');
  return parsed.after;
}

/** Bookmarks come once a minute, and shortly before the end. Source: apiserver 0.36 pkg/storage/cacher/cache_watcher.go. */
const BOOKMARK_SECONDS = 60;
const LAST_BOOKMARK_SECONDS = 2;

interface WatchIo {
  readonly response: ApiAnswer;
  readonly timers: Timers;
  /** How late changes are told, ms. */
  readonly lag: () => number;
}

/** Streams events until the client goes, `timeoutSeconds` are over or the server closes. */
export function serveWatch(store: Store, scope: Scope, query: URLSearchParams, io: WatchIo): void {
  const { response, timers } = io;
  const later = inTime(io);
  const filter = filterOf(query) ?? (() => true);
  const version = query.get('resourceVersion') ?? '';
  // A client may be slow to close what has ended; nothing may be written meanwhile.
  let over = false;
  const send = (type: string, object: unknown) =>
    later(() => {
      if (!over) response.write(`${JSON.stringify({ type, object })}\n`);
    });
  const end = () =>
    later(() => {
      over = true;
      response.end();
    });
  const tell = (event: StoreEvent) => {
    if (event.kind !== scope.kind || (scope.namespace && event.object.metadata.namespace !== scope.namespace)) return;
    const type = seenAs(event, filter);
    if (type) send(type, event.object);
  };
  const missed = version === '' || version === '0' ? [] : store.since(scope.kind, Number(version));
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  if (!missed) {
    send('ERROR', expired().body);
    end();
    return;
  }
  if (version === '' || version === '0')
    for (const object of store.list(scope.kind, scope.namespace)) if (filter(object)) send('ADDED', object);
  for (const event of missed) tell(event);
  const stop = store.subscribe(tell);
  const seconds = Number(query.get('timeoutSeconds') ?? 0);
  const ends = [stop, ...(seconds > 0 ? [timers.after(seconds * 1000, end)] : [])];
  if (query.get('allowWatchBookmarks') === 'true') {
    const bookmark = () => send('BOOKMARK', bookmarkOf(scope.kind, store.version));
    ends.push(timers.every(BOOKMARK_SECONDS * 1000, bookmark));
    const last = seconds - LAST_BOOKMARK_SECONDS;
    if (last > 0 && last < BOOKMARK_SECONDS) ends.push(timers.after(last * 1000, bookmark));
  }
  response.on('close', () => {
    for (const off of ends) off();
  });
}

/** The words of a stream come late and in their order; one that was silenced never speaks again. */
function inTime({ timers, lag }: WatchIo): (say: () => void) => void {
  let due = 0;
  let silent = false;
  return say => {
    silent ||= lag() === Number.POSITIVE_INFINITY;
    if (silent) return;
    due = Math.max(due, Date.now() + lag());
    if (due <= Date.now()) say();
    else timers.after(due - Date.now(), say);
  };
}

/** An object of nothing but its version. */
function bookmarkOf(kind: Kind, version: number): object {
  const metadata = { resourceVersion: String(version), creationTimestamp: null };
  return { kind, apiVersion: KINDS[kind].api, metadata };
}

/** An object that comes under the selector is added to those who look through it, one that leaves is deleted. */
function seenAs(event: StoreEvent, filter: (object: KubeObject) => boolean): StoreEvent['type'] | undefined {
  const is = filter(event.object);
  const was = event.before !== undefined && filter(event.before);
  if (event.type === 'DELETED') return was || is ? 'DELETED' : undefined;
  if (is) return was ? 'MODIFIED' : 'ADDED';
  return was ? 'DELETED' : undefined;
}
