/** JSON with sorted keys and without undefined: the same data gives the same text, whatever file it went through. */
export function canonicalJson(data: unknown): string {
  if (Array.isArray(data)) return `[${data.map(item => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof data !== 'object' || data === null) return JSON.stringify(data);
  const fields = Object.entries(data)
    .filter(([, value]) => value !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${JSON.stringify(key)}:${canonicalJson(value)}`);
  return `{${fields.join(',')}}`;
}
