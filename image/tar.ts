// Writes tar archives (POSIX ustar), the same bytes for the same entries: no times, no owners.

export type Entry =
  | { type: 'file'; data: Uint8Array; mode: number }
  | { type: 'folder' }
  | { type: 'link'; target: string };

const BLOCK = 512;
const TYPE_FLAGS = { file: '0', link: '2', folder: '5' } as const;

/** An archive of these entries by path, in the order of their paths. Throws on paths over 100 bytes. */
export function tar(entries: ReadonlyMap<string, Entry>): Buffer {
  const parts: Uint8Array[] = [];
  for (const [path, entry] of [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const data = entry.type === 'file' ? entry.data : new Uint8Array();
    parts.push(header(path, entry, data.length), data, new Uint8Array(-data.length & (BLOCK - 1)));
  }
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK)]);
}

function header(path: string, entry: Entry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const put = (offset: number, length: number, text: string) => {
    if (Buffer.byteLength(text) > length) throw new Error(`too long for a tar header: ${text}`);
    block.write(text, offset);
  };
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  const mode = entry.type === 'file' ? entry.mode : entry.type === 'folder' ? 0o755 : 0o777;
  put(0, 100, entry.type === 'folder' ? `${path}/` : path);
  put(100, 8, octal(mode, 7));
  put(108, 8, octal(0, 7));
  put(116, 8, octal(0, 7));
  put(124, 12, octal(size, 11));
  put(136, 12, octal(0, 11));
  // The checksum counts itself as spaces.
  put(148, 8, ' '.repeat(8));
  put(156, 1, TYPE_FLAGS[entry.type]);
  if (entry.type === 'link') put(157, 100, entry.target);
  put(257, 8, 'ustar\x0000');
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, 8, `${octal(sum, 6)}\0 `);
  return block;
}
