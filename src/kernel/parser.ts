// Programs print dumps of a hundred megabytes and more: they are parsed as they come, piece by piece, and never held as a whole.

/** Cuts what comes in pieces into lines or the like, and gives each away as soon as it is whole. */
export interface Cutter {
  push(piece: string): void;
  /** Throws where something has begun that is not whole. */
  end(): void;
}

export class Parser<T> {
  private readonly cutter: Cutter;
  private readonly result: () => T;
  private error: unknown;

  constructor(cutter: Cutter, result: () => T) {
    this.cutter = cutter;
    this.result = result;
  }

  /** Never throws: of a program that fails, its own word counts and not what can be made of half its output. */
  push(piece: string): void {
    if (this.error !== undefined) return;
    try {
      this.cutter.push(piece);
    } catch (error) {
      this.error = error;
    }
  }

  /** What the whole dump says. Throws on one that cannot be parsed or was cut off. */
  end(): T {
    if (this.error !== undefined) throw this.error;
    this.cutter.end();
    return this.result();
  }
}

export class Lines implements Cutter {
  private readonly what: string;
  private readonly take: (line: string) => void;
  private rest = '';

  /** `what` is cut, as errors name it. */
  constructor(what: string, take: (line: string) => void) {
    this.what = what;
    this.take = take;
  }

  push(piece: string): void {
    let start = 0;
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', start)) {
      this.take(this.rest + piece.slice(start, end));
      this.rest = '';
      start = end + 1;
    }
    this.rest += piece.slice(start);
  }

  end(): void {
    if (this.rest !== '') throw new Error(`${this.what} ends in the middle of a line`);
  }
}
