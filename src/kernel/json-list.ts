// A JSON document that is one long list, read item by item: as a whole it would take many times its length in memory.
import type { Cutter } from './parser.ts';

const QUOTE = 34;
const COMMA = 44;
const OPEN_LIST = 91;
const BACKSLASH = 92;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

/** The list begins within so many characters. */
const LONGEST_HEAD = 1000;

/** Gives away the items of the list that is the value of `name`, in a document `{"name": [item, ...]}`. Throws on anything else. */
export class JsonList implements Cutter {
  private readonly name: string;
  private readonly head: RegExp;
  private readonly take: (item: unknown) => void;
  private part: 'head' | 'items' | 'tail' = 'head';
  /** Of the part, what has come and was not given away. */
  private rest = '';
  /** Where in an item the last piece ended. */
  private depth = 0;
  private inString = false;
  private escaped = false;

  constructor(name: string, take: (item: unknown) => void) {
    this.name = name;
    this.head = new RegExp(`^\\s*\\{\\s*"${name}"\\s*:\\s*\\[`);
    this.take = take;
  }

  push(piece: string): void {
    const behind = this.part === 'items' ? this.takeItems(piece) : piece;
    this.rest += behind;
    if (this.part === 'head') this.takeHead();
  }

  end(): void {
    if (this.part === 'head') throw this.noList();
    if (this.part === 'items') throw new Error('the list has no end');
    if (this.rest.trim() !== '}') throw new Error(`something stands behind the "${this.name}" list`);
  }

  private noList(): Error {
    return new Error(`no "${this.name}" list at the beginning`);
  }

  private takeHead(): void {
    const head = this.head.exec(this.rest.slice(0, LONGEST_HEAD))?.[0];
    if (head === undefined && this.rest.length >= LONGEST_HEAD) throw this.noList();
    if (head === undefined) return;
    const items = this.rest.slice(head.length);
    this.rest = '';
    this.part = 'items';
    this.push(items);
  }

  /** Gives back what is behind the last item that is whole. */
  private takeItems(piece: string): string {
    let start = 0;
    let { depth } = this;
    for (let index = this.inString ? this.endOfString(piece, 0) + 1 : 0; index < piece.length; index++) {
      const code = piece.charCodeAt(index);
      if (code === QUOTE) index = this.endOfString(piece, index + 1);
      else if (code === OPEN_LIST || code === OPEN_OBJECT) depth++;
      else if (depth === 0 && (code === COMMA || code === CLOSE_LIST)) {
        this.takeItem(this.rest + piece.slice(start, index), code === CLOSE_LIST);
        this.rest = '';
        start = index + 1;
        if (code === CLOSE_LIST) break;
      } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
    }
    this.depth = depth;
    return piece.slice(start);
  }

  /** Where the string ends that goes on at `index`, or the piece. */
  private endOfString(piece: string, index: number): number {
    let at = index;
    if (this.escaped) at++;
    this.escaped = false;
    for (; at < piece.length; at++) {
      const code = piece.charCodeAt(at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) at++;
    }
    this.inString = at >= piece.length;
    this.escaped = at > piece.length;
    return at;
  }

  private takeItem(text: string, isLast: boolean): void {
    if (isLast) this.part = 'tail';
    // A list may be empty.
    if (!isLast || text.trim() !== '') this.take(JSON.parse(text));
  }
}
