import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escapeJson, escapeText, escapeXml } from '../../src/report/escape.ts';
import { hostile, isUnsafe } from './hostile.ts';

test('nothing that steers a terminal or turns text around is left, and plain text stays', () => {
  fc.assert(
    fc.property(hostile, text => {
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

test('what is overlong is cut, and says so', () => {
  const escaped = escapeText('x'.repeat(100_000));
  expect(escaped.length).toBeLessThan(4_100);
  expect(escaped).toMatch(/x\.\.\. \(96000 more characters\)$/);
});

test('JSON keeps its data and loses its teeth', () => {
  fc.assert(
    fc.property(hostile, text => {
      const json = escapeJson(JSON.stringify({ text }, null, 2));
      expect(JSON.parse(json)).toEqual({ text });
      expect([...json.replaceAll('\n', '')].filter(isUnsafe)).toEqual([]);
    }),
  );
});

test('XML holds only what XML 1.0 can hold', () => {
  fc.assert(
    fc.property(hostile, text => {
      const xml = escapeXml(text);
      expect(xml).toMatch(/^[\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u);
      expect(xml.replace(/&(amp|lt|gt|quot|apos);/g, '')).not.toMatch(/[<>&"']/);
    }),
  );
});
