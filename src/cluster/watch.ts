// WATCH: a list, then its changes from where it ended, for as long as anybody wants.
import type { Kind, ListOptions, WatchSink } from '../core/cluster.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { type Http, isApiError, pause } from './http.ts';
import { isRecord } from './kubeconfig-file.ts';
import { Lines } from './lines.ts';
import { pages, selectors, whole } from './list.ts';
import { asObject, parseRecord } from './parse-body.ts';

export interface WatchSource {
  readonly path: string;
  readonly kind: Kind;
  readonly options: ListOptions;
  /** After a failure, ms; doubled by each further one. */
  readonly pollMs: number;
}

/** The server ends the watch so long before its silence would be taken for a broken connection, ms. */
const BEFORE_SILENCE_MS = 5000;
const MAX_DOUBLINGS = 5;

interface Watch extends WatchSource {
  readonly http: Http;
  readonly sink: WatchSink;
  readonly signal: AbortSignal;
  /** What was told is as of this version; undefined before a list. */
  version: string | undefined;
}

/** Resolves when `signal` aborts. Whatever fails is told and tried again. */
export async function watchObjects(
  http: Http,
  source: WatchSource,
  sink: WatchSink,
  signal: AbortSignal,
): Promise<void> {
  const watch: Watch = { ...source, http, sink, signal, version: undefined };
  for (let failures = 0; !signal.aborted; ) {
    try {
      watch.version ??= await listAll(watch);
      await follow(watch);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      // Forgotten: from the beginning. That is ordinary, unless it happens at once again.
      if (isApiError(error, 410)) watch.version = undefined;
      sink.trouble(error instanceof Error ? error : new Error(String(error)));
      failures = Math.min(failures + 1, MAX_DOUBLINGS);
    }
    if (!signal.aborted) await pause(source.pollMs * 2 ** failures, signal);
  }
}

/** The version from which changes are to be followed: that of the first page, lest one be missed. */
async function listAll({ http, path, kind, options, sink, signal }: Watch): Promise<string> {
  sink.listing();
  let version: string | undefined;
  for await (const page of pages(http, path, options, signal)) {
    version ??= page.metadata?.resourceVersion;
    for (const item of page.items) sink.object(whole(item, kind));
  }
  if (version === undefined) throw new ProxyctlError(`the list of ${path} has no version`, EXIT.unreachable);
  sink.listed();
  sink.heard();
  return version;
}

/** Until the server ends the watch, which it is asked to do now and then: the first words of the next one are a sign of life. */
async function follow(watch: Watch): Promise<void> {
  const { http, path, options, sink, signal } = watch;
  const query = selectors(options);
  query.set('watch', '1');
  query.set('allowWatchBookmarks', 'true');
  query.set('resourceVersion', watch.version ?? '');
  query.set('timeoutSeconds', String(Math.max(1, Math.floor((http.silenceMs - BEFORE_SILENCE_MS) / 1000))));
  const lines = new Lines();
  for await (const chunk of http.stream(`${path}?${query}`, signal, () => sink.heard())) {
    for (const line of lines.feed(chunk)) if (line.trim() !== '') take(watch, line);
    sink.heard();
  }
}

/** @throws ApiError for the server's own ERROR, 410 when it has forgotten the version. */
function take(watch: Watch, line: string): void {
  const event = parseRecord(line, watch.path);
  const said = isRecord(event.object) ? event.object : {};
  if (event.type === 'ERROR')
    throw new ApiError(String(said.message).slice(0, 500), Number(said.code) || 500, String(said.reason ?? ''));
  if (event.type === 'BOOKMARK') {
    const { metadata } = said;
    if (isRecord(metadata)) watch.version = String(metadata.resourceVersion ?? watch.version);
    return;
  }
  const object = asObject(said, watch.path);
  if (event.type === 'DELETED') watch.sink.gone(whole(object, watch.kind));
  else watch.sink.object(whole(object, watch.kind));
  watch.version = object.metadata.resourceVersion ?? watch.version;
}
