// What of an API object is not as it was, field by field.
import { canonicalJson } from './canonical.ts';

const MOST_CHARS = 60;
/** Values of environment variables may be secrets. */
const UNTOLD = /\.env\b/;

/**
 * `spec.containers[kube-proxy].image is "x:2", was "x:1"`: one text a field, short; none where nothing differs. Items of lists go
 * by their names. What environment variables hold is not told.
 */
export function changedFields(was: unknown, is: unknown, path: string): string[] {
  if (canonicalJson(was ?? null) === canonicalJson(is ?? null)) return [];
  // Labels and the like, where there were none.
  const orNone = (value: unknown, other: unknown) => (value === undefined && isFlat(other, path) ? {} : value);
  const [before, now] = [fieldsOf(orNone(was, is)), fieldsOf(orNone(is, was))];
  if (!before || !now) return [textOf(was, is, path)];
  const keys = new Set([...before.keys(), ...now.keys()]);
  const fields = [...keys].flatMap(key => changedFields(before.get(key), now.get(key), path + key));
  return fields.length > 0 ? fields : [`${path} is in another order`];
}

/** By what each is added to the path: `.name` in an object, `[name]` in a list of named things; undefined for anything else. */
function fieldsOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Array.isArray(value)) return new Map(Object.entries(value).map(([key, item]) => [`.${key}`, item]));
  const named = new Map(value.map((item: unknown) => [`[${nameOf(item)}]`, item]));
  return named.size === value.length && value.every(item => nameOf(item) !== undefined) ? named : undefined;
}

function isFlat(value: unknown, path: string): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || UNTOLD.test(path)) return false;
  return Object.values(value).every(item => typeof item !== 'object');
}

function nameOf(item: unknown): string | undefined {
  const name: unknown = typeof item === 'object' && item !== null ? Reflect.get(item, 'name') : undefined;
  return typeof name === 'string' ? name : undefined;
}

function textOf(was: unknown, is: unknown, path: string): string {
  const [before, now] = [was, is].map(value => (UNTOLD.test(path) ? undefined : shown(value)));
  if (is === undefined || is === null) return `${path} is gone${before === undefined ? '' : `, was ${before}`}`;
  if (was === undefined || was === null) return `${path} is new${now === undefined ? '' : `: ${now}`}`;
  return before === undefined || now === undefined ? `${path} is another` : `${path} is ${now}, was ${before}`;
}

/** Scalars and lists of them. */
function shown(value: unknown): string | undefined {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  if (value === undefined || items.some(item => typeof item === 'object')) return undefined;
  const text = JSON.stringify(value);
  return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}...` : text;
}
