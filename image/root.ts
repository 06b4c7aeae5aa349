// Collects the files of the watcher's image from this machine.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Entry } from './tar.ts';

/** The files of an image by path, without a leading slash. */
export class Root {
  readonly entries = new Map<string, Entry>();

  folder(path: string): void {
    // /bin, /sbin and /lib are links into /usr, as on the machines that the files come from.
    if (path === '' || path === '.' || this.entries.has(path)) return;
    this.folder(dirname(path));
    this.entries.set(path, { type: 'folder' });
  }

  file(path: string, data: Uint8Array, mode: number): void {
    this.folder(dirname(path));
    this.entries.set(path, { type: 'file', data, mode });
  }

  link(path: string, target: string): void {
    this.folder(dirname(path));
    this.entries.set(path, { type: 'link', target });
  }

  /** A program or library of this machine, with the libraries it needs; at the same place unless told otherwise. */
  binary(source: string, path = placeOf(source)): void {
    if (this.entries.has(path)) return;
    this.file(path, readFileSync(source), 0o755);
    for (const library of librariesOf(source)) this.binary(library);
  }

  /** As `binary`; a link to another file of the same folder stays a link. */
  program(source: string): void {
    const path = placeOf(source);
    if (!lstatSync(source).isSymbolicLink()) {
      this.binary(source);
      return;
    }
    const target = readlinkSync(source);
    if (basename(target) === target) {
      this.link(path, target);
      this.program(join(dirname(source), target));
    } else this.binary(realpathSync(source), path);
  }

  /** All shared objects of a folder, links included. */
  sharedObjects(folder: string): void {
    for (const name of readdirSync(folder)) if (name.endsWith('.so')) this.program(join(folder, name));
  }

  size(): number {
    return [...this.entries.values()].reduce((sum, entry) => sum + (entry.type === 'file' ? entry.data.length : 0), 0);
  }
}

/** `/lib/x.so` -> `usr/lib/x.so`. */
function placeOf(path: string): string {
  return path.replace(/^\/(?=(?:s?bin|lib(?:64)?)\/)/, '/usr/').slice(1);
}

/** Paths in the output of ldd; none for what is linked statically. */
export function parseLdd(output: string): string[] {
  return output.split('\n').flatMap(line => {
    const path = /(?:=> )?(\/\S+) \(0x[0-9a-f]+\)/.exec(line)?.[1];
    if (path === undefined && line.includes('not found')) throw new Error(`a library is missing: ${line.trim()}`);
    return path === undefined ? [] : [path];
  });
}

function librariesOf(binary: string): string[] {
  try {
    return parseLdd(execFileSync('ldd', [binary], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch (error) {
    // ldd exits 1 for a static program.
    if (error instanceof Error && 'status' in error && error.status === 1) return [];
    throw error;
  }
}

/** The program without its symbols where strip is at hand, saves a tenth or more and what it makes still runs; else as it is. */
export function stripped(binary: string): Buffer {
  const whole = readFileSync(binary);
  const folder = mkdtempSync(join(tmpdir(), 'strip-'));
  try {
    const copy = join(folder, basename(binary));
    execFileSync('strip', ['-o', copy, binary], { stdio: 'ignore' });
    execFileSync(copy, ['--version'], { stdio: 'ignore' });
    const small = readFileSync(copy);
    return small.length < whole.length * 0.9 ? small : whole;
  } catch (error) {
    process.stderr.write(`not stripped: ${error instanceof Error ? error.message : String(error)}\n`);
    return whole;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where the shell would find a program, also where only root looks. */
export function which(program: string): string | undefined {
  const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  return folders.map(folder => join(folder, program)).find(path => existsSync(path));
}
