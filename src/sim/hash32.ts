import { createHash } from 'node:crypto';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Base 32 of the sha256 of a text, its first `length` characters. */
export function hash32(text: string, length: number): string {
  const bytes = createHash('sha256').update(text).digest();
  let bits = '';
  for (const byte of bytes.subarray(0, Math.ceil((length * 5) / 8))) bits += byte.toString(2).padStart(8, '0');
  return Array.from({ length }, (_, i) => BASE32[Number.parseInt(bits.slice(i * 5, i * 5 + 5), 2)]).join('');
}
