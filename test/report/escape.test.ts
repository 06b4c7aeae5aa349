import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escapeJson, escapeText, escapeXml } from '../../src/report/escape.ts';

/** Written apart from the code under test: by number, one range after the other. */
const UNSAFE: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x61c, 0x61c],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x2069],
  [0xd800, 0xdfff],
  [0xfeff, 0xfeff],
];
const isUnsafe = (c: string) =>
  UNSAFE.some(([from, to]) => (c.codePointAt(0) ?? 0) >= from && (c.codePointAt(0) ?? 0) <= to);
const nasty = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      '\u001b',
      '\r',
      '\n',
      '\u009b',
      '\u202e',
      '\u2066',
      '\u200b',
      '\u2028',
      '\ud800',
      '\u061c',
      '\\',
      '"',
      '&',
      '<',
      ']]>',
    ),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
});

test('nothing that steers a terminal or turns text around is left, and plain text stays', () => {
  fc.assert(
    fc.property(nasty, text => {
      const escaped = escapeText(text);
      expect([...escaped].filter(isUnsafe)).toEqual([]);
      if (![...text].some(isUnsafe) && /^[ -~]*$/.test(text)) expect(escaped).toBe(text);
    }),
  );
});

test('what was there can be read', () => {
  expect(escapeText('a\u001b[31mred\u202eevil\n')).toBe('a\\u{1b}[31mred\\u{202e}evil\\u{a}');
  expect(escapeText('Grüße 名前 🙂')).toBe('Grüße 名前 🙂');
});

test('JSON keeps its data and loses its teeth', () => {
  fc.assert(
    fc.property(nasty, text => {
      const json = escapeJson(JSON.stringify({ text }, null, 2));
      expect(JSON.parse(json)).toEqual({ text });
      expect([...json.replaceAll('\n', '')].filter(isUnsafe)).toEqual([]);
    }),
  );
});

test('XML holds only what XML 1.0 can hold', () => {
  fc.assert(
    fc.property(nasty, text => {
      const xml = escapeXml(text);
      expect(xml).toMatch(/^[\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u);
      expect(xml.replace(/&(amp|lt|gt|quot|apos);/g, '')).not.toMatch(/[<>&"']/);
    }),
  );
});
