// LIST, page by page.
import { KINDS, type Kind, type KubeObject, type ListOptions } from '../core/cluster.ts';
import { ApiError } from '../core/errors.ts';
import { type Http, isApiError } from './http.ts';
import { isRecord } from './kubeconfig-file.ts';
import { asObject, parseRecord, unlike } from './parse-body.ts';

const PAGE = 500;
/** A million objects. */
const MOST_PAGES = 2_000;

interface Page {
  readonly metadata?: { readonly continue?: string; readonly resourceVersion?: string };
  readonly items: readonly KubeObject[];
}

/** The query of a list or watch. */
export function selectors({ labelSelector, fieldSelector }: ListOptions): URLSearchParams {
  const query = new URLSearchParams();
  if (labelSelector) query.set('labelSelector', labelSelector);
  if (fieldSelector) query.set('fieldSelector', fieldSelector);
  return query;
}

/**
 * Pages in the server's order. When it forgets the state that they are cut from, the rest is as it is by then; objects that
 * came or went meanwhile are seen or not. @throws ApiError 410 where it gives no way to read on.
 */
export async function* pages(
  http: Http,
  path: string,
  options: ListOptions,
  signal?: AbortSignal,
): AsyncGenerator<Page> {
  const query = selectors(options);
  query.set('limit', String(PAGE));
  for (let n = 1; n <= MOST_PAGES; n++) {
    const asked = { method: 'GET', path: `${path}?${query}`, retry: 'any', ...(signal ? { signal } : {}) } as const;
    const got = await orExpired(http.request(asked));
    if (typeof got !== 'string') {
      query.set('continue', got.rest);
      continue;
    }
    const page = pageOf(got, path);
    yield page;
    if (!page.metadata?.continue) return;
    query.set('continue', page.metadata.continue);
  }
  throw unlike(path, 'has no end');
}

/** Servers forget after five minutes: less than a large list takes on a slow line. */
async function orExpired(asked: Promise<string>): Promise<string | { rest: string }> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 410 || error.rest === undefined) throw error;
    return { rest: error.rest };
  }
}

function pageOf(body: string, path: string): Page {
  const { metadata, items } = parseRecord(body, path);
  // A list of nothing may say null; one that says nothing at all is none.
  if (items !== null && !Array.isArray(items)) throw unlike(path, 'is no list');
  const { continue: more, resourceVersion: version } = isRecord(metadata) ? metadata : {};
  return {
    items: (items ?? []).map((item: unknown) => asObject(item, path)),
    metadata: {
      ...(typeof more === 'string' ? { continue: more } : {}),
      ...(typeof version === 'string' ? { resourceVersion: version } : {}),
    },
  };
}

/** Every object. When the server forgets the state once, once more from the beginning, without repeating. */
export async function* list(
  http: Http,
  path: string,
  kind: Kind,
  options: ListOptions = {},
): AsyncGenerator<KubeObject> {
  const seen = new Set<string>();
  for (let restarted = false; ; restarted = true) {
    try {
      for await (const page of pages(http, path, options)) {
        for (const item of page.items) {
          const key = item.metadata.uid ?? `${item.metadata.namespace}/${item.metadata.name}`;
          if (seen.has(key)) continue;
          seen.add(key);
          yield whole(item, kind);
        }
      }
      return;
    } catch (error) {
      if (!isApiError(error, 410) || seen.size === 0 || restarted) throw error;
    }
  }
}

/** Items of a list come without these two. */
export function whole(item: KubeObject, kind: Kind): KubeObject {
  return { ...item, apiVersion: KINDS[kind].api, kind };
}
