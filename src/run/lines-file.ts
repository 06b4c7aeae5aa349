import { closeSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError } from './disk-trouble.ts';

/** Read from the end at a time, bytes; lines are shorter. */
const CHUNK = 65_536;

/**
 * A file that only whole lines are added to, readable by its owner only. What could not be written waits, and goes before what
 * comes next; no line is ever left half.
 */
export class LinesFile {
  private readonly file: number;
  private size: number;
  private waiting = '';

  /** A last line that a crash has torn is taken away. @throws what the system says when there is no writing there. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.file = openSync(path, 'a+', 0o600);
    this.size = wholeLines(this.file);
    ftruncate(this.file, this.size);
  }

  /** Adds a line, on the disk before it returns when it is to be `durable`. Gives what went wrong. */
  write(line: string, durable: boolean): NodeJS.ErrnoException | undefined {
    const text = this.waiting + line;
    try {
      this.writeAll(text);
      this.waiting = '';
      if (durable) fsyncSync(this.file);
      return undefined;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return error;
    }
  }

  close(): void {
    closeSync(this.file);
  }

  private writeAll(text: string): void {
    const { length } = Buffer.from(text);
    try {
      for (let done = writeSync(this.file, text); done < length; )
        done += writeSync(this.file, Buffer.from(text), done);
      this.size += length;
    } catch (error) {
      this.waiting = text;
      ftruncate(this.file, this.size);
      throw error;
    }
  }
}

/** A disk that takes nothing more still gives back; what is no file (a device) has no size to give. */
function ftruncate(file: number, size: number): void {
  if (fstatSync(file).size > size) ftruncateSync(file, size);
}

/** Bytes up to the last line's end. */
function wholeLines(file: number): number {
  for (let end = fstatSync(file).size; end > 0; ) {
    const length = Math.min(CHUNK, end);
    const chunk = Buffer.alloc(length);
    readSync(file, chunk, 0, length, end - length);
    const at = chunk.lastIndexOf('\n');
    if (at >= 0) return end - length + at + 1;
    end -= length;
  }
  return 0;
}
