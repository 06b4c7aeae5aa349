// What a schema refused, in words for the person who wrote the file.
import { z } from 'zod';
import type { Path, Place, Places } from './file-places.ts';

export interface Explained {
  at: Place | undefined;
  /** `gates.soak`, `batches[2].id`; empty for the file as a whole. */
  path: string;
  message: string;
}

/** Unknown keys are placed at the key itself, other mistakes at the value. */
export function explainIssue(issue: z.core.$ZodIssue, schema: z.ZodType, places: Places | undefined): Explained {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const where = [...issue.path, key];
    const known = keysAt(schema, issue.path);
    const like = closest(key, known);
    const rest = issue.keys.length > 1 ? `, nor are ${issue.keys.slice(1).join(', ')}` : '';
    const hint = like ? `, did you mean ${like}?` : known.length > 0 ? `; there are ${known.join(', ')}` : '';
    return { at: places?.ofKey(where), path: pathText(where), message: `is not known${rest}${hint}` };
  }
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  const message = missing ? `is missing (${issue.expected} expected)` : plainly(issue);
  return { at: places?.ofValue(issue.path), path: pathText(issue.path), message };
}

function plainly(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value')
    return `must be ${issue.values
      .map(String)
      .join(', ')
      .replace(/, ([^,]*)$/, ' or $1')}`;
  if (issue.code === 'invalid_format' || issue.code === 'invalid_union')
    return `must be ${issue.message}`.replace('must be Invalid', 'is an invalid');
  return issue.message.replace(/^Invalid input: /, '');
}

export function pathText(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`))
    .join('');
}

/** Keys that the schema knows at a path; none where it is no object. */
function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  let at: z.core.$ZodType | undefined = bare(schema);
  for (const part of path) {
    if (at instanceof z.ZodObject) at = bare(at.shape[String(part)]);
    else if (at instanceof z.ZodArray) at = bare(at.element);
    else if (at instanceof z.ZodRecord) at = bare(at.valueType);
    else return [];
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** The schema without defaults and optionality around it. */
function bare(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  let at = schema;
  while (
    at instanceof z.ZodDefault ||
    at instanceof z.ZodPrefault ||
    at instanceof z.ZodOptional ||
    at instanceof z.ZodNullable
  ) {
    at = at.unwrap();
  }
  return at;
}

/** The name that is at most two edits away and nearest; undefined when none is. */
function closest(name: string, names: readonly string[]): string | undefined {
  if (name.length > 60) return undefined;
  const limit = name.length < 5 ? 1 : 2;
  return names
    .map(known => ({ known, edits: editsBetween(name.toLowerCase(), known.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits)[0]?.known;
}

/** Levenshtein. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
