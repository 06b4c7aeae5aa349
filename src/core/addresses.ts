// Addresses as Services, endpoints and kernels write them, in one spelling. Free of zod: it runs on nodes too.

/** `10.96.0.1:443/TCP`, `[fd00::1]:53/UDP`: the same text for the same address, however it was spelled. */
export function servicePort(address: string, port: number | string, protocol: string): string {
  return `${hostPort(address, port)}/${protocol.toUpperCase()}`;
}

/** `10.244.0.5:8080`, `[fd00::5]:8080`: an endpoint, in the same spelling. */
export function hostPort(address: string, port: number | string): string {
  return address.includes(':') ? `[${shortAddress(address)}]:${port}` : `${address}:${port}`;
}

/** An IPv6 address in its shortest form (RFC 5952); anything else as it is. */
export function shortAddress(address: string): string {
  if (!address.includes(':')) return address;
  return URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? address;
}

/** An address range: first and last address as numbers. */
type Range = readonly [first: bigint, last: bigint];

/**
 * Whether two lists of ranges hold the same addresses, however they cut them: `10.0.0.0/8`, `10.1.2.3`, `10.0.0.1-10.0.0.9`.
 * What is no range is compared as text.
 */
export function sameRanges(a: readonly string[], b: readonly string[]): boolean {
  return canonicalRanges(a) === canonicalRanges(b);
}

function canonicalRanges(list: readonly string[]): string {
  const odd: string[] = [];
  const byFamily: Record<4 | 6, Range[]> = { 4: [], 6: [] };
  for (const text of list) {
    const range = parseRange(text.trim());
    if (range) byFamily[text.includes(':') ? 6 : 4].push(range);
    else odd.push(text);
  }
  return JSON.stringify([merged(byFamily[4]), merged(byFamily[6]), odd.sort()]);
}

function merged(ranges: Range[]): string[] {
  const joined: [bigint, bigint][] = [];
  for (const [first, last] of ranges.sort(([a], [b]) => (a < b ? -1 : Number(a > b)))) {
    const before = joined.at(-1);
    if (before && first <= before[1] + 1n) before[1] = last > before[1] ? last : before[1];
    else joined.push([first, last]);
  }
  return joined.map(([first, last]) => `${first}-${last}`);
}

function parseRange(text: string): Range | undefined {
  const [from = '', to] = text.split('-');
  if (to !== undefined) {
    const [first, last] = [addressNumber(from), addressNumber(to)];
    return first === undefined || last === undefined ? undefined : [first, last];
  }
  const [address = '', length] = text.split('/');
  const number = addressNumber(address);
  const bits = address.includes(':') ? 128 : 32;
  const prefix = length === undefined ? bits : Number(length);
  if (number === undefined || !Number.isInteger(prefix) || prefix < 0 || prefix > bits) return undefined;
  const host = (1n << BigInt(bits - prefix)) - 1n;
  return [number & ~host, number | host];
}

/** Whether the range `cidr` holds the address. */
export function inRange(address: string, cidr: string): boolean {
  const range = parseRange(cidr);
  const number = addressNumber(address);
  if (!range || number === undefined || address.includes(':') !== cidr.includes(':')) return false;
  return number >= range[0] && number <= range[1];
}

function addressNumber(address: string): bigint | undefined {
  return address.includes(':') ? number6(address) : number4(address);
}

function number4(address: string): bigint | undefined {
  const parts = address.split('.');
  if (parts.length !== 4 || !parts.every(part => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined;
  return parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function number6(address: string): bigint | undefined {
  const short = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1);
  if (short === undefined) return undefined;
  const [head = '', tail] = short.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...middle, ...after].reduce((sum, part) => sum * 65_536n + BigInt(`0x${part}`), 0n);
}
