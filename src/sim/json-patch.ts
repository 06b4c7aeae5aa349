// RFC 6902 and RFC 7386 as the API server applies them.
import { badRequest, unprocessable } from './status.ts';

type Json = unknown;
type Container = Record<string, Json> | Json[];

/** A changed copy. @throws StatusError 422 when an operation cannot be applied or a `test` fails, 400 for what is no patch. */
export function applyJsonPatch<T>(document: T, patch: unknown): T {
  if (!Array.isArray(patch)) throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  const root: { root: Json } = { root: structuredClone(document) };
  for (const operation of patch) applyOne(root, operation);
  return root.root as T;
}

function applyOne(root: { root: Json }, operation: unknown): void {
  if (!isRecord(operation) || typeof operation.path !== 'string') throw badRequest('json patch operation without path');
  const { op, path, value } = operation;
  const from = typeof operation.from === 'string' ? operation.from : '';
  switch (op) {
    case 'add':
      addAt(root, path, value);
      return;
    case 'replace':
      if (valueAt(root, path) === undefined) throw unprocessable();
      removeAt(root, path);
      addAt(root, path, value);
      return;
    case 'remove':
      removeAt(root, path);
      return;
    case 'test':
      if (!equalJson(valueAt(root, path) ?? null, value ?? null)) throw unprocessable();
      return;
    case 'copy':
      addAt(root, path, structuredClone(valueAt(root, from)));
      return;
    case 'move': {
      const moved = valueAt(root, from);
      removeAt(root, from);
      addAt(root, path, moved);
      return;
    }
    default:
      throw badRequest(`unexpected json patch operation: ${String(op)}`);
  }
}

/** `root` holds the document, so that replacing the whole is no special case. */
function locate(root: { root: Json }, path: string): { parent: Container; key: string } {
  const keys = ['root', ...path.split('/').slice(1)].map(k => k.replaceAll('~1', '/').replaceAll('~0', '~'));
  const key = keys.pop() ?? '';
  let parent: Json = root;
  for (const step of keys) parent = child(parent, step);
  if (!isContainer(parent)) throw unprocessable();
  return { parent, key };
}

function child(parent: Json, key: string): Json {
  if (Array.isArray(parent)) return parent[indexIn(parent, key)];
  return isRecord(parent) && Object.hasOwn(parent, key) ? parent[key] : undefined;
}

function indexIn(list: Json[], key: string): number {
  if (key === '-') return list.length;
  if (!/^\d+$/.test(key)) throw unprocessable();
  return Number(key);
}

function valueAt(root: { root: Json }, path: string): Json {
  const { parent, key } = locate(root, path);
  return child(parent, key);
}

function addAt(root: { root: Json }, path: string, value: Json): void {
  const { parent, key } = locate(root, path);
  if (!Array.isArray(parent)) {
    parent[key] = value;
    return;
  }
  const index = indexIn(parent, key);
  if (index > parent.length) throw unprocessable();
  parent.splice(index, 0, value);
}

function removeAt(root: { root: Json }, path: string): void {
  const { parent, key } = locate(root, path);
  if (child(parent, key) === undefined) throw unprocessable();
  if (Array.isArray(parent)) parent.splice(indexIn(parent, key), 1);
  else delete parent[key];
}

/** A changed copy; null removes. */
export function applyMergePatch<T>(document: T, patch: unknown): T {
  return merge(structuredClone(document), patch) as T;
}

function merge(target: Json, patch: Json): Json {
  if (!isRecord(patch)) return patch;
  const result: Record<string, Json> = isRecord(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

export function equalJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => equalJson(item, b[i]));
  if (!isRecord(a) || !isRecord(b)) return false;
  const keys = Object.keys(a).filter(key => a[key] !== undefined);
  const others = Object.keys(b).filter(key => b[key] !== undefined);
  return keys.length === others.length && keys.every(key => Object.hasOwn(b, key) && equalJson(a[key], b[key]));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isContainer(value: Json): value is Container {
  return typeof value === 'object' && value !== null;
}
