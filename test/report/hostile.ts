// Text that would steer a terminal or deceive its reader, and what to look for in what was made of it.
import fc from 'fast-check';

/** Written apart from the code under test: by number, one range after the other. */
const UNSAFE: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xfffb],
  [0xe0000, 0xe0fff],
];

export function isUnsafe(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return UNSAFE.some(([from, to]) => code >= from && code <= to);
}

/** The unsafe characters of a text, by number; line breaks pass. */
export function unsafeIn(text: string): string[] {
  return [...text].filter(c => c !== '\n' && isUnsafe(c)).map(c => `U+${(c.codePointAt(0) ?? 0).toString(16)}`);
}

/** What our own colours are made of, taken out. */
export function withoutColours(text: string): string {
  return text.replace(/\u001b\[\d+(;\d+)*m/g, '');
}

/** Steers a terminal (title, clipboard, cursor, erasing), turns text around, or cannot be seen. */
export const PAYLOADS = [
  '\u001b]0;owned\u0007',
  '\u001b]52;c;ZXZpbA==\u0007',
  '\u001b[2J\u001b[H',
  '\u001b[1A\u001b[2K',
  '\u009b31m',
  '\u0090q\u009c',
  '\r\nroot# ',
  '\b\b\b',
  '\u202eliame\u202c',
  '\u2066\u2069',
  'a\u200bb\u2060c\ufeff',
  '\u2028\u2029',
  '\u0000',
  '\u007f',
  '\ud800',
  '\u{e0041}\u{e007f}',
  '\u034f\u115f',
  '"}\n{"kind":"fake"}',
  ']]><script>&amp;',
  '%0A::error::',
] as const;

export const hostile = fc.oneof(
  fc.constantFrom(...PAYLOADS),
  fc.string({
    unit: fc.oneof(fc.constantFrom(...PAYLOADS), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })),
  }),
);

/** Words of ours, which a schema has let pass. */
const OURS = new Set(
  'kind version event v action level code verdict moment mode modes modeSource planned besides client outcome difference masquerade moments to from role type protocol family step outcome t takenAt madeAt startedAt'.split(
    ' ',
  ),
);
/** Objects whose keys are names of things in the cluster. */
const NAMED = new Set(['pods', 'readyByNode']);

/** The data with hostile text behind every text that is not ours. */
export function poisoned<T>(data: T, text: string): T {
  const visit = (value: unknown, key: string): unknown => {
    if (typeof value === 'string') return OURS.has(key) ? value : `${value}${text}`;
    if (Array.isArray(value)) return value.map(item => visit(item, key));
    if (value instanceof Map) return new Map([...value].map(([k, v]) => [`${k}${text}`, visit(v, key)]));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [NAMED.has(key) ? `${k}${text}` : k, visit(v, k)]));
  };
  return visit(data, '') as T;
}
