import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseLdd } from '../../image/root.ts';
import { type Entry, tar } from '../../image/tar.ts';

describe('the archive', () => {
  const entries = new Map<string, Entry>([
    ['usr', { type: 'folder' }],
    ['usr/bin/tool', { type: 'file', data: Buffer.from('x'.repeat(700)), mode: 0o755 }],
    ['bin', { type: 'link', target: 'usr/bin' }],
  ]);

  it('is what tar reads', () => {
    const options = { input: tar(entries), encoding: 'utf8' as const };
    const list = execFileSync('tar', ['tvf', '-', '--utc', '--numeric-owner'], options);
    expect(
      list
        .trim()
        .split('\n')
        .map(line => line.replaceAll(/ +/g, ' ')),
    ).toEqual([
      'lrwxrwxrwx 0/0 0 1970-01-01 00:00 bin -> usr/bin',
      'drwxr-xr-x 0/0 0 1970-01-01 00:00 usr/',
      '-rwxr-xr-x 0/0 700 1970-01-01 00:00 usr/bin/tool',
    ]);
    expect(execFileSync('tar', ['xOf', '-', 'usr/bin/tool'], options)).toBe('x'.repeat(700));
  });

  it('is the same for the same entries', () => {
    expect(tar(new Map([...entries].toReversed()))).toEqual(tar(entries));
  });

  it('refuses a path that does not fit', () => {
    expect(() => tar(new Map([['a'.repeat(101), { type: 'folder' }]]))).toThrow('too long');
  });
});

describe('the libraries of a program', () => {
  it('are read from ldd', () => {
    const output = `\tlinux-vdso.so.1 (0x00007ffc)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f)
`;
    expect(parseLdd(output)).toEqual(['/lib/x86_64-linux-gnu/libc.so.6', '/lib64/ld-linux-x86-64.so.2']);
    expect(() => parseLdd('\tlibx.so => not found\n')).toThrow('missing');
  });
});
