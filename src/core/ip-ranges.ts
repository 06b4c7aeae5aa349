// Ranges of addresses. The kernel joins, splits and reorders what it was given, so ranges are compared in one form.

import { shortAddress } from './service-port.ts';

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * The fewest CIDRs that hold the same addresses, IPv4 before IPv6 and in order. Takes CIDRs, single addresses and `from-to`,
 * with blanks around them; throws on anything else.
 */
export function joinedRanges(texts: Iterable<string>): string[] {
  const ranges: Record<32 | 128, Range[]> = { 32: [], 128: [] };
  for (const text of texts) {
    const { bits, ...range } = parseRange(text.trim());
    ranges[bits].push(range);
  }
  return ([32, 128] as const).flatMap(bits => joined(ranges[bits]).flatMap(range => cidrs(range, bits)));
}

/** Whether a range holds an address; false for what is neither. */
export function inRange(address: string, range: string): boolean {
  if (address.includes(':') !== range.includes(':')) return false;
  try {
    const { first, last } = parseRange(range.trim());
    const value = parseAddress(address);
    return first <= value && value <= last;
  } catch {
    return false;
  }
}

function parseRange(text: string): Range & { bits: 32 | 128 } {
  const bits = text.includes(':') ? 128 : 32;
  const [from = '', to] = text.split('-');
  if (to !== undefined) return { bits, first: parseAddress(from), last: parseAddress(to) };
  const [address = '', prefix = String(bits)] = text.split('/');
  const length = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length <= bits)) throw new Error(`no range of addresses: ${text}`);
  const rest = (1n << BigInt(bits - length)) - 1n;
  const last = parseAddress(address) | rest;
  return { bits, first: last ^ rest, last };
}

function joined(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const range of ranges.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    const before = result.at(-1);
    if (!before || range.first > before.last + 1n) result.push(range);
    else if (range.last > before.last) result[result.length - 1] = { first: before.first, last: range.last };
  }
  return result;
}

function cidrs({ first, last }: Range, bits: 32 | 128): string[] {
  const result: string[] = [];
  for (let start = first; start <= last; ) {
    let length = bits;
    let size = 1n;
    // As large as the alignment of the start and the end of the range allow.
    while (length > 0 && start % (size * 2n) === 0n && start + size * 2n - 1n <= last) {
      size *= 2n;
      length--;
    }
    result.push(`${formatAddress(start, bits)}/${length}`);
    start += size;
  }
  return result;
}

function parseAddress(text: string): bigint {
  const groups = text.includes(':') ? expanded(text) : text.split('.').map(part => decimal(part));
  const [count, width] = text.includes(':') ? [8, 16n] : [4, 8n];
  if (groups.length !== count || groups.some(group => Number.isNaN(group))) throw new Error(`no address: ${text}`);
  return groups.reduce((sum, group) => (sum << width) | BigInt(group), 0n);
}

function decimal(text: string): number {
  return /^\d{1,3}$/.test(text) && Number(text) < 256 ? Number(text) : Number.NaN;
}

function expanded(text: string): number[] {
  const groups = (part: string) => (part === '' ? [] : part.split(':').map(hexadecimal));
  const [before = '', after, more] = shortAddress(text).split('::');
  if (more !== undefined) return [];
  if (after === undefined) return groups(before);
  const [head, tail] = [groups(before), groups(after)];
  return [...head, ...Array<number>(Math.max(0, 8 - head.length - tail.length)).fill(0), ...tail];
}

function hexadecimal(text: string): number {
  return /^[0-9a-f]{1,4}$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN;
}

function formatAddress(address: bigint, bits: 32 | 128): string {
  const [count, width] = bits === 32 ? [4, 8n] : [8, 16n];
  const groups = Array.from(
    { length: count },
    (_, at) => (address >> (width * BigInt(count - 1 - at))) & ((1n << width) - 1n),
  );
  return bits === 32 ? groups.join('.') : shortAddress(groups.map(group => group.toString(16)).join(':'));
}
