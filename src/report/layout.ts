// Text in columns and lines of a given width.
import type { Finding } from '../core/gate.ts';
import { escapeText } from './escape.ts';

/** Words in lines of at most `width` columns; a word that is longer stands alone and is not cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Wrapped text of which the first line begins with `first` and the others with as many blanks. */
export function hang(first: string, text: string, width: number): string[] {
  return wrap(text, width - first.length).map((line, i) => (i === 0 ? first : ' '.repeat(first.length)) + line);
}

/** Findings with one cause, and whom they are about. */
export interface Folded {
  readonly level: Finding['level'];
  readonly message: string;
  readonly fix: string | undefined;
  readonly subjects: readonly string[];
}

/** A finding, from a gate or from a journal. */
type Said = Pick<Finding, 'level' | 'subject' | 'message'> & { readonly fix?: string | undefined };

/** Findings that say the same about several subjects, as one. Text is escaped. Order of first appearance. */
export function fold(findings: readonly Said[]): Folded[] {
  const groups = Map.groupBy(findings, f => JSON.stringify([f.level, f.message, f.fix ?? null]));
  return [...groups.values()].flatMap(group => {
    const [first] = group;
    if (!first) return [];
    const { level, message, fix } = first;
    return [
      {
        level,
        message: escapeText(message),
        fix: fix === undefined ? undefined : escapeText(fix),
        subjects: [...new Set(group.map(f => escapeText(f.subject)))],
      },
    ];
  });
}

/** `38 nodes`, when the subjects are all of one kind, else `38 subjects`; one subject is named. */
export function subjectsText(subjects: readonly string[]): string {
  const [first = ''] = subjects;
  if (subjects.length === 1) return first;
  const kinds = new Set(subjects.map(s => s.split(' ')[0] ?? ''));
  const [kind = ''] = kinds;
  return `${subjects.length} ${kinds.size === 1 ? `${kind}s` : 'subjects'}`;
}

/** The names of the subjects without their kind. */
export function subjectNames(subjects: readonly string[]): string[] {
  return subjects.map(s => (s.includes(' ') ? s.slice(s.indexOf(' ') + 1) : s));
}

/** `42 s`, `3 min 20 s`, `1 h 5 min`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 10 && s !== seconds) return `${seconds.toFixed(1)} s`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 === 0 ? `${s / 60} min` : `${Math.floor(s / 60)} min ${s % 60} s`;
  const minutes = Math.round((s % 3600) / 60);
  return minutes === 0 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 3600)} h ${minutes} min`;
}
